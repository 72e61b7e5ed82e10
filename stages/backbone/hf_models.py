"""transformers' models as feature extractors: video models by windows, image models by pictures (``hf:``).

A model is read from the hub or from a folder as ``save_pretrained`` writes it: weights, configuration and processor; no
code of a repository is run. What the processor does to pictures is done by :class:`..decode.preprocess.Preprocess`;
tests hold both against transformers' own.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...data.backbone import Backbone
from ...data.backbone_output import Output, parse_output
from ...data.errors import BackboneError, StageError
from ...data.settings import ExtractSettings
from ...data.weight_index import weight_files
from .hf_processors import preprocess_of
from .hub import hub_access
from .loaded import Loaded
from .tokens import TokenLayout, gridded, pooled_tokens

INSTALL = "pip install 'mofore[hf]'"
Auto = Literal["mean", "cls", "own"]


@dataclass(frozen=True, slots=True)
class Family:
    """How the video models of one ``model_type`` are used."""

    frames: str  # attribute of the configuration: frames of a window
    auto: Auto  # pooling where none is asked for; "own": what the model itself gives
    time_last: bool = False  # order of the tokens, see :class:`.tokens.TokenLayout`
    any_length: bool = False  # whether positions are computed, so that windows may have another length


VIDEO = {
    "vjepa2": Family("frames_per_clip", "mean", any_length=True),
    "videomae": Family("num_frames", "mean"),
    "timesformer": Family("num_frames", "cls", time_last=True, any_length=True),
    "vivit": Family("num_frames", "cls"),
    "xclip": Family("num_frames", "own"),
}
ANY_SIZE = ("vjepa2", "dinov3_vit")  # rotary positions: pictures of any size
# Whose positions transformers 5.24 does not resample, though it has an option: findings/vivit_position_embeddings.sh.
FIXED_SIZE = ("vivit",)
MOST_PREFIX = 16  # class token and registers
HEADS = {"vjepa2": "VJEPA2ForVideoClassification"}  # classes whose ``pooler`` is an attentive one


def load_hf(backbone: Backbone, settings: ExtractSettings, weights: Path | None) -> Loaded:
    """A model of transformers, with its weights.

    Args:
        backbone: its name: of a repository of the hub, or a folder.
        settings: of the stage.
        weights: folder of local weights in place of the hub's; it may be a file in such a folder.

    Raises:
        BackboneError: if transformers is not installed, or the folder, the model or a setting cannot be used.
        StageError: if the hub cannot be reached.
    """
    source = str(hf_folder(backbone, weights) or backbone.name)
    with _quiet(), hub_access(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        try:
            config, processor = _described(source)
            _check_length(config, settings, backbone)
            model = _made(source, config, settings, backbone)
        except (OSError, RuntimeError, ValueError, ImportError, KeyError) as error:
            raise _unavailable(backbone, source, error) from error
    family, vision = VIDEO.get(config.model_type), getattr(config, "vision_config", config)
    preprocess = preprocess_of(processor, str(backbone), settings.image_size)
    window = (settings.window or getattr(vision, family.frames)) if family else 0
    features = HfFeatures(model, _plan(config, preprocess.size, window, settings))
    if settings.image_size:
        features.resize(str(backbone), config.model_type)
    told = f"{type(model).__name__}, {settings.output}, pooling {settings.pooling}, float16"
    return Loaded(features, preprocess, window, told, ("transformers",))


def hf_folder(backbone: Backbone, weights: Path | None) -> Path | None:
    """The folder that a model is read from; None for the hub.

    Raises:
        BackboneError: if it is named but holds no model.
    """
    if weights is None and not backbone.name.startswith(("/", ".", "~")):
        return None
    folder = Path(backbone.name).expanduser() if weights is None else weights
    if folder.is_file():
        raise BackboneError(
            f"extract.weights = '{folder}': {backbone} is read from a folder, with its configuration and processor: "
            f"name '{folder.parent}'"
        )
    if not folder.is_dir():
        raise BackboneError(f"'{folder}' does not exist: {backbone} needs a folder that holds config.json and weights")
    weight_files(folder)
    return folder


def check_installed(backbone: Backbone) -> None:
    """Refuse before anything is loaded.

    Raises:
        BackboneError: if transformers is missing.
    """
    if find_spec("transformers") is None:
        raise BackboneError(f"extract.backbone = '{backbone}' needs the package transformers: {INSTALL}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is taken of a model."""

    cells: tuple[int, int, int] | None  # of its patches; None where they are not known
    pooling: str  # mean, cls, attentive or own
    output: Output
    time_last: bool = False


class HfFeatures(nn.Module):
    """A model of transformers whose forward pass gives one row for each picture or window."""

    def __init__(self, model: nn.Module, plan: Plan) -> None:
        super().__init__()
        self.model, self._plan = model, plan
        body: Any = model.vjepa2 if hasattr(model, "vjepa2") else model
        self._call = next(
            (getattr(body, name) for name in ("get_video_features", "get_image_features") if hasattr(body, name)), None
        )
        self._body = [body]  # in a list, so that its parameters are counted once
        self._options: dict[str, Any] = {}
        if "skip_predictor" in inspect.signature(body.forward).parameters:
            self._options["skip_predictor"] = True
        if plan.output.layer is not None:
            self._options["output_hidden_states"] = True

    def forward(self, pictures: Tensor) -> Tensor:
        """Rows (B, D) of pictures (B, C, H, W) or windows (B, T, C, H, W), normalised."""
        found = (self._call or self._body[0])(pictures, **self._options)
        plan = self._plan
        if plan.pooling == "own" and plan.output.plain:
            return self._own(found, len(pictures))
        if plan.pooling == "attentive":
            head: Any = getattr(self.model, "pooler", None)
            attended_BD: Tensor = found.pooler_output if head is None else head(found.last_hidden_state)
            return attended_BD
        return self._of_tokens(self._tokens(found), len(pictures))

    def resize(self, backbone: str, kind: str) -> None:
        """Let the model take pictures of another size than its own.

        Raises:
            BackboneError: if it cannot.
        """
        if kind in ANY_SIZE:
            return
        if (
            kind in FIXED_SIZE
            or "interpolate_pos_encoding" not in inspect.signature(self._call or self._body[0].forward).parameters
        ):
            raise BackboneError(f"extract.image_size: {backbone} takes pictures of its own size alone: leave it out")
        self._options["interpolate_pos_encoding"] = True

    def _own(self, found: Any, batch: int) -> Tensor:
        """What the model gives as the one vector of its input: projected, pooled, the class token, or the mean."""
        if isinstance(found, Tensor):
            return found
        pooled: Tensor | None = getattr(found, "pooler_output", None)
        if pooled is not None:
            return pooled.flatten(1)
        return self._of_tokens(self._tokens(found), batch)

    def _tokens(self, found: Any) -> Tensor:
        """Tokens (B, N, D) of the layer that is asked for; maps (B, D, H, W) as tokens."""
        layer = self._plan.output.layer
        if layer is None:
            tokens: Tensor = found.last_hidden_state
        elif layer < len(found.hidden_states):
            tokens = found.hidden_states[layer]
        else:
            raise BackboneError(f"extract.output = layer:{layer}: the backbone has 0 to {len(found.hidden_states) - 1}")
        return tokens.flatten(2).transpose(1, 2) if tokens.ndim == 4 else tokens

    def _of_tokens(self, tokens_BND: Tensor, batch: int) -> Tensor:
        plan = self._plan
        cells, frames = plan.cells or (1, 1, tokens_BND.shape[1]), len(tokens_BND) // batch
        if frames > 1:  # X-CLIP's tower sees one frame at a time
            cells = (1, *cells[1:])
        prefix = tokens_BND.shape[1] - cells[0] * cells[1] * cells[2]
        placed = plan.cells is not None and 0 <= prefix <= MOST_PREFIX
        if not placed:  # of a model that merges patches on its way, say
            prefix, cells = 0, (1, 1, tokens_BND.shape[1])
        layout = TokenLayout(prefix, cells, plan.time_last)
        if plan.output.grid:
            if not placed:
                raise BackboneError("extract.output: where this backbone's patches are is not known here: take pooled")
            patches = layout.patches(tokens_BND)
            return gridded(patches.reshape(batch, -1, *patches.shape[2:]), plan.output)
        pooling = plan.pooling if plan.pooling in ("mean", "cls") else "cls" if prefix > 0 else "mean"
        if pooling == "cls" and prefix < 1:
            raise BackboneError("extract.pooling = cls: the backbone has no class token: take mean")
        rows_BTD: Tensor = pooled_tokens(tokens_BND, layout, pooling).view(batch, frames, -1)
        return rows_BTD.mean(dim=1)


def _described(source: str) -> tuple[Any, Any]:
    """Configuration and processor."""
    from transformers import AutoConfig, AutoImageProcessor, AutoVideoProcessor

    config = AutoConfig.from_pretrained(source)
    auto: Any = AutoVideoProcessor if config.model_type in VIDEO else AutoImageProcessor
    return config, auto.from_pretrained(source)


def _check_length(config: Any, settings: ExtractSettings, backbone: Backbone) -> None:
    family = VIDEO.get(config.model_type)
    if family is None and any(getattr(settings, name) for name in ("window", "hop")):
        raise BackboneError(f"extract.window, extract.hop: {backbone} sees one frame at a time: leave them out")
    vision = getattr(config, "vision_config", config)
    if family and settings.window and not family.any_length and settings.window != getattr(vision, family.frames):
        raise BackboneError(
            f"extract.window = {settings.window}: {backbone} was made for {getattr(vision, family.frames)} frames and "
            "takes no others: leave it out"
        )


def _made(source: str, config: Any, settings: ExtractSettings, backbone: Backbone) -> nn.Module:
    """The model with all weights that its features need.

    Raises:
        BackboneError: if some are not in the file.
    """
    import transformers

    head = HEADS.get(config.model_type) if settings.pooling == "attentive" else None
    kind: Any = getattr(transformers, head) if head else transformers.AutoModel
    model, info = kind.from_pretrained(source, config=config, dtype=torch.float32, output_loading_info=True)
    missing = sorted(name for name in info["missing_keys"])
    if missing and all(name.startswith("pooler.") for name in missing) and head is None:
        model.pooler = None  # else it would be drawn at random
        missing = []
    if missing or info["mismatched_keys"]:
        what = f"{len(missing)} tensors are missing (first: {missing[0]})" if missing else "tensors of another shape"
        way_out = ": it has no attentive head, take extract.pooling = mean" if head else ""
        raise BackboneError(f"the weights of '{source}' are not those of {type(model).__name__}: {what}{way_out}")
    if settings.pooling == "attentive" and head is None and not _attends(model):
        raise BackboneError(f"extract.pooling = attentive: {backbone} has no such head: take mean")
    return model  # type: ignore[no-any-return]


def _attends(model: nn.Module) -> bool:
    """Whether the model's own pooling is an attentive one, as SigLIP's."""
    return hasattr(getattr(model, "vision_model", None), "head")


def _plan(config: Any, size: tuple[int, int], window: int, settings: ExtractSettings) -> Plan:
    vision, family = getattr(config, "vision_config", config), VIDEO.get(config.model_type)
    output, pooling = parse_output(settings.output), settings.pooling
    if pooling == "auto":
        pooling = family.auto if family else "own"
    if pooling == "attentive" and not output.plain:
        raise BackboneError("extract.pooling = attentive is of the model's end: leave out extract.output")
    return Plan(_cells(vision, size, window), pooling, output, bool(family and family.time_last))


def _cells(vision: Any, size: tuple[int, int], window: int) -> tuple[int, int, int] | None:
    """How many patches there are in time, height and width."""
    tubelet = getattr(vision, "tubelet_size", 1)
    patch = getattr(vision, "patch_size", None)
    if isinstance(tubelet, list | tuple):
        tubelet, *patch = tubelet
    if patch is None:
        return None
    patch_h, patch_w = patch if isinstance(patch, list | tuple) else (patch, patch)
    return max(1, window // tubelet), size[0] // patch_h, size[1] // patch_w


@contextmanager
def _quiet() -> Iterator[None]:
    """Within the block transformers shows no progress bars."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _unavailable(backbone: Backbone, source: str, error: Exception) -> BackboneError | StageError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if isinstance(error, OSError) and not Path(source).is_dir():
        return StageError(
            f"{backbone} could not be had from the model hub: {lines[0]} Connect once (it is kept in the hub's cache), "
            "or give a folder with its files: mofore init --force --weights FOLDER, or extract.weights"
        )
    return BackboneError(f"extract.backbone = '{backbone}' cannot be loaded: {' '.join(lines[:2])}")
