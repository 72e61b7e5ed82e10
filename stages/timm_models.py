"""timm's models as feature extractors, loaded from its hub or from a file that timm itself could have read."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..data.errors import BackboneError
from .torchvision_ops import import_torchvision
from .weight_files import read_weights
from .weight_fit import Convert, Fit, Taker, fit_weights, load_fit

import_torchvision()

import timm  # noqa: E402 - torchvision must be importable first
from timm.models import _builder  # noqa: E402


def load_timm(name: str, backbone: str, weights: Path, image_size: int) -> tuple[Any, Fit]:
    """A model without its classifier, with the weights of a file; and how they were found in it.

    It is made for pictures of its own size, unless the weights are of one that was made for ``image_size``: nothing
    is resampled twice.

    Raises:
        BackboneError: if the file's weights are not the model's.
        OSError, RuntimeError, ValueError: if timm cannot make the model.
    """
    model, convert = _made_to_load(name)
    tree, spare = read_weights(weights), _classifier(name, model)
    try:
        fit, refused = fit_weights(tree, Taker(model, backbone, spare, convert), weights), None
    except BackboneError as error:
        fit, refused = None, error
    if image_size and hasattr(model, "set_input_size") and (fit is None or fit.resampled):
        sized = copy.deepcopy(model)
        sized.set_input_size(img_size=(image_size, image_size))
        try:
            other = fit_weights(tree, Taker(sized, backbone, spare, convert), weights)
        except BackboneError:
            other = None
        if other is not None and not other.resampled:
            model, fit = sized, other
    if fit is None:
        assert refused is not None
        raise refused
    load_fit(model, fit)
    return model, fit


def _made_to_load(name: str) -> tuple[Any, Convert | None]:
    """A model as timm makes it for pre-trained weights (some differ then), and its converter of other names."""
    with _loads_caught() as converters:
        model: Any = timm.create_model(name, pretrained=True, num_classes=0)
    return model, converters[-1] if converters else None


@contextmanager
def _loads_caught() -> Iterator[list[Convert | None]]:
    """Within the block timm loads no weights; its converters, which it tells to its own loader only, are kept."""
    own, caught = _builder.load_pretrained, []

    def stand_in(*_arguments: Any, filter_fn: Convert | None = None, **_options: Any) -> None:
        caught.append(filter_fn)

    _builder.load_pretrained = stand_in
    try:
        yield caught
    finally:
        _builder.load_pretrained = own


def _classifier(name: str, model: Any) -> tuple[str, ...]:
    """Beginnings of the names that features do not need: those of the same model with a classifier, and no others."""
    declared = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    prefixes = {f"{one}." for one in ((declared,) if isinstance(declared, str) else declared)}
    try:
        with torch.device("meta"):
            whole = timm.create_model(name, num_classes=1000).state_dict()
    except (OSError, RuntimeError, ValueError, TypeError, NotImplementedError):  # it computes as it is made
        whole = {}
    return tuple(sorted(prefixes | (whole.keys() - model.state_dict().keys())))
