"""The settings of each stage.

Every choice that the paper (arXiv 2606.14765) leaves open is a named setting here, marked "open in the
paper". A setting with ``identity=False`` changes how fast or how carefully a stage works but not what it
makes, so changing it reruns nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from .backbone import parse_backbone
from .errors import ConfigError
from .images import IMAGE_SUFFIXES, check_pattern
from .sampling import Sampling
from .section import OPTIONS, Settings, setting


@dataclass(frozen=True, kw_only=True)
class DataSettings(Settings):
    """Where the videos are and how they are divided."""

    section = "data"

    root: tuple[str, ...] = setting(
        (),
        "folder of the videos (absolute, or relative to this file), several of them, or a list of files (.txt); none "
        "is needed for imported features",
        identity=False,
    )
    exclude: tuple[str, ...] = setting(
        (), 'paths, folders or names to pass over, with * and ?: ["thumbs", "*.gif"]', identity=False
    )
    layout: str = setting(
        "auto",
        "how class and group are read: ucf101 (from v_<Class>_gNN_cNN), folders (class = folder), none",
        choices=("auto", "ucf101", "folders", "none"),
    )
    images: str = setting(
        "auto",
        "auto (a folder of numbered images is one video), never, or their names with a star for the number: img_*.jpg",
        identity=False,
    )
    class_depth: int = setting(
        0, "which folder names the class: 0 the one that holds the video, 1 the first below root, 2 the next", low=0
    )
    table: tuple[str, ...] = setting(
        (),
        "classes, sides, groups and segments of the videos: a file (CSV, TSV, JSON) with the columns video, label, "
        "split, group, start_s, end_s, or what HMDB51, Kinetics, Something-Something V2, Diving48, ActivityNet or UTD "
        "ship; or several such files",
        identity=False,
    )
    lists: str = setting("", "folder of UCF101's official lists (trainlist01.txt, testlist01.txt, ...)", identity=False)
    split: str = setting(
        "auto",
        "table (its column split); official1..3; folders (train, val, test); groups (no group in both); random (80/20 "
        "by video, the paper's, leaks groups); auto = the first of them that there is",
        choices=("auto", "table", "official1", "official2", "official3", "folders", "groups", "random"),
    )
    queries: str = setting(
        "auto",
        "side that asks, beside train, which is searched: test, val, ...; auto = test if it has classes, else val, "
        "else another one",
    )
    split_seed: int = setting(0, "seed of the random and groups splits", low=0)
    train_fraction: float = setting(0.8, "share of training videos in the random and groups splits", low=0.0, high=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.images not in ("auto", "never") and not check_pattern(self.images):
            raise ConfigError(
                f"data.images = {self.images!r}: auto, never, or the names of the images with a star for the number "
                f"(img_*.jpg; {' '.join(sorted(IMAGE_SUFFIXES))}) is needed"
            )


@dataclass(frozen=True, kw_only=True)
class ExtractSettings(Settings):
    """Frame features of a frozen backbone: z_i = E(x_i), eq. (4). Backbone and input size: open in the paper."""

    section = "extract"

    backbone: str = setting(
        "timm:vit_small_patch14_dinov2.lvd142m",
        "timm:NAME, open_clip:NAME/TAG, random:NAME (a timm model with seeded random weights), "
        "or import:NAME (features that `mofore import` brought)",
    )
    weights: str = setting(
        "",
        "local weights (.safetensors, or .pth loaded with weights_only) instead of the hub's",
        identity=False,
    )
    image_size: int = setting(0, "side of the picture that the backbone sees (px); 0 = its own", low=0, high=4096)
    seed: int = setting(0, "seed of random: backbones", low=0)
    stride: int = setting(1, "keep every stride-th frame", low=1)
    fps: float = setting(0.0, "keep so many frames a second, 0 = all (not together with stride)", low=0.0, high=1e5)
    image_fps: float = setting(25.0, "frames a second of a folder of images", low=0.001, high=1e5)
    precision: str = setting(
        "auto",
        "fp32, bf16, or auto (bf16 where the processor has it and every frame of the first batch keeps parity_floor)",
        choices=("auto", "fp32", "bf16"),
    )
    parity_floor: float = setting(
        0.99,
        "lowest cosine to fp32, of features less their batch's mean, that precision = auto accepts",
        low=0.0,
        high=1.0,
    )
    compile: str = setting(
        "auto",
        "torch.compile the backbone: on, off, or auto (when the job is long enough to repay it; kept for the store)",
        choices=("auto", "on", "off"),
        identity=False,
    )
    damaged: str = setting(
        "refuse",
        "videos with frames that the decoder marks as corrupt, or that end too early: refuse, or keep what comes",
        choices=("refuse", "keep"),
        identity=False,
    )
    decoders: int = setting(
        0, "processes that decode and resize ahead; 0 = one for each processor core", low=0, high=512, identity=False
    )
    processes: int = setting(
        0,
        "processes that share a long job; 0 = one for each GPU, or for each processor core up to 4; 1 = no sharing",
        low=0,
        high=512,
        identity=False,
    )
    stall_seconds: float = setting(
        60.0,
        "a decoder that gives no frame for so long is stopped, and the video tried once more (s)",
        low=0.1,
        identity=False,
    )
    batch_size: int = setting(
        0,
        "frames in a forward pass, filled across videos; 0 = 32 on a processor, 256 on a GPU",
        low=0,
        high=65_536,
        identity=False,
    )
    shard_seconds: float = setting(
        30.0, "publish a shard at the latest after this much work (s)", low=0.0, identity=False
    )
    max_failure_rate: float = setting(
        0.1,
        "stop when more than this share of the videos tried so far failed (from the 11th failure on; 0 = at the first)",
        low=0.0,
        high=1.0,
        identity=False,
    )
    device: str = setting(
        "auto", "auto (cuda where there is one), cpu, or cuda", choices=("auto", "cpu", "cuda"), identity=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if parse_backbone(self.backbone).imported:
            self._refuse_idle()
        self.sampling()

    def sampling(self) -> Sampling:
        """Which frames are kept."""
        return Sampling(self.stride, self.fps)

    def _refuse_idle(self) -> None:
        """Settings that would change what is extracted do nothing to imported features: nobody shall think they do."""
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in ("weights", "image_size", "stride", "fps") and value != f.default:
                raise ConfigError(
                    f"extract.{f.name} = {value!r}: the features of {self.backbone} are taken as they were imported, "
                    "so it would do nothing: leave it out"
                )


@dataclass(frozen=True, kw_only=True)
class FitSettings(Settings):
    """Forecasting, eqs. (2)-(12). The field defaults are the paper's; ``fit.preset`` says which values are used."""

    section = "fit"
    known_as = {"holdout": "validation"}  # noqa: RUF012 - the base says that it is the class's

    preset: str = setting(
        "default",
        "named set of values; keys that you give win: default (what retrieves best), paper (as published), plain "
        "(means of clips; other objectives begin with it), forecast (what forecasts raw features best), motion "
        "(classes that differ in their motion alone)",
        choices=("default", "paper", "plain", "forecast", "motion"),
        identity=False,
    )
    objective: str = setting(
        "mofore",
        "what is learnt from clips: mofore (the paper's), or another of those that `mofore objectives` lists",
        later=True,
    )
    options: OPTIONS = setting(  # noqa: RUF009 - a copy for each
        {}, "settings of the objective's own, such as --set fit.options.weight=25", later=True
    )
    seed: int = setting(0, "seed of weights and sampling (open in the paper)", low=0)
    steps: int = setting(5000, "optimiser steps (open in the paper)", low=1)
    passes: int = setting(
        0,
        "passes over the training videos, taken in place of fit.steps, so that few videos are not learnt by heart; 0 = "
        "as many steps as fit.steps says",
        low=0,
        later=True,
    )
    batch_size: int = setting(8, "contexts in a step (the paper's 8)", low=2)
    pairs_per_video: int = setting(1, "contexts of one video in a step; they are no negatives of each other", low=1)

    unit: str = setting(
        "frames",
        "what clip_stride, gap_min and gap_max are counted in: frames, or seconds of the true times",
        choices=("frames", "seconds"),
    )
    clip_length: int = setting(16, "l of eqs. (2), (3): frames seen of a clip (open in the paper)", low=1)
    clip_stride: float = setting(1.0, "from one frame of a clip to the next; a clip spans l strides", low=1e-3)
    gap_min: float = setting(0.0, "smallest gap g (open in the paper)", low=0.0)
    gap_max: float = setting(16.0, "largest gap g (open in the paper)", low=0.0)
    gap_distribution: str = setting(
        "uniform",
        "how g is drawn: uniform; log-uniform (short gaps more often); fixed (gap_max); curriculum (uniform, its upper "
        "end grows from gap_min to gap_max during the first half of the steps) (open in the paper)",
        choices=("uniform", "log-uniform", "fixed", "curriculum"),
    )
    target: str = setting(
        "future",
        "what is forecast: future; as controls past, other (any clip of the video), shuffled (another video's future)",
        choices=("future", "past", "other", "shuffled"),
    )
    neighbours: int = setting(
        0,
        "targets may be futures of so many videos (one in 30 at most) nearest in raw features; 0 = its own only",
        low=0,
    )
    neighbour_share: float = setting(0.9, "share of targets that are a neighbour's", low=0.0, high=1.0)
    negatives: str = setting(
        "batch",
        "who shares a batch: any videos, or lookalike (videos near each other in raw features)",
        choices=("batch", "lookalike"),
    )

    input_map: str = setting(
        "none",
        "map of pooled features before the projection: none, or neighbour_lda (discriminants of the training videos' "
        "graph of look-alikes, found without labels and kept fixed; neighbours are then taken in it)",
        choices=("none", "neighbour_lda"),
        later=True,
    )
    input_dropout: float = setting(
        0.0,
        "share of the mapped features that the student does not see, drawn anew for each context",
        low=0.0,
        high=0.95,
        later=True,
    )
    video_pooling: str = setting(
        "views",
        "a video's embedding: views (mean over index.views clips, the paper's), or whole (of all frames at once)",
        choices=("views", "whole"),
        later=True,
    )
    inputs: str = setting(
        "plain",
        "frame features as they are (plain), less the clip's mean (centered), or differenced in time (differenced)",
        choices=("plain", "centered", "differenced"),
    )
    aggregator: str = setting(
        "mean",
        "clip to vector, eq. (5): mean (the paper's), mean_sd, attention, conv, gru, transformer (with true times), "
        "static_dynamic (the same with two summary tokens, as in LiFT)",
        choices=("mean", "mean_sd", "attention", "conv", "gru", "transformer", "static_dynamic"),
    )
    projection: str = setting(
        "mlp",
        "layers after the aggregator: linear, mlp, residual (begins as the identity), or none (open in the paper)",
        choices=("linear", "mlp", "residual", "none"),
    )
    predictor: str = setting(
        "mlp",
        "eqs. (7), (8): mlp (the paper's, does not see g), gap (sees g), horizons (several futures at once), history "
        "(sees g and the video so far), none",
        choices=("mlp", "gap", "horizons", "history", "none"),
    )
    history: int = setting(
        16,
        "frames that predictor = history sees of what came before the clip, evenly spread over it",
        low=1,
        high=4096,
        later=True,
    )
    predictor_skip: bool = setting(
        False, "add what the predictor learns to the embedding, so that it begins as persistence (ours)"
    )
    horizons: int = setting(4, "gaps of predictor = horizons, evenly from gap_min to gap_max", low=2, high=64)
    embedding_width: int = setting(
        512,
        "width E of an embedding; 0 = the aggregator's, which projection = residual needs (open in the paper)",
        low=0,
    )
    hidden_width: int = setting(512, "width of hidden layers (open in the paper)", low=4)
    activation: str = setting(
        "relu", "sigma of eqs. (7), (8): relu or gelu (open in the paper)", choices=("relu", "gelu")
    )

    forecast_normalize: bool = setting(
        True, "take eq. (9) between unit vectors, where it is 2 - 2 cos (open in the paper)"
    )
    forecast_reduction: str = setting(
        "sum", "reduction of eq. (9) over the width: sum (as printed) or mean", choices=("sum", "mean")
    )
    contrast_weight: float = setting(1.0, "lambda of eq. (12) (open in the paper)", low=0.0)
    contrast_symmetric: bool = setting(False, "eq. (11) from the target to the forecasts too, half and half")
    queue: int = setting(0, "targets of earlier steps kept as further negatives of eq. (11)", low=0, high=1 << 20)
    temperature: float = setting(0.1, "tau of eq. (11) (open in the paper)", low=1e-4)

    optimizer: str = setting("adam", "adam (the paper's; decay is an L2 penalty) or adamw", choices=("adam", "adamw"))
    lr: float = setting(1e-4, "learning rate (the paper's 1e-4)", low=0.0, high=10.0)
    lr_schedule: str = setting(
        "constant", "constant, or cosine to zero (open in the paper)", choices=("constant", "cosine")
    )
    warmup_steps: int = setting(0, "steps during which lr rises from zero (open in the paper)", low=0)
    weight_decay: float = setting(0.0, "weight decay (open in the paper)", low=0.0)
    weight_decay_schedule: str = setting(
        "constant", "constant, or cosine from weight_decay to weight_decay_end", choices=("constant", "cosine")
    )
    weight_decay_end: float = setting(
        0.0, "weight decay of the last step, with weight_decay_schedule = cosine", low=0.0
    )
    momentum: float = setting(0.7, "m of the teacher, eq. (6) (the paper's 0.7)", low=0.0, high=1.0)
    momentum_schedule: str = setting(
        "constant", "constant, or cosine from momentum to 1 (open in the paper)", choices=("constant", "cosine")
    )
    precision: str = setting(
        "auto",
        "products: fp32, bf16 (factors may be rounded to it, weights and sums not), auto (bf16 if in hardware)",
        choices=("auto", "fp32", "bf16"),
    )

    holdout: float = setting(
        0.0,
        "share of the training videos held out to watch the run, whole groups where there are any",
        low=0.0,
        high=0.9,
    )
    validations: int = setting(10, "how often the run is looked at", low=0)
    keep: str = setting(
        "last", "which step's networks are the result: last, or best (see docs/findings.md)", choices=("last", "best")
    )
    alarm: str = setting(
        "warn", "when the embeddings collapse: warn, stop, or off", choices=("warn", "stop", "off"), identity=False
    )
    checkpoint_seconds: float = setting(
        20.0, "write a checkpoint to resume from at least this often (s)", low=0.0, identity=False
    )
    keep_checkpoints: int = setting(2, "checkpoints kept while the run lasts", low=1, identity=False)
    memory_gb: float = setting(
        0.0,
        "features held in memory (GiB), 0 = half of what the machine has; a larger store is read from its files",
        low=0.0,
        identity=False,
    )
    tensorboard: str = setting(
        "auto",
        "curves for TensorBoard: auto (where it is installed), on, off",
        choices=("auto", "on", "off"),
        identity=False,
    )
    processes: int = setting(
        1,
        "processes that share the run, each with a part of every batch (--nproc); GPUs: one each",
        low=1,
        high=512,
        identity=False,
    )
    device: str = setting(
        "auto", "auto (cuda where there is one), cpu, or cuda", choices=("auto", "cpu", "cuda"), identity=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size % self.processes:
            larger = -(-self.batch_size // self.processes) * self.processes
            raise ConfigError(
                f"fit.batch_size = {self.batch_size} cannot be shared by {self.processes} processes: take --set "
                f"fit.batch_size={larger} (another batch is another result), or as many processes as divide it"
            )
        if self.gap_max < self.gap_min:
            raise ConfigError(f"fit.gap_max = {self.gap_max:g}: at least fit.gap_min = {self.gap_min:g} is needed")
        if self.unit == "frames":
            for name in ("clip_stride", "gap_min", "gap_max"):
                if getattr(self, name) % 1:
                    raise ConfigError(
                        f'fit.{name} = {getattr(self, name):g}: whole frames are needed, or fit.unit = "seconds"'
                    )
        if self.inputs != "plain" and self.aggregator == "mean":
            raise ConfigError(
                f'fit.inputs = {self.inputs!r} with fit.aggregator = "mean": the mean of what is left tells nothing of '
                'the clip; take conv, gru or transformer, or inputs = "plain"'
            )
        self._check_pooled()
        if self.inputs == "differenced" and self.clip_length < 2:
            raise ConfigError('fit.inputs = "differenced": fit.clip_length of at least 2 is needed')
        if self.sees_history and (self.aggregator != "mean" or self.target != "future"):
            raise ConfigError(
                'fit.predictor = "history" looks at single frames, and back from the context: fit.aggregator = "mean" '
                'and fit.target = "future" are needed with it'
            )
        if self.projection == self.predictor == "none":
            raise ConfigError('fit.projection = "none" with fit.predictor = "none": nothing would be trained')
        if self.batch_size % self.pairs_per_video or self.batch_size == self.pairs_per_video:
            raise ConfigError(
                f"fit.batch_size = {self.batch_size}: a multiple of fit.pairs_per_video = {self.pairs_per_video}, at "
                "least twice that, is needed"
            )

    def _check_pooled(self) -> None:
        """What needs features that are pooled without order, and what needs a map."""
        if self.aggregator not in POOLED or self.inputs != "plain":
            defaults = {f.name: f.default for f in fields(self) if f.name in OF_POOLED}
            given = [name for name, default in defaults.items() if getattr(self, name) != default]
            if given:
                off = " ".join(f"--set fit.{name}={defaults[name]}" for name in given)
                named = ", ".join(f"fit.{name} = {getattr(self, name)}" for name in given)
                raise ConfigError(
                    f'fit.aggregator = "{self.aggregator}", fit.inputs = "{self.inputs}": {named} (as in default) '
                    f"goes with mean or mean_sd of plain inputs; add --set fit.preset=plain, or {off}"
                )
        if self.input_dropout and self.input_map == "none":
            raise ConfigError(
                f'fit.input_dropout = {self.input_dropout:g} with fit.input_map = "none": it is of mapped features; '
                "set it to 0, or fit.input_map=neighbour_lda"
            )

    def mapped_width(self, features: int) -> int:
        """Width of the output of ``input_map``, for frame features of that width."""
        return min(MAPPED_WIDTH, POOLED[self.aggregator] * features)

    @property
    def span(self) -> float:
        """From the first frame of a clip to one stride after its last, in ``unit``."""
        return self.clip_length * self.clip_stride

    @property
    def dense(self) -> bool:
        """Whether a clip has every frame from its first to its last."""
        return self.unit == "frames" and self.clip_stride == 1

    def videos_per_batch(self, videos: int) -> int:
        """Different videos in a batch; fewer than asked for if there are no more."""
        return min(self.batch_size // self.pairs_per_video, videos)

    def counted(self, videos: int) -> FitSettings:
        """The same with ``passes`` as ``steps``: whole batches of a pass over so many videos, so often."""
        if not self.passes or not videos:
            return self
        return replace(self, steps=self.passes * (videos // self.videos_per_batch(videos)), passes=0)

    @property
    def sees_history(self) -> bool:
        """Whether forecasts are made from all of the video so far, and of unit vectors."""
        return self.predictor == "history"

    @property
    def gap_least(self) -> float:
        """The smallest gap that is drawn, in ``unit``: what a video has to leave beside its two clips."""
        everywhere = self.gap_distribution == "fixed" or self.predictor == "horizons"
        return self.gap_max if everywhere else self.gap_min

    @property
    def horizon_gaps(self) -> tuple[float, ...]:
        """Gaps that predictor = horizons forecasts at once, in ``unit``; evenly spaced, both ends included."""
        span, last = self.gap_max - self.gap_min, self.horizons - 1
        gaps = (self.gap_min + span * step / last for step in range(self.horizons))
        return tuple(sorted({float(int(gap)) if self.unit == "frames" else gap for gap in gaps}))


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(Settings):
    """End to end, eqs. (4)-(6) as printed: the last blocks of the backbone trained from pixels (`mofore finetune`)."""

    section = "finetune"

    blocks: int = setting(1, "last blocks of the backbone that are trained; the head's norm goes with the last", low=1)
    steps: int = setting(1000, "optimiser steps", low=1)
    batch_size: int = setting(16, "contexts in a step", low=2)
    accumulation: int = setting(
        1,
        "parts that a batch is computed in; the contrast still sees the whole batch, and the result is the same to "
        "within rounding: less memory, one forward pass more",
        low=1,
    )
    frames: int = setting(
        0, "frames of each clip that go through the backbone, evenly spread over it; 0 = all of fit.clip_length", low=0
    )
    lr: float = setting(1e-5, "learning rate of the last block, and of student and predictor", low=0.0, high=10.0)
    layer_decay: float = setting(
        0.75, "each earlier block learns at this share of the rate of the block after it", low=0.0, high=1.0
    )
    lr_schedule: str = setting("cosine", "constant, or cosine to zero", choices=("constant", "cosine"))
    warmup_steps: int = setting(20, "steps during which lr rises from zero", low=0)
    momentum: float = setting(
        0.99, "m of the teacher, eq. (6), its backbone included (the paper's for all: 0.7)", low=0.0, high=1.0
    )
    publish: str = setting(
        "teacher", "whose backbone is the result: teacher (as at inference), or student", choices=("teacher", "student")
    )
    precision: str = setting(
        "auto",
        "of the backbone's passes: fp32, bf16 (weights, sums and the loss stay fp32), auto (bf16 where there is any)",
        choices=("auto", "fp32", "bf16"),
    )
    recompute: bool = setting(
        False,
        "keep of each trained block its input only and compute it twice: less memory, a third more time",
        identity=False,
    )
    seed: int = setting(0, "seed of the sampling", low=0)
    decoders: int = setting(0, "processes that decode ahead; 0 = one for each core", low=0, high=512, identity=False)
    checkpoint_seconds: float = setting(
        60.0, "write a checkpoint to resume from at least this often (s)", low=0.0, identity=False
    )
    device: str = setting(
        "auto", "auto (cuda where there is one), cpu, or cuda", choices=("auto", "cpu", "cuda"), identity=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size % self.accumulation:
            raise ConfigError(
                f"finetune.batch_size = {self.batch_size}: a multiple of finetune.accumulation = {self.accumulation} "
                "is needed"
            )


@dataclass(frozen=True, kw_only=True)
class IndexSettings(Settings):
    """Embeddings (Figure 1) and the FAISS indexes over them."""

    section = "index"

    kind: str = setting(
        "flat",
        "FAISS index: flat (exact), ivf, hnsw, ivfpq, auto (by size, memory and latency), or any FAISS factory string; "
        "inner product of unit vectors. Metrics are always taken with exact search",
    )
    recall: float = setting(
        0.95,
        "share of the exact 10 nearest that an approximate index must find; nprobe or efSearch follow",
        low=0.0,
        high=1.0,
    )
    size_mb: int = setting(0, "most memory of an index in MB, for auto; 0 = half of the machine's", low=0)
    latency_ms: float = setting(10.0, "longest time of one query in ms, for auto", low=0.001)
    spaces: str = setting(
        "mofore, frames, predict",
        "what is indexed, with commas: mofore (embed_from), frames (raw mean-pooled features), predict (the forecast "
        "at the mean gap), fit:KEY (the teacher of another fit of this work folder)",
    )
    levels: str = setting(
        "video", "video (one vector each), clip (every window, to find moments), or both with a comma"
    )
    clip_hop: float = setting(0.5, "from window to window of the level clip, in clips", low=0.01, high=100.0)
    embed_from: str = setting(
        "teacher",
        "whose output embeds a video: teacher (the paper's Figure 1), student, or predictor (forecast at the mean gap)",
        choices=("teacher", "student", "predictor"),
    )
    views: int = setting(
        12, "temporal views of a video whose embeddings are averaged (open in the paper)", low=1, high=10_000
    )
    center: bool = setting(True, "subtract the gallery's mean from every embedding before cosines")
    seed: int = setting(0, "seed of k-means and of the vectors that an approximate index is tuned with", low=0)
    device: str = setting(
        "auto",
        "where indexes are built and searched: auto (cuda where there is one), cpu, or cuda",
        choices=("auto", "cpu", "cuda"),
        identity=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_list("spaces", self.space_names(), lambda name: name in SPACES or _another_fit(name))
        self._check_list("levels", self.level_names(), lambda name: name in LEVELS)
        if self.kind not in INDEX_KINDS and not FACTORY.fullmatch(self.kind):
            raise ConfigError(
                f"index.kind = {self.kind!r}: one of {', '.join(INDEX_KINDS)}, or a FAISS factory string such as "
                "IVF256,Flat is needed"
            )

    def space_names(self) -> tuple[str, ...]:
        """The spaces, in order."""
        return tuple(name.strip() for name in self.spaces.split(",") if name.strip())

    def level_names(self) -> tuple[str, ...]:
        """The levels, in order."""
        return tuple(name.strip() for name in self.levels.split(",") if name.strip())

    def _check_list(self, key: str, names: tuple[str, ...], allowed: Callable[[str], bool]) -> None:
        wrong = [name for name in names if not allowed(name)]
        if wrong or not names or len({*names}) < len(names):
            known = (*SPACES, "fit:KEY") if key == "spaces" else LEVELS
            what = f"{wrong[0]!r} is none of them" if wrong else "each of them once at most, and one at least"
            raise ConfigError(f"index.{key} = {getattr(self, key)!r}: {', '.join(known)} with commas; {what}")

    def embedding(self) -> dict[str, Any]:
        """The settings that decide the embeddings of whole videos, by their full names."""
        return {f"index.{name}": getattr(self, name) for name in ("spaces", "embed_from", "views", "center")}


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(Settings):
    """The metrics (Table 2), always of exact search. What is embedded, and how, is under [index]."""

    section = "evaluate"

    seed: int = setting(0, "seed of sampled pairs, resampling, probes and the random projection", low=0)
    pairs: int = setting(10_000, "video pairs sampled for a row of Table 2", low=1)
    resamples: int = setting(1_000, "bootstrap resamples of an interval", low=20)
    mutual_proximity: bool = setting(
        False, "give every row of the retrieval a second one, ROW+mp, ranked by mutual proximity (against hubs)"
    )
    only: str = setting("", 'part of the test side that asks, as UTD-splits name it in data.table ("debiased")')
    mveb: bool = setting(False, "whether MVEB's figures are taken too, as mteb takes them (needs scikit-learn)")
    harder: bool = setting(False, "whether harder views are taken too: attentive probe, arrow of time, reversal")
    chiral_pairs: tuple[str, ...] = setting((), 'temporally opposite classes to be told apart: ["open <> close", ...]')


POOLED = {"mean": 1, "mean_sd": 2}  # aggregators without order or parameters: widths of a feature that they give
OF_POOLED = ("input_map", "input_dropout", "video_pooling")  # settings that need such an aggregator
MAPPED_WIDTH = 64  # of fit.input_map, at most: more directions changed nothing (docs/findings.md)
SPACES = ("mofore", "frames", "predict")
LEVELS = ("video", "clip")
FACTORY = re.compile(r"(IDMap|OPQ|PCA|PCAR|L2norm|RR|ITQ|IVF|IMI|HNSW|NSG|Flat|SQ|PQ|LSH|Pad)[A-Za-z0-9_,()]*")
INDEX_KINDS = ("flat", "ivf", "hnsw", "ivfpq", "auto")


def _another_fit(name: str) -> bool:
    return re.fullmatch(r"fit:[0-9a-f]+", name) is not None


REMOVED = {"fit.compile": "every step is torch's"}
"""Settings of earlier versions, each with what holds in its place: a file that still names one is read, with a note."""

RENAMED = {
    "data.splits": "data.lists",
    "extract.workers": "extract.decoders",
    "fit.validation": "fit.holdout",
    "fit.checkpoints": "fit.keep_checkpoints",
    "finetune.checkpointing": "finetune.recompute",
    "finetune.workers": "finetune.decoders",
    "index.memory_mb": "index.size_mb",
    "index.pairs": "evaluate.pairs",
    "index.resamples": "evaluate.resamples",
}
"""Settings that had other names in earlier versions: the old ones are read, with a note."""


def present_name(section: str, key: str) -> str:
    """``section.key`` of a setting that may have had another name once."""
    return RENAMED.get(f"{section}.{key}", f"{section}.{key}")


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "default": {
        "batch_size": 256,
        "passes": 60,
        "lr": 3e-4,
        "lr_schedule": "cosine",
        "momentum": 0.99,
        "projection": "residual",
        "embedding_width": 0,
        "predictor_skip": True,
        "hidden_width": 512,
        "activation": "gelu",
        "aggregator": "mean_sd",
        "input_map": "neighbour_lda",
        "input_dropout": 0.3,
        "video_pooling": "whole",
        "contrast_weight": 10.0,
        "temperature": 0.2,
        "neighbours": 40,
    },
    "plain": {
        "batch_size": 256,
        "steps": 600,
        "lr": 1e-3,
        "lr_schedule": "cosine",
        "momentum": 0.99,
        "projection": "residual",
        "embedding_width": 0,
        "predictor_skip": True,
        "hidden_width": 64,
        "contrast_weight": 0.3,
        "temperature": 0.2,
        "neighbours": 40,
    },
    "forecast": {
        "batch_size": 64,
        "steps": 400,
        "lr": 1e-2,
        "lr_schedule": "cosine",
        "projection": "none",
        "embedding_width": 0,
        "predictor": "history",
        "forecast_normalize": False,
        "contrast_weight": 0.0,
    },
    "motion": {
        "batch_size": 64,
        "steps": 600,
        "lr": 3e-4,
        "momentum": 0.99,
        "inputs": "centered",
        "aggregator": "gru",
        "negatives": "lookalike",
        "hidden_width": 256,
        "embedding_width": 256,
    },
}
"""What each ``fit.preset`` sets; the field defaults are the paper's, so `paper` sets nothing.

`default` is what retrieved best on real features, `forecast` what forecast them best (its embedding is the raw
features'); docs/findings.md has the tables.
"""
