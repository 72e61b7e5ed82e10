"""The settings of each stage but the fit and the index, which are in :mod:`.fit_settings` and :mod:`.index_settings`.

A setting with ``identity=False`` changes how fast or how carefully a stage works but not what it
makes, so changing it reruns nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from .backbone import parse_backbone
from .backbone_output import parse_output
from .errors import ConfigError
from .images import IMAGE_SUFFIXES, check_pattern
from .sampling import Sampling
from .section import Settings, setting

WINDOWING, POOLING = ("window", "hop", "incomplete"), ("pooling", "output")


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
        "timm:NAME, open_clip:NAME/TAG, hf:OWNER/NAME or hf:FOLDER (transformers), torchvision:NAME, "
        "python:MODULE:FUNCTION (your own), random:NAME (a timm model with seeded random weights), "
        "or import:NAME (features that `mofore import` brought)",
    )
    weights: str = setting(
        "",
        "local weights (.safetensors, or .pth loaded with weights_only; of hf: a folder) instead of the hub's",
        identity=False,
    )
    image_size: int = setting(0, "side of the picture that the backbone sees (px); 0 = its own", low=0, high=4096)
    seed: int = setting(0, "seed of random: backbones", low=0)
    stride: int = setting(1, "keep every stride-th frame", low=1)
    fps: float = setting(0.0, "keep so many frames a second, 0 = all (not together with stride)", low=0.0, high=1e5)
    image_fps: float = setting(25.0, "frames a second of a folder of images", low=0.001, high=1e5)
    window: int = setting(
        0, "kept frames that a clip backbone sees at once; 0 = as many as it was made for", low=0, high=1024, later=True
    )
    hop: int = setting(
        0, "kept frames from the start of one window to that of the next; 0 = the window's", low=0, later=True
    )
    incomplete: str = setting(
        "pad",
        "windows that a video ends in: pad (the last frame is repeated, if half of the window is there, or no other "
        "is), or refuse (they are left out; a video that is shorter than a window fails)",
        choices=("pad", "refuse"),
        later=True,
    )
    pooling: str = setting(
        "auto",
        "how hf: models are pooled: mean (of the tokens), cls, attentive (the model's own head), or "
        "auto (what the model is used with)",
        choices=("auto", "mean", "cls", "attentive"),
        later=True,
    )
    output: str = setting(
        "pooled",
        "what of an hf: backbone is stored: pooled, layer:N (an intermediate layer, pooled), tokens:HxW or "
        "tokens:TxHxW (the tokens averaged over a small grid), or layer:N,tokens:HxW",
        later=True,
    )
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
    engine: str = setting(
        "auto",
        "what computes the backbone on a processor: torch, openvino (pip install 'mofore[openvino]'), or auto (the "
        "faster one on the first batch, where openvino is installed and the job long enough; kept for the store)",
        choices=("auto", "torch", "openvino"),
        later=True,
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
        "auto",
        "auto (cuda where there is one), cpu, cuda, or mps (Apple's GPU, never tried on one; pictures are resized as "
        "for cpu, into the same store)",
        choices=("auto", "cpu", "cuda", "mps"),
        identity=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        backbone = parse_backbone(self.backbone)
        parse_output(self.output)
        if backbone.imported:
            self._refuse_idle(self.backbone, ("weights", "image_size", "stride", "fps", *WINDOWING, *POOLING))
        elif not backbone.with_windows:
            self._refuse_idle(self.backbone, (*WINDOWING, *POOLING))
        self.sampling()

    def sampling(self) -> Sampling:
        """Which frames are kept."""
        return Sampling(self.stride, self.fps)

    def _refuse_idle(self, backbone: str, names: tuple[str, ...]) -> None:
        """Settings that would change what is extracted, but do nothing here: nobody shall think they do."""
        imported = "the features of {} are taken as they were imported"
        other = "{} has pooled features of single frames alone"
        why = (imported if parse_backbone(backbone).imported else other).format(backbone)
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in names and value != f.default:
                raise ConfigError(f"extract.{f.name} = {value!r}: {why}, so it would do nothing: leave it out")


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


@dataclass(frozen=True, kw_only=True)
class ReportSettings(Settings):
    """The page that is made of a run (`mofore report`). `mofore run --no-report` makes none."""

    section = "report"

    map: str = setting(
        "auto",
        "pca, tsne (beside it; needs pip install 'mofore[map]'), or auto (tsne too where it is installed, for up to "
        "5,000 videos)",
        choices=("auto", "pca", "tsne"),
    )
    thumbnails: bool = setting(True, "whether it shows a picture of each video")
