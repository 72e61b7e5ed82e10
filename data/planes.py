"""The planes of a decoded frame as they are, for a device that converts colours itself.

Nearly every video is 8-bit YUV 4:2:0: half the bytes of RGB, and nothing is left to do for the processor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane

from .arrays import UInt8
from .decode import rotation

FULL_RANGE = {"yuv420p": False, "yuvj420p": True}
MPEG_RANGE, JPEG_RANGE = 1, 2  # AVColorRange


@dataclass(frozen=True, slots=True)
class PlaneLayout:
    """How a YUV 4:2:0 frame lies in ``bytes``: Y (H, W), then U and V (ceil(H/2), ceil(W/2)).

    Attributes:
        height: H of the picture.
        width: W of the picture.
        full_range: whether Y covers 0 to 255 rather than 16 to 235.
    """

    height: int
    width: int
    full_range: bool

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
    """Layout of a frame's planes, or None if it is not 8-bit YUV 4:2:0 or does not stand upright.

    Of odd height it is left to swscale too, which then interpolates the chroma.
    """
    name = frame.format.name
    if name not in FULL_RANGE or frame.height % 2 or rotation(frame):
        return None
    full = FULL_RANGE[name] or int(frame.color_range) == JPEG_RANGE
    return PlaneLayout(frame.height, frame.width, full)


def copy_planes(frame: VideoFrame, layout: PlaneLayout) -> UInt8:
    """The planes one after another, without the padding of their lines: uint8 (layout.bytes,)."""
    sizes = ((layout.height, layout.width), layout.chroma, layout.chroma)
    return np.concatenate([_rows(plane, *size).ravel() for plane, size in zip(frame.planes, sizes, strict=True)])


def _rows(plane: VideoPlane, height: int, width: int) -> UInt8:
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return np.asarray(lines[:height, :width])
