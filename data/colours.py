"""The matrices by which YUV becomes RGB (ITU-T H.273), and which one a frame is converted with."""

from __future__ import annotations

from enum import IntEnum

from av.video.frame import VideoFrame

COLOURS = 2  # how frames get their colours; 1: PyAV before 17, which took BT.601 whatever a frame said
FIRST_PYAV = 17  # of these colours
MPEG_RANGE, JPEG_RANGE = 1, 2  # AVColorRange


class Matrix(IntEnum):
    """A matrix that frames are converted with, by its number in H.273, which is FFmpeg's too."""

    BT709 = 1
    FCC = 4
    BT601 = 5
    SMPTE240M = 7
    YCGCO = 8
    BT2020 = 9
    YCGCO_RE = 16
    YCGCO_RO = 17


# KR and KB, the shares of red and blue in Y; YCgCo is not made of such shares.
LUMA = {
    Matrix.BT709: (0.2126, 0.0722),
    Matrix.FCC: (0.30, 0.11),
    Matrix.BT601: (0.299, 0.114),
    Matrix.SMPTE240M: (0.212, 0.087),
    Matrix.BT2020: (0.2627, 0.0593),
}

# Tags that swscale takes as they are; others it refuses for any format with chroma.
SWSCALE_TAKES = frozenset([0, 1, 2, 4, 5, 6, 7, 9])

# What is not here is read as if it said nothing, which swscale takes for BT.601: RGB (0) of a format that is YUV,
# unspecified (2), reserved (3), and numbers that H.273 has not given yet.
BY_TAG = {
    **{int(matrix): matrix for matrix in Matrix},
    6: Matrix.BT601,  # SMPTE 170M: the same
    10: Matrix.BT2020,  # with constant luminance: its formula holds for linear light; this is near for pale colours
    11: Matrix.BT2020,  # SMPTE ST 2085, 14 ICtCp, 15 IPT-C2: of HDR masters; their hues are not these
    14: Matrix.BT2020,
    15: Matrix.BT2020,
}
FROM_PRIMARIES = (12, 13)  # derived from the primaries, with constant luminance or without
BY_PRIMARIES = {6: Matrix.SMPTE240M, 7: Matrix.SMPTE240M, 9: Matrix.BT2020}


def matrix_of(frame: VideoFrame) -> Matrix:
    """The matrix that the frame is converted with: the one its tag says, or what stands in for it.

    A frame without a tag is taken for BT.601 whatever its size, as FFmpeg and the loaders of videos that are built
    on it do.
    """
    tag = int(frame.colorspace)
    if tag in FROM_PRIMARIES:
        return BY_PRIMARIES.get(int(frame.color_primaries), Matrix.BT709)
    return BY_TAG.get(tag, Matrix.BT601)


def is_full_range(frame: VideoFrame) -> bool:
    """Whether Y covers all values, rather than 16 to 235 (of 8 bits)."""
    return int(frame.color_range) == JPEG_RANGE or frame.format.name.startswith("yuvj")
