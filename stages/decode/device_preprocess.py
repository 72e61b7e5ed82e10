"""Colour conversion, resize and crop on the device, from YUV planes: what :class:`.preprocess.Preprocess` does there.

swscale rounds the coefficients of the frame's matrix to 13 bits, repeats each chroma sample over its 2 x 2 pixels,
and rounds every product down. So does this, and the resized pixels are rounded to bytes as the uint8 kernels of the
processor round them.

A GPU is bound by the memory that it moves. So chroma's products are taken at chroma's size, and the antialiased resize
is one product of matrices for each direction, over what the crop sees alone: torch's own kernel makes the whole
picture, in float32 from float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ...data.colours import LUMA
from ...data.planes import PlaneLayout
from .preprocess import Preprocess

STEPS = 1 << 13  # of a coefficient, per unit: swscale's vector code
RESIZE = 2  # number of this arithmetic, for the record of a store: another one differs in single pixels, by one step


def coefficients(layout: PlaneLayout) -> tuple[float, float, float, float, float]:
    """What Y counts in every channel, V in red, U and V in green, and U in blue (H.273), in swscale's numbers."""
    kr, kb = LUMA[layout.matrix]
    kg = 1 - kr - kb
    red_v, blue_u = 2 * (1 - kr), 2 * (1 - kb)
    exact = (red_v, -kb / kg * blue_u, -kr / kg * red_v, blue_u)
    rv, gu, gv, bu = (_rounded(value, full_range=layout.full_range) for value in exact)
    return (1.0 if layout.full_range else round(255 / 219 * STEPS) / STEPS), rv, gu, gv, bu


def _rounded(value: float, *, full_range: bool) -> float:
    """A coefficient of chroma as swscale has it: for 16 to 240 to 16 bits, from there to the full range, then to 13.

    Multiples of 1 / :data:`STEPS`, so that products with bytes, and their sums, are exact in float32.
    """
    whole = round(value * 255 / 224 * (1 << 16))
    whole = int(whole * 224 / 255) if full_range else whole
    return math.floor(whole / 8 + 0.5) / STEPS


@dataclass(frozen=True, slots=True)
class Span:
    """Rows (or columns) of a picture, and the matrix that makes the wanted ones of them."""

    first: int
    end: int
    weights: Tensor | None  # (wanted, end - first) float32; None where nothing is resized


@dataclass(frozen=True, slots=True)
class FromPlanes:
    """Frames of one layout to preprocessed ones; all that it needs lies on the device, so that it can be captured."""

    layout: PlaneLayout
    preprocess: Preprocess
    rows: Span
    columns: Span

    @classmethod
    def of(cls, layout: PlaneLayout, preprocess: Preprocess, device: torch.device) -> FromPlanes:
        """What a device needs for frames of a layout."""
        have, target = (layout.height, layout.width), preprocess.resized(layout.height, layout.width)
        whole = target[0] < preprocess.size[0] or target[1] < preprocess.size[1]  # it is padded in the end
        begin, size = ((0, 0), target) if whole else (preprocess.corner(*target), preprocess.size)
        spans = (
            _span(have[side], target[side], begin[side], size[side], preprocess.interpolation, device)
            for side in (0, 1)
        )
        return cls(layout, preprocess, *spans)

    def __call__(self, planes_NB: Tensor) -> Tensor:
        """Uint8 (N, 3, H, W), channels last in memory, where the planes, uint8 (N, layout.bytes), are."""
        rgb_NCHW = _rgb(planes_NB, self.layout, self.rows, self.columns)
        if self.rows.weights is None and self.columns.weights is None:
            return self.preprocess.crop_or_pad(_bytes(rgb_NCHW))
        made_NCHW = rgb_NCHW.float()
        if self.columns.weights is not None:
            made_NCHW = made_NCHW @ self.columns.weights.T
        if self.rows.weights is not None:
            made_NCHW = torch.matmul(self.rows.weights, made_NCHW)
        return self.preprocess.crop_or_pad(_bytes(made_NCHW.round_().clamp_(0, 255)))


def _bytes(values_NCHW: Tensor) -> Tensor:
    return values_NCHW.to(torch.uint8, memory_format=torch.channels_last)


def _span(have: int, target: int, begin: int, size: int, interpolation: str, device: torch.device) -> Span:
    """What the pixels ``begin`` to ``begin + size`` of a direction resized from ``have`` to ``target`` are made of."""
    if have == target:
        return Span(begin, begin + size, None)
    eye_11HW = torch.eye(have)[None, None]  # a picture of one bright row each: resized, it shows every weight
    made_HW = functional.interpolate(eye_11HW, (target, have), mode=interpolation, antialias=True, align_corners=False)[
        0, 0, begin : begin + size
    ]
    seen = torch.nonzero(made_HW.any(dim=0)).flatten()
    first, end = int(seen[0]), int(seen[-1]) + 1
    return Span(first, end, made_HW[:, first:end].contiguous().to(device))


def _rgb(planes_NB: Tensor, layout: PlaneLayout, rows: Span, columns: Span) -> Tensor:
    """The seen part of RGB, int16 whole numbers from 0 to 255, (N, 3, rows, columns)."""
    height, width = layout.height, layout.width
    top, left = rows.first // 2, columns.first // 2  # of chroma
    bottom, right = -(-rows.end // 2), -(-columns.end // 2)
    y_scale, red_v, green_u, green_v, blue_u = coefficients(layout)
    y_NHW = planes_NB[:, : height * width].view(-1, height, width)
    y_NHW = y_NHW[:, 2 * top : 2 * bottom, 2 * left : 2 * right]
    black = 0.0 if layout.full_range else 16 * y_scale
    y_NHW = torch.mul(y_NHW, y_scale).sub_(black).floor_().short()
    uv_N2HW = planes_NB[:, height * width :].view(-1, 2, *layout.chroma)[:, :, top:bottom, left:right]
    u_NHW, v_NHW = (uv_N2HW.float() - 128).unbind(1)
    chroma_NCHW = torch.stack(
        [
            (red_v * v_NHW).floor_(),
            (green_u * u_NHW).floor_() + (green_v * v_NHW).floor_(),
            (blue_u * u_NHW).floor_(),
        ],
        dim=1,
    ).short()
    if y_NHW.shape[2] % 2:  # the last chroma sample of an odd width covers one pixel
        y_NHW = functional.pad(y_NHW, (0, 1))
    y_N1hawb = y_NHW.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))[:, None]
    rgb_NCHW: Tensor = (y_N1hawb + chroma_NCHW[:, :, :, None, :, None]).clamp_(0, 255).flatten(4, 5).flatten(2, 3)
    above, before = rows.first - 2 * top, columns.first - 2 * left
    return rgb_NCHW[:, :, above : above + rows.end - rows.first, before : before + columns.end - columns.first]


def rgb_from_planes(planes_NB: Tensor, layout: PlaneLayout) -> Tensor:
    """RGB, float32 whole numbers from 0 to 255, (N, 3, H, W), of planes, uint8 (N, layout.bytes)."""
    return _rgb(planes_NB, layout, Span(0, layout.height, None), Span(0, layout.width, None)).float()


def preprocess_planes(planes_NB: Tensor, layout: PlaneLayout, preprocess: Preprocess) -> Tensor:
    """Preprocessed frames, uint8 (N, 3, H, W), on the device that the planes are on."""
    return FromPlanes.of(layout, preprocess, planes_NB.device)(planes_NB)
