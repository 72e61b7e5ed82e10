"""A user's own backbone: a function that makes it (``python:MODULE:FUNCTION``); docs/backbones.md has an example."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

from torch import nn

from ...data.backbone import Backbone
from ...data.errors import BackboneError
from ...data.settings import ExtractSettings
from ..decode.preprocess import Preprocess
from .loaded import Loaded

FITS = ("shortest", "longest", "squash")


def load_python(backbone: Backbone, settings: ExtractSettings, weights: Path | None) -> Loaded:
    """What the user's function makes.

    The function is called without arguments, or with ``weights=PATH`` where ``extract.weights`` is given. It returns
    any object with these attributes: ``module`` (an ``nn.Module``: normalised float32 pictures (B, 3, H, W), or windows
    (B, T, 3, H, W), to features (B, D)), ``size`` (of the picture: a number, or height and width), ``mean`` and ``std``
    (of the three channels, in [0, 1]); and, where they differ from what is given here, ``resize`` (what is cropped to
    ``size``; as ``size``), ``fit`` ("shortest"; "longest", "squash"), ``interpolation`` ("bilinear"; "bicubic"),
    ``kind`` ("image"; "clip"), ``window`` (frames of a clip), ``version`` (""; raise it where the features change
    otherwise than by weights or preprocessing).

    Raises:
        BackboneError: if the function cannot be had, or an attribute is missing or wrong.
    """
    made = _called(backbone, weights)
    module = _needed(made, "module", backbone)
    if not isinstance(module, nn.Module):
        raise BackboneError(f"{backbone}: its module is {type(module).__name__}; a torch.nn.Module is needed")
    clip = _chosen(made, "kind", ("image", "clip"), backbone) == "clip"
    window = _window(made, settings, backbone) if clip else 0
    if not clip and (settings.window or settings.hop):
        raise BackboneError(f"extract.window, extract.hop: {backbone} sees one frame at a time: leave them out")
    for name in ("image_size", "output", "pooling"):
        if (value := getattr(settings, name)) != getattr(ExtractSettings, name):
            raise BackboneError(f"extract.{name} = {value!r}: it is for {backbone} to decide: leave it out")
    described, told = {"own_version": str(getattr(made, "version", ""))}, "of the user's module, float16"
    return Loaded(module.float(), _preprocess(made, backbone), window, told, described=described)


def check_python(backbone: Backbone) -> None:
    """Refuse a name that is no MODULE:FUNCTION, or leads to no function.

    Raises:
        BackboneError: naming what is wrong.
    """
    _function(backbone)


def _called(backbone: Backbone, weights: Path | None) -> Any:
    function = _function(backbone)
    if weights is None:
        return function()
    if "weights" not in inspect.signature(function).parameters:
        raise BackboneError(f"extract.weights = '{weights}': the function of {backbone} takes no argument weights")
    return function(weights=weights)


def _function(backbone: Backbone) -> Any:
    module_name, _, name = backbone.name.partition(":")
    if not module_name or not name:
        raise BackboneError(
            f"extract.backbone = '{backbone}': python:MODULE:FUNCTION is needed, for example python:models.mine:make"
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise BackboneError(
            f"extract.backbone = '{backbone}': {module_name} cannot be imported ({error}): install it beside mofore, "
            "or name its folder in PYTHONPATH"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise BackboneError(f"extract.backbone = '{backbone}': {module_name} has no function {name!r}")
    return function


def _preprocess(made: Any, backbone: Backbone) -> Preprocess:
    size = _sides(_needed(made, "size", backbone), "size", backbone)
    scale = _sides(getattr(made, "resize", size), "resize", backbone)
    fit: Any = _chosen(made, "fit", FITS, backbone)
    mean, std = (_channels(_needed(made, name, backbone), name, backbone) for name in ("mean", "std"))
    return Preprocess(size, scale, fit, str(getattr(made, "interpolation", "bilinear")), mean, std)


def _window(made: Any, settings: ExtractSettings, backbone: Backbone) -> int:
    window = settings.window or _needed(made, "window", backbone)
    if not isinstance(window, int) or window < 1:
        raise BackboneError(f"{backbone}: its window is {window!r}; a number of frames is needed")
    return window


def _needed(made: Any, name: str, backbone: Backbone) -> Any:
    value = getattr(made, name, None)
    if value is None:
        raise BackboneError(f"{backbone}: what its function returns has no attribute {name!r}: see docs/backbones.md")
    return value


def _chosen(made: Any, name: str, allowed: tuple[str, ...], backbone: Backbone) -> str:
    value = getattr(made, name, allowed[0])
    if value not in allowed:
        raise BackboneError(f"{backbone}: its {name} is {value!r}; one of {', '.join(allowed)} is needed")
    return str(value)


def _sides(value: Any, name: str, backbone: Backbone) -> tuple[int, int]:
    sides = (value, value) if isinstance(value, int) else tuple(value)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise BackboneError(f"{backbone}: its {name} is {value!r}; a number, or height and width, is needed (px)")
    return sides


def _channels(value: Any, name: str, backbone: Backbone) -> tuple[float, float, float]:
    three = tuple(map(float, value))
    if len(three) != 3:
        raise BackboneError(f"{backbone}: its {name} is {value!r}; three numbers in [0, 1] are needed")
    return three
