"""What a file of tuned weights says of the encoder that it was tuned from, wherever the file is moved to.

The layers of a model are named by ``extract.backbone``; the preprocessing and the activation that its weights were
trained with may be known by the pre-training's tag alone, which tuned weights have none of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...cache.checkpoint import read_meta
from ...data.errors import StoreError
from ..decode.preprocess import Preprocess

if TYPE_CHECKING:
    from collections.abc import Mapping

ENCODER = "encoder"  # in the meta object of a checkpoint


@dataclass(frozen=True, slots=True)
class Carried:
    """The encoder that weights were tuned in."""

    backbone: str  # as ``extract.backbone`` named it
    preprocess: Preprocess  # what the frames went through
    image_size: int  # of the settings; 0 for the backbone's own
    quick_gelu: bool | None  # open_clip's activation; None for other libraries' models

    def at_size_of(self, preprocess: Preprocess) -> Preprocess:
        """What was carried, for pictures of another size where ``extract.image_size`` asks for them."""
        if preprocess.size == self.preprocess.size:
            return self.preprocess
        return replace(self.preprocess, size=preprocess.size, scale=preprocess.scale)


def describe_encoder(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """For the file of weights that are tuned in an encoder of this provenance."""
    return {
        "backbone": provenance["backbone"],
        "preprocess": provenance["preprocess"],
        "image_size": provenance["settings"]["image_size"],
        "quick_gelu": provenance["quick_gelu"],
    }


def read_carried(path: Path | None) -> Carried | None:
    """What the file carries; None if it is another's than ``mofore finetune``'s."""
    try:
        said = read_meta(path).get(ENCODER) if path and path.suffix == ".safetensors" else None
    except (StoreError, OSError):  # whoever loads the weights says what is wrong with the file
        return None
    if not isinstance(said, dict):
        return None
    preprocess: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in said["preprocess"].items()
    }
    return Carried(said["backbone"], Preprocess(**preprocess), said["image_size"], said["quick_gelu"])
