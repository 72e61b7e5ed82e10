"""timm's models as feature extractors, loaded from its hub or from a file that timm itself could have read."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import _builder

from ...data.errors import BackboneError
from .weight_files import Tree, read_weights
from .weight_fit import Convert, Fit, Taker, fit_weights, load_fit


def load_timm(name: str, backbone: str, weights: Path, image_size: int) -> tuple[Any, Fit]:
    """A model without its classifier, with the weights of a file; and how they were found in it.

    It is made for pictures of its own size, unless the weights are of one that was made for ``image_size``: nothing
    is resampled twice.

    Raises:
        BackboneError: if the file's weights are not the model's.
        OSError, RuntimeError, ValueError: if timm cannot make the model.
    """
    with _loads_caught() as converters:  # as timm makes it for pre-trained weights, since some differ then
        model: Any = timm.create_model(name, pretrained=True, num_classes=0)
    taker = Taker(model, backbone, _classifier(name, model), converters[-1] if converters else None)
    with _unheard():
        taker, fit = _fitted(read_weights(weights), taker, weights, image_size)
    load_fit(taker.model, fit)
    return taker.model, fit


def _fitted(tree: Tree, taker: Taker, weights: Path, image_size: int) -> tuple[Taker, Fit]:
    """The model of its own size, or of ``image_size`` where that alone spares resampling; and the weights for it."""
    fit = refused = None
    try:
        fit = fit_weights(tree, taker, weights)
    except BackboneError as error:
        refused = error
    if image_size and hasattr(taker.model, "set_input_size") and (fit is None or fit.resampled):
        sized: Any = copy.deepcopy(taker.model)
        sized.set_input_size(img_size=(image_size, image_size))
        with suppress(BackboneError):
            other = fit_weights(tree, replace(taker, model=sized), weights)
            if not other.resampled:
                return replace(taker, model=sized), other
    if fit is None:
        assert refused is not None
        raise refused
    return taker, fit


@contextmanager
def _unheard() -> Iterator[None]:
    """Within the block nothing is logged: of what is tried and dropped nobody should hear. A fit says what it did."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(disabled)


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
