"""What transformers' image and video processors do to a frame, as a :class:`..decode.preprocess.Preprocess`."""

from __future__ import annotations

from typing import Any

from ...data.errors import BackboneError
from ..decode.preprocess import Preprocess

INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers


def preprocess_of(processor: Any, backbone: str, image_size: int = 0) -> Preprocess:
    """From a processor's attributes; ``image_size`` replaces its own size, the crop keeping its share.

    Rescaling by r and shifting by o before normalising (ViViT's) are part of mean and deviation here: for x in [0, 1],
    (255 r x - o - mean) / std = (x - (mean + o) / (255 r)) / (std / (255 r)).

    Raises:
        BackboneError: if it does something that cannot be done here.
    """
    said = processor.to_dict()
    if not said.get("do_resize", True) or not said.get("do_rescale", True):
        raise BackboneError(f"the processor of {backbone} does not resize or rescale: it cannot be used here")
    scale, fit = _scale(said, backbone)
    crop = _sides(said.get("crop_size")) if said.get("do_center_crop") else None
    if crop is None and fit == "shortest":
        raise BackboneError(f"the processor of {backbone} gives pictures of several sizes: they cannot be batched here")
    size = crop or scale
    if image_size:
        scale = tuple(round(side * image_size / own) for side, own in zip(scale, size, strict=True))  # type: ignore[assignment]
        size = (image_size, image_size)
    gain = 255 * said.get("rescale_factor", 1 / 255)
    # ViViT's shifts by 1 whether or not its configuration says so.
    shift = 1.0 if said.get("offset") or type(processor).__name__ == "VivitVideoProcessor" else 0.0
    normalises = said.get("do_normalize", True)
    mean = _three(said.get("image_mean") if normalises else 0.0)
    std = _three(said.get("image_std") if normalises else 1.0)
    return Preprocess(
        size,
        scale,
        fit,
        INTERPOLATIONS.get(int(said.get("resample", 2)), str(said.get("resample"))),
        tuple((value + shift) / gain for value in mean),
        tuple(value / gain for value in std),
        floors=True,
    )


def _scale(said: dict[str, Any], backbone: str) -> tuple[tuple[int, int], Any]:
    size: Any = said.get("size")
    shortest = size.get("shortest_edge") if isinstance(size, dict) else None
    if shortest and not size.get("longest_edge"):
        return (int(shortest), int(shortest)), "shortest"
    sides = _sides(size)
    if sides is None:
        raise BackboneError(f"the processor of {backbone} resizes to {size}, which cannot be done here")
    return sides, "squash"


def _sides(size: Any) -> tuple[int, int] | None:
    if isinstance(size, int):
        return size, size
    if isinstance(size, dict) and size.get("height") and size.get("width"):
        return int(size["height"]), int(size["width"])
    return None


def _three(value: Any) -> tuple[float, float, float]:
    return (float(value),) * 3 if isinstance(value, int | float) else tuple(map(float, value))  # type: ignore[return-value]
