"""What Pillow knows of an image file and FFmpeg does not: how it is set upright, and a few kinds of picture.

FFmpeg tells a mirrored picture's turn, not that it is mirrored, and earlier ones turn nothing but JPEG.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import numpy as np
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

from .arrays import UInt8
from .errors import VideoError
from .pictures import Orientation

ORIENTATION = 0x0112  # the tag of EXIF
COMPRESSION, PHOTOMETRIC = 259, 262  # tags of TIFF
JPEG_IN_TIFF, YCBCR = (6, 7), 6
ANIMATED = 2  # a flag of WebP's header
BY_EXIF = {
    1: Orientation(),
    2: Orientation(mirrored=True),
    3: Orientation(turns=2),
    4: Orientation(mirrored=True, turns=2),
    5: Orientation(mirrored=True, turns=1),
    6: Orientation(turns=3),
    7: Orientation(mirrored=True, turns=3),
    8: Orientation(turns=1),
}
TIFF = (b"II*\0", b"MM\0*")
# What precedes EXIF in JPEG, PNG and WebP, and XMP, which may say the orientation in its place.
MARKS = (b"Exif", b"eXIf", b"EXIF", b"exif", b"tiff:Orientation", b"com.adobe.xmp")
UNREADABLE = (
    OSError, EOFError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip


def exif_orientation(content: bytes) -> Orientation | None:
    """How the image is set upright, by its EXIF or XMP as Pillow's ``ImageOps.exif_transpose`` reads them.

    Only the header is looked at. None where nothing is said, or nothing that can be read; else an object of its own,
    since PyAV would lose one that several frames share when the first of them goes.
    """
    if not content.startswith(TIFF) and not any(mark in content for mark in MARKS):
        return None
    try:
        with _opened(content) as image:
            found = BY_EXIF.get(image.getexif().get(ORIENTATION, 0))
            return replace(found) if found is not None else None
    except UNREADABLE:
        return None


def read_apart(name: str, content: bytes) -> UInt8 | None:
    """The picture, RGB (H, W, 3), upright, of the kinds that FFmpeg doesn't read or gets wrong; None of all others.

    They are TIFF that holds JPEG, or YCbCr, and the first picture of an animated WebP.

    Raises:
        VideoError: if such a picture is damaged.
    """
    if not _is_apart(content):
        return None
    try:
        with _opened(content) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except UNREADABLE as error:
        raise VideoError(f"image '{name}' is not readable: {error}") from error


def _is_apart(content: bytes) -> bool:
    if not content.startswith(TIFF):
        return content[:4] == b"RIFF" and content[8:16] == b"WEBPVP8X" and bool(sum(content[20:21]) & ANIMATED)
    try:
        with _opened(content) as image:
            tags = cast("TiffImagePlugin.TiffImageFile", image).tag_v2
            return tags.get(COMPRESSION) in JPEG_IN_TIFF or tags.get(PHOTOMETRIC) == YCBCR
    except UNREADABLE:
        return False


@contextmanager
def _opened(content: bytes) -> Iterator[ImageFile.ImageFile]:
    """Its header read; remarks on odd files are not for the user, who has FFmpeg's word for the pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content)) as image:
            yield image
