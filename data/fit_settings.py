"""The settings of a fit. Every choice that the paper (arXiv 2606.14765) leaves open is one, marked so."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from .errors import ConfigError
from .section import OPTIONS, Settings, setting

POOLED = {"mean": 1, "mean_sd": 2}  # aggregators without order or parameters: widths of a feature that they give
OF_POOLED = ("input_map", "input_dropout", "video_pooling")  # settings that need such an aggregator
MAPPED_WIDTH = 64  # of fit.input_map, at most: more directions changed nothing (docs/findings.md)


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
    tracker: str = setting(
        "",
        "who is told the figures too: MODULE:FUNCTION, called with the fit's folder and settings; what it returns has "
        "log(figures, step=) and finish(), as runs of wandb and trackio have (docs/exports.md)",
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
        if self.tracker and not all(self.tracker.partition(":")):
            raise ConfigError(f"fit.tracker = {self.tracker!r}: MODULE:FUNCTION is needed")
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
