"""Colour conversion, resize and crop on the device, from YUV planes: what :class:`.preprocess.Preprocess` does there.

swscale rounds the coefficients of the frame's matrix to 13 bits, repeats each chroma sample over its 2 x 2 pixels,
and rounds every product down. So does this, and the resized pixels are rounded to bytes as the uint8 kernels of the
processor round them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ...data.colours import LUMA
from ...data.planes import PlaneLayout
from .preprocess import Preprocess

STEPS = 1 << 13  # of a coefficient, per unit: swscale's vector code


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

    Multiples of 1 / :data:`STEPS`, so that products with bytes are exact in float32.
    """
    whole = round(value * 255 / 224 * (1 << 16))
    whole = int(whole * 224 / 255) if full_range else whole
    return math.floor(whole / 8 + 0.5) / STEPS


def rgb_from_planes(planes_NB: Tensor, layout: PlaneLayout) -> Tensor:
    """RGB, float32 whole numbers from 0 to 255, (N, 3, H, W), of planes, uint8 (N, layout.bytes)."""
    height, width = layout.height, layout.width
    chroma_h, chroma_w = layout.chroma
    values_NB = planes_NB.float()
    y_NHW = values_NB[:, : height * width].view(-1, height, width)
    uv_N2HW = values_NB[:, height * width :].view(-1, 2, chroma_h, chroma_w) - 128
    uv_N2HW = uv_N2HW.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :height, :width]
    y_scale, red_v, green_u, green_v, blue_u = coefficients(layout)
    y_NHW = ((y_NHW - (0 if layout.full_range else 16)) * y_scale).floor_()
    u_NHW, v_NHW = uv_N2HW.unbind(1)
    red = y_NHW + (red_v * v_NHW).floor_()
    blue = y_NHW + (blue_u * u_NHW).floor_()
    green = y_NHW + (green_u * u_NHW).floor_() + (green_v * v_NHW).floor_()
    return torch.stack([red, green, blue], 1).clamp_(0, 255)


def preprocess_planes(planes_NB: Tensor, layout: PlaneLayout, preprocess: Preprocess) -> Tensor:
    """Preprocessed frames, uint8 (N, 3, H, W), on the device that the planes are on."""
    rgb_NCHW = rgb_from_planes(planes_NB, layout)
    target = preprocess.resized(layout.height, layout.width)
    if target != (layout.height, layout.width):
        rgb_NCHW = functional.interpolate(
            rgb_NCHW, target, mode=preprocess.interpolation, antialias=True, align_corners=False
        )
        rgb_NCHW = rgb_NCHW.round_().clamp_(0, 255)
    return preprocess.crop_or_pad(rgb_NCHW.to(torch.uint8))
