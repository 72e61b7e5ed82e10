"""Colour conversion, resize and crop on the device, from YUV planes: what :class:`.preprocess.Preprocess` does there.

swscale converts with the coefficients of BT.601 whatever the file says, repeats each chroma sample over its 2 x 2
pixels, and rounds every product down. So does this, and the resized pixels are rounded to bytes as the uint8
kernels of the processor round them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..data.planes import PlaneLayout
from .preprocess import Preprocess

KR, KG, KB = 0.299, 0.587, 0.114  # BT.601


def rgb_from_planes(planes_NB: Tensor, layout: PlaneLayout) -> Tensor:
    """RGB, float32 whole numbers from 0 to 255, (N, 3, H, W), of planes, uint8 (N, layout.bytes)."""
    height, width = layout.height, layout.width
    chroma_h, chroma_w = layout.chroma
    values_NB = planes_NB.float()
    y_NHW = values_NB[:, : height * width].view(-1, height, width)
    uv_N2HW = values_NB[:, height * width :].view(-1, 2, chroma_h, chroma_w) - 128
    uv_N2HW = uv_N2HW.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :height, :width]
    y_scale, uv_scale = (1.0, 1.0) if layout.full_range else (255 / 219, 255 / 224)
    y_NHW = ((y_NHW - (0 if layout.full_range else 16)) * y_scale).floor_()
    u_NHW, v_NHW = (uv_N2HW * uv_scale).unbind(1)
    red = y_NHW + (2 * (1 - KR) * v_NHW).floor_()
    blue = y_NHW + (2 * (1 - KB) * u_NHW).floor_()
    green = y_NHW + (-2 * KB * (1 - KB) / KG * u_NHW).floor_() + (-2 * KR * (1 - KR) / KG * v_NHW).floor_()
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
