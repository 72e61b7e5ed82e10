"""Weights fitted to a model: which of a file's dictionaries and prefixes give every tensor that the model has.

A prefix is taken off, and a nested dictionary chosen, only where that makes every name fit. Of several that fit and
differ, averages (EMA) come first, then a teacher, then what bears no such name, a student last; of equals none is
chosen. A library's own converter (timm's ``checkpoint_filter_fn``) is tried where names or shapes do not fit as they
are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...data.errors import BackboneError
from .weight_files import ALONE, TRANSPARENT, UNREADABLE, Tree

Tensors = dict[str, Tensor]
Convert = Callable[..., Any]
RANKS = (("ema", "averaged"), ("teacher",), (), ("student",))  # words of a place, the best first; () is any other
DEPTH = 4  # components of a prefix, at most
COUNTERS = "num_batches_tracked"  # of batch norms; nothing reads them in evaluation mode, and old files lack them


@dataclass(frozen=True, slots=True)
class Taker:
    """A model to be loaded."""

    model: nn.Module  # takes the tensors
    backbone: str  # its name, for messages
    spare: tuple[str, ...] = ()  # beginnings of names that may be left over, a classifier's
    # of the model's library, (tensors, model) to tensors under the model's names; None for none
    convert: Convert | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file tensors lie: keys of nested dictionaries, and what their names begin with."""

    keys: tuple[str, ...]
    prefix: str

    def __str__(self) -> str:
        key = f"key '{'.'.join(self.keys)}'" if self.keys else ""
        prefix = f"names that begin with '{self.prefix}'" if self.prefix else ""
        return ", ".join(part for part in (key, prefix) if part) or "the file's own names"

    def rank(self) -> int:
        """How far behind the best it comes."""
        words = set(re.split(r"[._]", ".".join((*self.keys, self.prefix))))
        ranked = (n for n, wanted in enumerate(RANKS) if words & set(wanted))
        return next(ranked, RANKS.index(()))


@dataclass(frozen=True, slots=True)
class Fit:
    """How tensors of one place fit a model."""

    place: Place  # where they lie
    tensors: Tensors  # under the model's names, float32 where they are numbers with a fraction
    missing: tuple[str, ...]  # names of the model that are not there
    extra: tuple[str, ...]  # names that are neither of the model nor of a classifier
    misshapen: tuple[str, ...]  # names of another shape
    resampled: tuple[str, ...] = ()  # names that the converter gave another size (position embeddings)
    rivals: tuple[Place, ...] = field(default=(), compare=False)

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, left over or of another shape."""
        return not (self.missing or self.extra or self.misshapen)

    def told(self) -> str:
        """One line for the user: what was taken of the file, where that is not simply all; else empty."""
        plain = not (self.place.keys or self.place.prefix or self.rivals)
        taken = [] if plain else [f"taken from {self.place}"]
        taken += [f"not from {place}, which differs" for place in self.rivals]
        taken += [f"resampled: {', '.join(self.resampled[:3])}"] if self.resampled else []
        return "; ".join(taken)


def fit_weights(tree: Tree, taker: Taker, path: Path) -> Fit:
    """Find the tensors of a model in what a file held.

    Args:
        tree: as :func:`.weight_files.read_weights` gives it.
        taker: the model.
        path: of the file, for messages.

    Raises:
        BackboneError: if nothing in it fits, if several do that differ and none comes first, or if a tensor is not
            finite.
    """
    tried = [_fit(taker, place, tensors) for place, tensors in _places(tree, taker)]
    whole = sorted((fit for fit in tried if fit.whole), key=lambda fit: fit.place.rank())
    if not whole:
        raise BackboneError(_refusal(path, taker, tree, tried))
    best = whole[0]
    rivals = [fit for fit in whole[1:] if not _same(best.tensors, fit.tensors)]
    equals = [fit.place for fit in rivals if fit.place.rank() == best.place.rank()]
    if equals:
        raise BackboneError(
            f"extract.weights = '{path}' holds different weights of {taker.backbone}: {best.place}; "
            f"{'; '.join(map(str, equals))}: give a file that holds the wanted ones alone "
            "(torch.save of that dictionary, or of the tensors whose names begin so)"
        )
    _check_finite(best, taker, path)
    return Fit(best.place, best.tensors, (), (), (), best.resampled, tuple(fit.place for fit in rivals))


def load_fit(model: nn.Module, fit: Fit) -> None:
    """Put the tensors of a whole fit into the model that they were fitted to."""
    model.load_state_dict(fit.tensors, strict=False)


def _places(tree: Tree, taker: Taker) -> Iterator[tuple[Place, Tensors]]:
    """Every dictionary and prefix that holds at least half as many tensors as the model has."""
    least = max(1, len(taker.model.state_dict()) // 2)
    for keys, tensors in _dictionaries(tree):
        for prefix in _prefixes(tensors, least):
            named = {name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)}
            yield Place(keys, prefix), named


def _dictionaries(tree: Mapping[Any, Any], keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Tensors]]:
    tensors = {
        _plain(name): value for name, value in tree.items() if isinstance(name, str) and isinstance(value, Tensor)
    }
    if tensors:
        yield keys, tensors
    for name, value in tree.items():
        if isinstance(name, str) and isinstance(value, Mapping) and len(keys) < DEPTH:
            yield from _dictionaries(value, (*keys, name))


def _plain(name: str) -> str:
    for wrapper in TRANSPARENT:
        name = name.replace(wrapper, "")
    return name


def _prefixes(tensors: Tensors, least: int) -> list[str]:
    counts: Counter[str] = Counter()
    for name in tensors:
        parts = name.split(".")
        counts.update(".".join(parts[:depth]) + "." for depth in range(1, min(len(parts), DEPTH + 1)))
    return ["", *(prefix for prefix, count in counts.items() if count >= least)]


def _fit(taker: Taker, place: Place, tensors: Tensors) -> Fit:
    """As they are, or, where that is not whole, converted; whichever is nearer."""
    named = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    plain = _compared(taker, place, named)
    if plain.whole or taker.convert is None:
        return plain
    converted = _converted(taker, named)
    if converted is None:
        return plain
    other = _compared(taker, place, converted, before=named)
    return other if _nearness(other) > _nearness(plain) else plain


def _converted(taker: Taker, named: Tensors) -> Tensors | None:
    """By the library's converter; None where it stumbles over names that it does not know."""
    assert taker.convert is not None
    for arguments in ((dict(named), taker.model), (dict(named),)):  # some take the tensors alone
        try:
            found = taker.convert(*arguments)
        except (*UNREADABLE, AssertionError, NotImplementedError):
            continue
        return {name: tensor for name, tensor in found.items() if isinstance(tensor, Tensor)}
    return None


def _compared(taker: Taker, place: Place, named: Tensors, before: Tensors | None = None) -> Fit:
    own = taker.model.state_dict()
    before = before or {}
    taken = {name: tensor for name, tensor in named.items() if name in own}
    resized = _resized(taken, before)
    # A kernel that a converter resized makes any patch size fit any other: another model's weights.
    kernels = [name for name in resized if taken[name].ndim == 4 and name.endswith(".weight")]
    return Fit(
        place,
        taken,
        missing=tuple(name for name in own if name not in named and not name.endswith(COUNTERS)),
        extra=tuple(name for name in named if name not in own and not name.startswith(taker.spare)),
        misshapen=(*(name for name in taken if taken[name].shape != own[name].shape), *kernels),
        resampled=tuple(resized),
    )


def _resized(taken: Tensors, before: Tensors) -> list[str]:
    """Names that a converter gave values of its own; under a name it may also put what had another one before."""
    read = {tensor.untyped_storage().data_ptr() for tensor in before.values()}
    return [
        name
        for name, tensor in taken.items()
        if name in before and before[name].numel() != tensor.numel() and tensor.untyped_storage().data_ptr() not in read
    ]


def _nearness(fit: Fit) -> tuple[bool, int, int]:
    """The larger, the nearer to a whole fit."""
    return fit.whole, len(fit.tensors) - len(fit.misshapen), -len(fit.extra)


def _same(one: Tensors, other: Tensors) -> bool:
    names = {name for name in one.keys() | other.keys() if not name.endswith(COUNTERS)}
    return all(name in one and name in other and torch.equal(one[name], other[name]) for name in names)


def _check_finite(fit: Fit, taker: Taker, path: Path) -> None:
    own = taker.model.state_dict()
    for name, tensor in fit.tensors.items():
        if not bool(torch.isfinite(tensor).all()) and bool(torch.isfinite(own[name]).all()):
            count = int((~torch.isfinite(tensor)).sum())
            raise BackboneError(
                f"extract.weights = '{path}': {name} holds {count} values that are not finite (a training that "
                "diverged?): give another checkpoint"
            )


def _refusal(path: Path, taker: Taker, tree: Tree, tried: list[Fit]) -> str:
    """What is in the file, how near it comes to the model, and the way out."""
    own = taker.model.state_dict()
    if not tried:
        held = ", ".join(f"'{key}'" for key in list(tree)[:5]) or "nothing"
        return f"extract.weights = '{path}' holds something else than named tensors ({held}): {ALONE}"
    best = max(tried, key=_nearness)
    told = f"extract.weights = '{path}' are not the weights of {taker.backbone}: "
    told += f"{len(best.missing)} of {len(own)} tensors are missing{_first(best.missing)}, "
    told += f"{len(best.extra)} are not of this model{_first(best.extra)}, {len(best.misshapen)} have another shape"
    if best.misshapen:
        name = best.misshapen[0]
        told += f" (first: {name}, {_shape(best.tensors[name])} where the model has {_shape(own[name])})"
    return f"{told}; {_nearest(best)}. Name the backbone that they are of with extract.backbone; or, {ALONE}"


def _nearest(best: Fit) -> str:
    if not best.tensors:
        return "none of its names is one of the model's"
    where = f"nearest were {best.place}"
    name = next(iter(best.tensors))
    return f"{where}: '{best.place.prefix}{name}'" if best.place.prefix else where


def _first(names: tuple[str, ...]) -> str:
    return f" (first: {names[0]})" if names else ""


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"
