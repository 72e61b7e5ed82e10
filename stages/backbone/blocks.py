"""The blocks of a backbone, in order, whatever its kind: which parameters are trained, and how fast.

timm's models say themselves which parameters belong together (``group_matcher``); open_clip's image towers are
described here in the same notation.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from timm.models import group_parameters
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...data.errors import BackboneError
from .encoder import Encoder

WITH_PREVIOUS = (99999,)  # timm's mark of what belongs to the group before
TOWERS: dict[str, dict[str, Any]] = {
    "transformer": {
        "stem": r"^(?:class_embedding|positional_embedding|conv1|ln_pre|patch_dropout)",
        "blocks": [(r"^transformer\.resblocks\.(\d+)", None)],
    },
    "layer4": {"stem": r"^(?:conv|bn)\d", "blocks": [(r"^layer(\d+)\.(\d+)", None)]},
}


@dataclass(frozen=True, slots=True)
class Block:
    """Parameters that are trained at one rate."""

    names: tuple[str, ...]  # of the parameters, in the model
    share: float  # of the learning rate


def blocks_of(encoder: Encoder) -> list[tuple[str, ...]]:
    """Names of the parameters of each block, from the stem (the first) to the last block, which has the head's too.

    Raises:
        BackboneError: if the model does not say what its blocks are.
    """
    model, before = encoder.model, ""
    if encoder.method == "encode_image":
        model, before = model.visual, "visual."  # type: ignore[assignment]
        if hasattr(model, "trunk"):
            head = tuple(f"visual.head.{name}" for name, _ in model.head.named_parameters())  # type: ignore[union-attr]
            groups = _grouped(model.trunk, "visual.trunk.", encoder)  # type: ignore[arg-type]
            return [*groups[:-1], groups[-1] + head]
    return _grouped(model, before, encoder)


def last_blocks(encoder: Encoder, count: int, *, decay: float) -> list[Block]:
    """The last ``count`` blocks, the last first; each learns at ``decay`` times the rate of the one before it here.

    Raises:
        BackboneError: if there are not so many blocks.
    """
    blocks = blocks_of(encoder)
    if count > len(blocks):
        raise BackboneError(
            f"finetune.blocks = {count}: {encoder.provenance['backbone']} has {len(blocks)} blocks, the stem included"
        )
    return [Block(names, decay**number) for number, names in enumerate(reversed(blocks[-count:]))]


def trained_copy(model: nn.Module, trained: set[str]) -> nn.Module:
    """A copy of which the ``trained`` parameters are its own, and everything else is the model's."""
    shared: list[Tensor] = [tensor for name, tensor in model.named_parameters() if name not in trained]
    shared += list(model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in shared})


def checkpoint_modules(model: nn.Module, blocks: list[Block]) -> None:
    """Let trained modules keep their input alone, and compute again in the backward pass what it needs."""
    for block in blocks:
        for module in _whole_modules(model, "", frozenset(block.names)):
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)


def _whole_modules(module: nn.Module, path: str, names: frozenset[str]) -> Iterator[nn.Module]:
    """The largest modules below ``module`` that have parameters, all of them among ``names``."""
    for name, child in module.named_children():
        below = f"{path}{name}."
        own = {f"{below}{parameter}" for parameter, _ in child.named_parameters()}
        if own and own <= names and not isinstance(child, nn.ModuleList):
            yield child
        elif own & names:
            yield from _whole_modules(child, below, names)


def _grouped(model: nn.Module, before: str, encoder: Encoder) -> list[tuple[str, ...]]:
    matcher = _matcher(model)
    if matcher is None:
        raise BackboneError(f"{encoder.provenance['backbone']} does not say what its blocks are: it cannot be tuned")
    groups = group_parameters(model, _with_rest(matcher))
    return [tuple(f"{before}{name}" for name in groups[number]) for number in sorted(groups)]


def _matcher(model: nn.Module) -> Any:
    if hasattr(model, "group_matcher"):
        return model.group_matcher(coarse=False)  # type: ignore[operator]
    return next((matcher for name, matcher in TOWERS.items() if hasattr(model, name)), None)


def _with_rest(matcher: Any) -> Any:
    """The same groups, where what none of them names (a head's norm) goes with the last block."""
    if not isinstance(matcher, dict):
        return matcher
    *_, last = matcher
    entries = matcher[last] if isinstance(matcher[last], tuple | list) else [(matcher[last], None)]
    return {**matcher, last: [*entries, (r".", WITH_PREVIOUS)]}
