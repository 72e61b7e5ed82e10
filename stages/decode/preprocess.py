"""A backbone's own preprocessing, on batches of decoded frames as uint8 tensors.

Resize and crop are torch's antialiased uint8 kernels in place of PIL, frame by frame the same picture to
within rounding (`tests/stages/test_preprocess.py` holds it against timm's and open_clip's own transforms);
normalisation is left to the forward pass, so that a frame travels as bytes.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ...data.errors import BackboneError

IN_CACHE = 4  # frames that are resized at once, so that what lies between the two directions stays in the cache
REACH = {"bilinear": 1, "bicubic": 2}  # pixels on either side that one is made of, where nothing gets smaller


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Resize to a scale, then crop (or pad) the centre."""

    size: tuple[int, int]  # (height, width) that the backbone sees
    scale: tuple[int, int]  # (height, width) to resize to before the crop
    # "shortest" keeps the aspect and covers the scale, "longest" keeps it and stays inside, "squash" does not keep it
    fit: Literal["shortest", "longest", "squash"]
    interpolation: str  # "bilinear" or "bicubic", antialiased
    mean: tuple[float, float, float]  # of the channels, in [0, 1]
    std: tuple[float, float, float]  # of the channels, in [0, 1]
    fill: tuple[int, int, int] = (0, 0, 0)  # value of padded pixels, 0 to 255, per channel
    floors: bool = False  # whether half a pixel before the crop is left out (transformers) or rounded (torchvision)

    def __post_init__(self) -> None:
        if self.interpolation not in ("bilinear", "bicubic"):
            raise BackboneError(
                f"the backbone resizes with {self.interpolation!r}; only bilinear and bicubic can be reproduced here"
            )

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Size that a picture of (height, width) is resized to."""
        scale_h, scale_w = self.scale
        if self.fit == "squash":
            return self.scale
        if self.fit == "shortest" and scale_h == scale_w:  # torchvision's Resize(int) cuts the longer side
            if height <= width:
                return scale_h, int(scale_h * width / height)
            return int(scale_h * height / width), scale_h
        ratios = height / scale_h, width / scale_w
        ratio = min(ratios) if self.fit == "shortest" else max(ratios)
        return round(height / ratio), round(width / ratio)

    def __call__(self, frames_BHWC: Tensor) -> Tensor:
        """Resize and crop uint8 frames of one size; uint8 (B, C, H, W), channels last in memory."""
        frames_BCHW = frames_BHWC.permute(0, 3, 1, 2)
        target = self.resized(*frames_BCHW.shape[2:])
        if target == tuple(frames_BCHW.shape[2:]):
            return self.crop_or_pad(frames_BCHW)
        if target[0] < self.size[0] or target[1] < self.size[1]:
            return self.crop_or_pad(self._resize(frames_BCHW, target))
        cropped_BHWC = torch.empty(len(frames_BHWC), *self.size, 3, dtype=torch.uint8, device=frames_BHWC.device)
        for start in range(0, len(frames_BHWC), IN_CACHE):
            part_BCHW = self._resize_and_crop(frames_BCHW[start : start + IN_CACHE], target)
            cropped_BHWC[start : start + IN_CACHE] = part_BCHW.permute(0, 2, 3, 1)
        return cropped_BHWC.permute(0, 3, 1, 2)

    def normalise(self, frames_BCHW: Tensor) -> Tensor:
        """Float32 from uint8: (x / 255 - mean) / std, as one multiplication and one addition."""
        mean_C = torch.tensor(self.mean, device=frames_BCHW.device).view(3, 1, 1)
        std_C = torch.tensor(self.std, device=frames_BCHW.device).view(3, 1, 1)
        return torch.addcmul(-mean_C / std_C, frames_BCHW.float(), 1 / (255 * std_C))

    def describe(self) -> dict[str, Any]:
        """For the store's provenance."""
        said = asdict(self)
        if not self.floors:  # stores of earlier versions do not say so
            del said["floors"]
        return said

    def crop_or_pad(self, frames_BCHW: Tensor) -> Tensor:
        """The centre of resized frames (B, C, H, W), filled up where they are too small."""
        height, width = self.size
        if frames_BCHW.shape[2] < height or frames_BCHW.shape[3] < width:
            frames_BCHW = self._pad(frames_BCHW)
        top, left = self.corner(*frames_BCHW.shape[2:])
        return frames_BCHW[:, :, top : top + height, left : left + width]

    def _resize(self, frames_BCHW: Tensor, target: tuple[int, int]) -> Tensor:
        return functional.interpolate(frames_BCHW, target, mode=self.interpolation, antialias=True, align_corners=False)

    def _resize_and_crop(self, frames_BCHW: Tensor, target: tuple[int, int]) -> Tensor:
        """The centre of resized frames, what lies below and to the right of it never made: the same pixels."""
        top, left = self.corner(*target)
        (height, width), have = self.size, frames_BCHW.shape[2:]
        seen_h, made_h = self._extent(top + height, target[0], have[0])
        seen_w, made_w = self._extent(left + width, target[1], have[1])
        # What functional.interpolate calls; it would not take sizes and scales that differ.
        resize = getattr(torch.ops.aten, f"_upsample_{self.interpolation}2d_aa")
        scales = target[0] / have[0], target[1] / have[1]
        resized_BCHW: Tensor = resize(frames_BCHW[:, :, :seen_h, :seen_w], (made_h, made_w), False, *scales)
        return resized_BCHW[:, :, top : top + height, left : left + width]

    def corner(self, height: int, width: int) -> tuple[int, int]:
        """Where the centre of a resized frame begins."""
        whole = math.floor if self.floors else round
        return whole((height - self.size[0]) / 2), whole((width - self.size[1]) / 2)

    def _extent(self, wanted: int, target: int, have: int) -> tuple[int, int]:
        """How many of ``have`` pixels the first ``wanted`` of ``target`` are made of, and how many are made of them.

        The kernel takes equal numbers for a direction that stays as it is; so they differ where it doesn't.
        """
        if target == have:
            return wanted, wanted
        step = have / target
        seen = min(have, math.ceil(wanted * step + REACH[self.interpolation] * max(step, 1.0)) + 1)
        if seen != wanted:
            return seen, wanted
        return (seen + 1, wanted) if seen < have else (have, target)

    def _pad(self, frames_BCHW: Tensor) -> Tensor:
        batch, _, have_h, have_w = frames_BCHW.shape
        height, width = max(self.size[0], have_h), max(self.size[1], have_w)
        padded = (
            torch.tensor(self.fill, dtype=torch.uint8, device=frames_BCHW.device)
            .view(1, 3, 1, 1)
            .repeat(batch, 1, height, width)
        )
        top, left = (height - have_h) // 2, (width - have_w) // 2
        padded[:, :, top : top + have_h, left : left + have_w] = frames_BCHW
        return padded.contiguous(memory_format=torch.channels_last)


def timm_preprocess(config: dict[str, Any], image_size: int = 0) -> Preprocess:
    """From what ``timm.data.resolve_model_data_config`` says; ``image_size`` replaces the model's own.

    Where ``crop_pct`` is above 1 the resized picture is smaller than the crop: timm pads it with black, in the crop
    mode "border" with the mean colour.
    """
    size = (image_size, image_size) if image_size else tuple(config["input_size"][1:])
    scale = tuple(int(side / config["crop_pct"]) for side in size)
    mean, std = tuple(config["mean"]), tuple(config["std"])
    fit: Any = {"squash": "squash", "border": "longest"}.get(config["crop_mode"], "shortest")
    fill = tuple(round(255 * value) for value in mean) if fit == "longest" else (0, 0, 0)
    return Preprocess(size, scale, fit, config["interpolation"], mean, std, fill)  # type: ignore[arg-type]


def open_clip_preprocess(config: dict[str, Any]) -> Preprocess:
    """From ``model.visual.preprocess_cfg`` of an open_clip model."""
    size = config["size"]
    size = (size, size) if isinstance(size, int) else tuple(size)
    fill = (int(config.get("fill_color", 0)),) * 3
    return Preprocess(
        size, size, config["resize_mode"], config["interpolation"], tuple(config["mean"]), tuple(config["std"]), fill
    )
