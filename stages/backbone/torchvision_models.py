"""torchvision's models as feature extractors: of video (r3d_18, s3d, mvit_v2_s, ...) by windows, others by pictures."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ...data.backbone import Backbone
from ...data.errors import BackboneError, StageError
from ...data.settings import ExtractSettings
from ..decode.preprocess import Preprocess
from .loaded import Loaded
from .weight_files import read_weights
from .weight_fit import Taker, fit_weights, load_fit

# Frames of a clip that torchvision's own recipes evaluate with; MViT and Video Swin are built for theirs.
FRAMES = {"s3d": 128, "swin3d_t": 32, "swin3d_s": 32, "swin3d_b": 32}
OTHER_FRAMES = 16
BUILT_FOR = ("mvit",)
CLASSIFIERS = ("fc", "head", "heads", "classifier")


class TorchvisionFeatures(nn.Module):
    """A model without its classifier; windows (B, T, C, H, W) as torchvision takes them, channels before time."""

    def __init__(self, model: nn.Module, *, clips: bool) -> None:
        super().__init__()
        self.model, self._clips = model, clips

    def forward(self, pictures: Tensor) -> Tensor:
        """Rows (B, D)."""
        rows: Tensor = self.model(pictures.transpose(1, 2) if self._clips else pictures)
        return rows.flatten(1)


def load_torchvision(backbone: Backbone, settings: ExtractSettings, weights: Path | None) -> Loaded:
    """A model with its best weights of torchvision, or those of a file.

    Raises:
        BackboneError: if torchvision cannot be imported, or does not know the model or a setting.
        StageError: if the weights cannot be fetched.
    """
    models = _models(backbone)
    clips = backbone.name in models.list_models(module=models.video)
    _refuse(backbone, settings, clips=clips)
    default = models.get_model_weights(backbone.name).DEFAULT
    taken = ""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        try:
            model = models.get_model(backbone.name, weights=default if weights is None else None)
        except OSError as error:
            raise StageError(
                f"the weights of {backbone} could not be fetched ({error}): connect once (torch.hub keeps them), or "
                "give a local file with --weights"
            ) from error
    name = next(name for name in CLASSIFIERS if hasattr(model, name))
    setattr(model, name, nn.Identity())
    if weights is not None:
        fit = fit_weights(read_weights(weights), Taker(model, str(backbone), (f"{name}.",)), weights)
        load_fit(model, fit)
        taken = fit.told()
    frames = (settings.window or FRAMES.get(backbone.name, OTHER_FRAMES)) if clips else 0
    preprocess = preset_preprocess(default.transforms())
    features = TorchvisionFeatures(model, clips=clips)
    return Loaded(features, preprocess, frames, packages=("torchvision",), taken=taken)


def preset_preprocess(preset: Any) -> Preprocess:
    """From what torchvision gives beside weights (``weights.transforms()``)."""
    size, scale = (tuple(map(int, value)) for value in (preset.crop_size, preset.resize_size))
    fit: Any = "squash" if len(scale) == 2 else "shortest"
    return Preprocess(
        size * 2 if len(size) == 1 else size,  # type: ignore[arg-type]
        scale * 2 if len(scale) == 1 else scale,  # type: ignore[arg-type]
        fit,
        preset.interpolation.value,
        tuple(preset.mean),
        tuple(preset.std),
    )


def check_torchvision(backbone: Backbone) -> None:
    """Refuse a name that torchvision does not know.

    Raises:
        BackboneError: naming the nearest that it does.
    """
    models = _models(backbone)
    known = [name for module in (models, models.video) for name in models.list_models(module=module)]
    if backbone.name not in known:
        near = get_close_matches(backbone.name, known, 3, 0.5)
        video = ", ".join(models.list_models(module=models.video))
        hint = f"did you mean {' or '.join(near)}?" if near else f"of videos there are {video}"
        raise BackboneError(f"extract.backbone = '{backbone}': torchvision has no model {backbone.name!r}; {hint}")


def _models(backbone: Backbone) -> ModuleType:
    try:
        from torchvision import models
    except (ImportError, RuntimeError, AttributeError) as error:
        raise BackboneError(
            f"extract.backbone = '{backbone}': torchvision cannot be imported beside torch {torch.__version__} "
            f"({error}): install the two that belong together, for example pip install torch==2.14.1 "
            "torchvision==0.29.1 (see docs/backbones.md)"
        ) from error
    return models  # type: ignore[no-any-return]


def _refuse(backbone: Backbone, settings: ExtractSettings, *, clips: bool) -> None:
    if settings.window and (not clips or backbone.name.startswith(BUILT_FOR)):
        frames = f"takes {OTHER_FRAMES} frames" if clips else "sees one frame at a time"
        raise BackboneError(f"extract.window = {settings.window}: {backbone} {frames}: leave it out")
    for name in ("image_size", "output", "pooling", *(() if clips else ("hop",))):
        value = getattr(settings, name)
        if value != getattr(ExtractSettings, name):
            raise BackboneError(f"extract.{name} = {value!r}: {backbone} has its own alone: leave it out")
