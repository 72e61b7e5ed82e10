"""A decoded frame as a picture: RGB of 8 bits, upright.

Pixels are taken as they are stored: not stretched where they are not square, lines of interlaced video not woven
anew, HDR (PQ, HLG) not tone-mapped, transparency left out. So do timm and the usual loaders of videos.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from av.buffer import Buffer
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane

from .arrays import Float64, Int64, UInt8
from .colours import LUMA, MPEG_RANGE, SWSCALE_TAKES, Matrix, is_full_range, matrix_of

SLACK_DEGREES = 1.0  # that a quarter turn may be off
WIDENED = np.clip((np.arange(256) - 16) * 255 / 219 + 0.5, 0, 255).astype(np.uint8)  # 16 to 235 as 0 to 255
EXTRA_BITS = {Matrix.YCGCO_RE: 2, Matrix.YCGCO_RO: 1}  # that the coded samples have more than R, G and B


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture is set upright."""

    mirrored: bool = False  # whether left and right are exchanged, before it is turned
    turns: int = 0  # quarter turns counterclockwise, 0 to 3: the ``k`` of ``np.rot90``

    def upright(self, picture_HWC: UInt8) -> UInt8:
        """The picture (H, W, 3) set upright, (W, H, 3) after an odd number of turns."""
        if self == UPRIGHT:
            return picture_HWC
        stored_HWC = picture_HWC[:, ::-1] if self.mirrored else picture_HWC
        return np.ascontiguousarray(np.rot90(stored_HWC, self.turns))


UPRIGHT = Orientation()


def rgb(frame: VideoFrame) -> UInt8:
    """The frame as RGB, uint8 (H, W, 3), upright.

    The matrix is the one that the frame's tag says (:func:`.colours.matrix_of`). swscale rounds down, which costs
    8-bit frames up to 3 levels.
    """
    by_formula = int(frame.colorspace) not in SWSCALE_TAKES and matrix_of(frame) not in LUMA and _has_chroma(frame)
    picture_HWC = _by_formula(frame, matrix_of(frame)) if by_formula else _by_swscale(frame)
    return orientation(frame).upright(picture_HWC)


def orientation(frame: VideoFrame) -> Orientation:
    """How the frame is set upright: what its file's EXIF says of an image, its display matrix of a video.

    Phones write the picture as the sensor lies, or as a mirror shows it, and say in the container how to turn it.
    Angles that are no quarter turns are left as they are.
    """
    if isinstance(frame.opaque, Orientation):
        return frame.opaque
    try:
        side_data = cast("Mapping[str, Buffer]", frame.side_data)
        if not side_data or (matrix := side_data.get("DISPLAYMATRIX")) is None:
            return UPRIGHT
    except ValueError:  # PyAV gives none of it where there is a kind that it does not know
        return _nearest(frame.rotation, mirrored=False)
    return of_display_matrix(np.frombuffer(memoryview(matrix), np.int32).astype(np.float64))


class Orientations:
    """The orientations of one video's frames, noted on the frames for :func:`orientation`.

    What H.264 says of it in a message at a key frame holds until the next one; FFmpeg gives it to that frame alone.
    And PyAV ties a frame whose side data is read to that data in a circle, so that its pixels stay until Python's
    collector of circles comes by: twice the page faults, hundreds of MB. So they are read only where they may change.
    """

    def __init__(self) -> None:
        self._now: Orientation | None = None
        self._rotation = 0
        self._after_key_frame = False

    def note(self, frame: VideoFrame) -> None:
        """To be called with every frame, in the order of decoding."""
        turns = frame.rotation != self._rotation and (frame.key_frame or frame.rotation != 0)
        if self._now is None or turns or (frame.key_frame and not self._after_key_frame):
            self._now, self._rotation = orientation(frame), frame.rotation
        self._after_key_frame = frame.key_frame
        # Each frame has one of its own: PyAV drops an object that several share as soon as the first is gone.
        frame.opaque = Orientation(self._now.mirrored, self._now.turns)


def of_display_matrix(matrix: Float64) -> Orientation:
    """From the matrix of ISO 14496-12, row by row: (x, y) is shown at (a x + c y, b x + d y), y downwards."""
    a, b, c, d = matrix[[0, 1, 3, 4]]
    mirrored = bool(a * d - b * c < 0)
    sign = -1 if mirrored else 1
    return _nearest(-math.degrees(math.atan2(sign * b, sign * a)), mirrored=mirrored)


def _nearest(degrees: float, *, mirrored: bool) -> Orientation:
    turns = round(degrees / 90)
    return Orientation(mirrored, turns % 4) if abs(degrees - 90 * turns) <= SLACK_DEGREES else UPRIGHT


def plane_rows(plane: VideoPlane, height: int, row_bytes: int) -> UInt8:
    """The bytes (height, row_bytes) of a plane, without the padding of its lines."""
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return np.asarray(lines[:height, :row_bytes])


def _has_chroma(frame: VideoFrame) -> bool:
    """RGB, XYZ and gray need no matrix."""
    pixels = frame.format
    return not pixels.is_rgb and len(pixels.components) >= 3 and not pixels.name.startswith("xyz")


def _by_swscale(frame: VideoFrame) -> UInt8:
    if int(frame.colorspace) in SWSCALE_TAKES:
        # One thread: the frame is too small for more, and swscale's default costs 2.7 times as much.
        converted = frame.reformat(format="rgb24", threads=1)
    else:
        converted = _reformatted(frame, "rgb24", matrix_of(frame))
    height, width = converted.height, converted.width
    picture_HWC = plane_rows(converted.planes[0], height, width * 3).reshape(height, width, 3)
    return WIDENED[picture_HWC] if _is_limited_gray(frame) else picture_HWC


def _is_limited_gray(frame: VideoFrame) -> bool:
    """Gray of 16 to 235, which swscale takes for 0 to 255: HEVC and AV1 without chroma."""
    return int(frame.color_range) == MPEG_RANGE and frame.format.name.startswith(("gray", "ya"))


def _reformatted(frame: VideoFrame, name: str, matrix: Matrix) -> VideoFrame:
    """The frame in another pixel format, read as if its tag said ``matrix``."""
    said = frame.colorspace
    try:
        frame.colorspace = int(matrix)  # reformat's own argument knows fewer of them, in PyAV 17 not BT.2020
        return frame.reformat(format=name, threads=1)
    finally:
        frame.colorspace = said


def _by_formula(frame: VideoFrame, matrix: Matrix) -> UInt8:
    """YCgCo, and YCgCo-R with its even or odd number of extra bits: H.273, equations for MatrixCoefficients 8, 16, 17.

    Chroma of half the size is brought to full size by swscale.
    """
    bits = frame.format.components[0].bits
    full = is_full_range(frame)
    y_HW, cg_HW, co_HW = _full_size_planes(frame, bits)
    if matrix is Matrix.YCGCO:
        rest_HW = y_HW - cg_HW
        red_HW, green_HW, blue_HW = rest_HW + co_HW, y_HW + cg_HW, rest_HW - co_HW
    else:
        bits -= EXTRA_BITS[matrix]
        rest_HW = y_HW - (cg_HW >> 1)
        green_HW, blue_HW = rest_HW + cg_HW, rest_HW - (co_HW >> 1)
        red_HW = blue_HW + co_HW
    black, white = (0, 2**bits - 1) if full else (16 * 2.0 ** (bits - 8), 235 * 2.0 ** (bits - 8))
    picture_HWC = (np.stack([red_HW, green_HW, blue_HW], axis=-1) - black) * (255 / (white - black))
    return np.clip(picture_HWC + 0.5, 0, 255).astype(np.uint8)


def _full_size_planes(frame: VideoFrame, bits: int) -> list[Int64]:
    """Y, and both chroma planes less their middle, all (H, W)."""
    name = "yuv444p" if bits == 8 else f"yuv444p{bits}le"
    name = name.replace("yuv", "yuvj") if bits == 8 and is_full_range(frame) else name
    converted = _reformatted(frame, name, Matrix.BT601)  # of the same matrix on both sides, so values stay
    width, middles = converted.width, (0, 1 << (bits - 1), 1 << (bits - 1))
    sample = np.dtype("u1" if bits == 8 else "<u2")
    return [
        plane_rows(plane, converted.height, width * sample.itemsize).view(sample).astype(np.int64) - middle
        for plane, middle in zip(converted.planes, middles, strict=True)
    ]
