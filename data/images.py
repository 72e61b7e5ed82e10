"""Folders of frame images: which images are the frames, in which order, and what their files look like.

UCF101 is often kept so: ``v_YoYo_g01_c01/frame000001.jpg`` and on. The frames are the images whose names
differ only in the number at the end; where a folder holds several such series, the longest counts (a cover
beside the frames is none), and optical flow beside the frames (``flow_x_00001.jpg``) never does. Where that is
not what is wanted, the names are prescribed by a pattern with a star for the number, ``rgb_*.jpg``; the path of
such a video is ``FOLDER/rgb_*.jpg``, and everything that takes the path of a folder takes this too.
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
from .storage import refuse_lost

IMAGE_SUFFIXES = frozenset([".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"])
NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>[0-9]+)(?P<suffix>\.[A-Za-z]+)", re.DOTALL)
FEWEST = 2  # one image is a picture


@dataclass(frozen=True, slots=True)
class Series:
    """Images whose names differ only in their number, in the order of their numbers."""

    pattern: str  # the name, with a star for the number
    numbers: tuple[int, ...]  # rising
    names: tuple[str, ...]  # of the files


def check_pattern(pattern: str) -> bool:
    """Whether ``pattern`` may prescribe the names of images: one star, before the suffix of an image format."""
    before, star, suffix = pattern.partition("*")
    return bool(star) and suffix.lower() in IMAGE_SUFFIXES and "/" not in before


def is_frame_folder(path: Path) -> bool:
    """Whether the path is of a folder of images rather than of a file: a folder, or the pattern of names in one."""
    # Path.is_dir raises on names that are too long.
    if os.path.isdir(path):  # noqa: PTH112
        return True
    return "*" in path.name and not os.path.lexists(path) and os.path.isdir(path.parent)  # noqa: PTH112


def is_image(path: Path) -> bool:
    """Whether the path is of one picture, by its suffix."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_frame_folder(path)


def folder_of(path: Path) -> Path:
    """The folder that the images of ``path`` are in."""
    return _parts(path)[0]


def _parts(path: Path) -> tuple[Path, str]:
    """The folder, and the pattern that prescribes the names if there is one."""
    return (path, "") if "*" not in path.name or os.path.lexists(path) else (path.parent, path.name)


def frame_series(names: Iterable[str], prescribed: str = "") -> list[Series]:
    """The series among the ``names`` of a folder's files that may be frames, the longest first.

    With a ``prescribed`` pattern, the one series that has it, if it is there.
    """
    found: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for name in names:
        match = NUMBERED.fullmatch(name)
        if match is None or match["suffix"].lower() not in IMAGE_SUFFIXES:
            continue
        if not prescribed and name[:4].lower() == "flow":
            continue
        found[match["before"], match["suffix"].lower()].append((int(match["number"]), name))
    series = []
    for (before, suffix), images in found.items():
        pattern = f"{before}*{suffix}"
        if len(images) >= FEWEST and (not prescribed or pattern == _lower_suffix(prescribed)):
            numbers, ordered = zip(*sorted(images), strict=True)
            series.append(Series(pattern, numbers, ordered))
    return sorted(series, key=lambda one: (-len(one.names), one.pattern))


def _lower_suffix(pattern: str) -> str:
    before, star, suffix = pattern.partition("*")
    return before + star + suffix.lower()


def frame_names(path: Path) -> tuple[str, ...]:
    """The frame images of a folder in their order.

    Raises:
        VideoError: if there are none, two series are equally long, or a number is missing or there twice.
        OSError: if the folder cannot be read.
    """
    folder, prescribed = _parts(path)
    series = frame_series(_file_names(folder), prescribed)
    if not series:
        raise VideoError(_no_images(prescribed))
    if len(series) > 1 and len(series[0].names) == len(series[1].names):
        patterns = f"'{series[0].pattern}' or '{series[1].pattern}'"
        raise VideoError(f"which images are the frames, {patterns}? Set data.images to one of them")
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
        except OSError as error:
            refuse_lost(error, Path(folder, name))
            continue
        size += state.st_size
        changed_ns = max(changed_ns, state.st_mtime_ns)
    return size, changed_ns


def stat_of_folder(path: Path) -> tuple[int, int]:
    """Size and time of change of the frame images of a folder, as the catalog sees them.

    Raises:
        OSError: if the folder cannot be read, or holds no frame images any more.
    """
    folder = folder_of(path)
    return stat_of_frames(str(folder), longest_series(path), folder.stat().st_mtime_ns)


def longest_series(path: Path) -> tuple[str, ...]:
    """The images of the longest series, whole or not.

    Raises:
        OSError: if the folder cannot be read, or holds no frame images.
    """
    folder, prescribed = _parts(path)
    series = frame_series(_file_names(folder), prescribed)
    if not series:
        raise FileNotFoundError(2, _no_images(prescribed), str(folder))
    return series[0].names


def _no_images(prescribed: str) -> str:
    if prescribed:
        return f"the folder holds no images '{prescribed}' with a number for the star"
    return "the folder holds no images whose names end in a number"


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
    except OSError as error:
        refuse_lost(error, Path(entry.path))
        return False
