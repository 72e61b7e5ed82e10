"""Folders of frame images: which images are the frames, in which order, and what their files look like.

UCF101 is often kept so: ``v_YoYo_g01_c01/frame000001.jpg`` and on. The frames are the images whose names
differ only in the number at the end; where a folder holds several such series, the longest counts (a cover
beside the frames is none), and optical flow beside the frames (``flow_x_00001.jpg``) never does.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .errors import VideoError

IMAGE_SUFFIXES = frozenset([".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"])
NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>[0-9]+)(?P<suffix>\.[A-Za-z]+)", re.DOTALL)
FEWEST = 2  # one image is a picture


@dataclass(frozen=True, slots=True)
class Series:
    """Images whose names differ only in their number, in the order of their numbers.

    Attributes:
        pattern: the name, with a star for the number.
        numbers: rising.
        names: of the files.
    """

    pattern: str
    numbers: tuple[int, ...]
    names: tuple[str, ...]


def frame_series(names: Iterable[str]) -> list[Series]:
    """The series among the ``names`` of a folder's files that may be frames, the longest first."""
    found: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for name in names:
        match = NUMBERED.fullmatch(name)
        if match is None or match["suffix"].lower() not in IMAGE_SUFFIXES or name[:4].lower() == "flow":
            continue
        found[match["before"], match["suffix"].lower()].append((int(match["number"]), name))
    series = []
    for (before, suffix), images in found.items():
        if len(images) >= FEWEST:
            numbers, ordered = zip(*sorted(images), strict=True)
            series.append(Series(f"{before}*{suffix}", numbers, ordered))
    return sorted(series, key=lambda one: (-len(one.names), one.pattern))


def frame_names(folder: Path) -> tuple[str, ...]:
    """The frame images of ``folder`` in their order.

    Raises:
        VideoError: if there are none, two series are equally long, or a number is missing or there twice.
        OSError: if the folder cannot be read.
    """
    series = frame_series(_file_names(folder))
    if not series:
        raise VideoError("the folder holds no images whose names end in a number")
    if len(series) > 1 and len(series[0].names) == len(series[1].names):
        raise VideoError(f"which images are the frames: '{series[0].pattern}' or '{series[1].pattern}'?")
    _refuse_gaps(series[0])
    return series[0].names


def _refuse_gaps(series: Series) -> None:
    """A frame that is missing would shift all later ones; every 5th frame, say, is none missing."""
    twice = [number for number, count in Counter(series.numbers).items() if count > 1]
    if twice:
        raise VideoError(f"frame {twice[0]} is there twice ('{series.pattern}')")
    steps = [after - before for before, after in zip(series.numbers, series.numbers[1:], strict=False)]
    for number, step in zip(series.numbers, steps, strict=False):
        if step != min(steps):
            raise VideoError(f"frame {number + min(steps)} is missing ('{series.pattern}')")


def stat_of_frames(folder: str, names: Iterable[str], changed_ns: int) -> tuple[int, int]:
    """Size in bytes of the images ``names`` together, and the time of the last change of them or the folder.

    The folder's own time (``changed_ns``, since the epoch) tells when an image came, went or was renamed.
    An image that is gone counts nothing: whoever reads it will say so.
    """
    size = 0
    for name in names:
        try:
            state = os.stat(f"{folder}/{name}")  # noqa: PTH116 - a stat for each frame of a data set
        except OSError:
            continue
        size += state.st_size
        changed_ns = max(changed_ns, state.st_mtime_ns)
    return size, changed_ns


def stat_of_folder(folder: Path) -> tuple[int, int]:
    """Size and time of change of the frame images of ``folder``, as the catalog sees them.

    Raises:
        OSError: if the folder cannot be read, or holds no frame images any more.
    """
    return stat_of_frames(str(folder), longest_series(folder), folder.stat().st_mtime_ns)


def longest_series(folder: Path) -> tuple[str, ...]:
    """The images of the longest series, whole or not.

    Raises:
        OSError: if the folder cannot be read, or holds no frame images.
    """
    series = frame_series(_file_names(folder))
    if not series:
        raise FileNotFoundError(2, "the folder holds no images whose names end in a number", str(folder))
    return series[0].names


def read_image(folder: Path, name: str) -> bytes:
    """The bytes of an image file.

    Raises:
        OSError: naming the image, if it is gone or cannot be read.
    """
    path = folder / name
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would never end
            raise OSError(22, "not a file")
        return path.read_bytes()
    except OSError as error:
        raise OSError(error.errno, f"image '{name}': {error.strerror}", str(path)) from error


def _file_names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if not entry.name.startswith(".") and not is_folder(entry)]


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether the entry is a folder or a link to one; a link that loops onto itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False
