"""The planes of a decoded frame as they are, for a device that converts colours itself.

Nearly every video is 8-bit YUV 4:2:0: half the bytes of RGB, and nothing is left to do for the processor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame

from .arrays import UInt8
from .colours import LUMA, Matrix, is_full_range, matrix_of
from .pictures import UPRIGHT, orientation, plane_rows

FORMATS = ("yuv420p", "yuvj420p")


@dataclass(frozen=True, slots=True)
class PlaneLayout:
    """How a YUV 4:2:0 frame lies in ``bytes``, Y (H, W), then U and V (ceil(H/2), ceil(W/2)), and what it means."""

    height: int  # H of the picture
    width: int  # W of the picture
    full_range: bool  # whether Y covers 0 to 255 rather than 16 to 235
    matrix: Matrix = Matrix.BT601  # by which it becomes RGB

    @property
    def chroma(self) -> tuple[int, int]:
        """(height, width) of U and of V."""
        return (self.height + 1) // 2, (self.width + 1) // 2

    @property
    def bytes(self) -> int:
        """Bytes of a frame."""
        chroma_h, chroma_w = self.chroma
        return self.height * self.width + 2 * chroma_h * chroma_w


def plane_layout(frame: VideoFrame) -> PlaneLayout | None:
    """Layout of a frame's planes, or None if it is left to the processor.

    That is what is not 8-bit YUV 4:2:0 (of 10 bits swscale interpolates the chroma), does not stand upright, is
    YCgCo, or of odd height: swscale then interpolates the chroma too.
    """
    if frame.format.name not in FORMATS or frame.height % 2 or orientation(frame) != UPRIGHT:
        return None
    matrix = matrix_of(frame)
    if matrix not in LUMA:
        return None
    return PlaneLayout(frame.height, frame.width, is_full_range(frame), matrix)


def copy_planes(frame: VideoFrame, layout: PlaneLayout) -> UInt8:
    """The planes one after another, without the padding of their lines: uint8 (layout.bytes,)."""
    sizes = ((layout.height, layout.width), layout.chroma, layout.chroma)
    return np.concatenate([plane_rows(plane, *size).ravel() for plane, size in zip(frame.planes, sizes, strict=True)])
