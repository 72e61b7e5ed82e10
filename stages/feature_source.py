"""Features of frames that were made elsewhere: flat arrays in one file, or a folder of one array per video.

A file (.h5, .hdf5, .npz) holds ``features`` (N, D), ``lengths`` (V,) and ``ids`` (V,), and may hold ``times_s`` (N,),
``labels`` (V,) and ``groups`` (V,). Below a folder every .npy (T, D) is a video, whose id is its path without suffix.
Shapes and names are checked on opening; what the features are worth, by :mod:`.import_features`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cache.fingerprint import digest, file_sha256
from ..data.arrays import Float64
from ..data.catalog import files_below
from ..data.errors import FeaturesError
from .flat_arrays import Table, open_arrays, read_header

SUFFIXES = (".h5", ".hdf5", ".npz")
NEEDED, OPTIONAL = ("features", "lengths", "ids"), ("times_s", "labels", "groups")
SLOWEST_STEP_S = 5.0  # from frame to frame; longer ones are told
FPS = 25.0  # where neither times nor a rate are given
BLOCK_BYTES = 8 << 20  # of features that are read at a time
KINDS = "float16, float32 or float64"


@dataclass(frozen=True, slots=True)
class BroughtVideo:
    """A video of a source: its id, class and group where they are given, and its rows of the table that holds it."""

    id: str
    first: int
    frames: int
    label: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class FeatureSource:
    """Features of V videos, to be read in blocks.

    Attributes:
        path: the file or the folder.
        videos: in the source's order.
        shape: (N, D), of all videos together.
        dtype: of the features.
        fps: frames a second that the times count; None where the times are given.
        labelled: whether classes are given.
        grouped: whether groups are given.
        unused: names of arrays that mean nothing here.
        table_of: the table that holds a video.
        times: (N,) seconds, where they are given.
    """

    path: Path
    videos: tuple[BroughtVideo, ...]
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    fps: float | None
    table_of: Callable[[BroughtVideo], Table]
    times: Table | None = None
    labelled: bool = False
    grouped: bool = False
    unused: tuple[str, ...] = ()

    def blocks(self, video: BroughtVideo) -> Iterator[NDArray[Any]]:
        """The features of a video, some frames (T, D) at a time."""
        table, end = self.table_of(video), video.first + video.frames
        rows = max(1, BLOCK_BYTES // (self.shape[1] * self.dtype.itemsize))
        for row in range(video.first, end, rows):
            yield table[row : min(row + rows, end)]

    def times_s(self, video: BroughtVideo) -> Float64:
        """Times (T,) of a video's frames.

        Raises:
            FeaturesError: if one is not finite, or not later than the one before.
        """
        if self.times is None:
            return np.arange(video.frames) / (self.fps or FPS)
        times_s_T = self.times[video.first : video.first + video.frames].astype(np.float64)
        for frame in np.flatnonzero(~np.isfinite(times_s_T))[:1]:
            raise FeaturesError(f"'{self.path}': times_s of '{video.id}', frame {frame}, is {times_s_T[frame]}")
        for frame in np.flatnonzero(np.diff(times_s_T) <= 0)[:1]:
            raise FeaturesError(
                f"'{self.path}': times_s of '{video.id}' do not rise: "
                f"frame {frame + 1} is at {times_s_T[frame + 1]:g} s, frame {frame} at {times_s_T[frame]:g} s. "
                "Sort them if only their order is lost (frames are shown in "
                "the order they are given in); or leave times_s out and give the rate with --fps"
            )
        return times_s_T

    def doubt(self, video: BroughtVideo) -> str | None:
        """What is odd about the times of a video, in words: a unit that is not seconds shows in its steps."""
        if self.times is None or video.frames < 2:
            return None
        step_s = float(np.median(np.diff(self.times_s(video))))
        if step_s < SLOWEST_STEP_S:
            return None
        return (
            f"times_s of '{video.id}' are {step_s:g} apart: one frame in {step_s:g} s? If these are milliseconds, "
            f"divide by 1000 and import again; `--fps {1000 / step_s:g}` without times_s says the same"
        )

    def sha256(self) -> str:
        """Digest of the file, or of the names and contents of the folder's arrays."""
        if self.path.is_file():
            return file_sha256(self.path)
        return digest({name: file_sha256(self.path / name) for name in files_below(self.path, ".npy")})


@contextmanager
def open_source(path: Path, fps: float | None = None) -> Iterator[FeatureSource]:
    """Open features and check their shapes and names; ``fps`` gives the times where the source has none.

    Raises:
        FeaturesError: if there is nothing to be read, or shapes, lengths or ids contradict each other.
    """
    if fps is not None and not 0.001 <= fps <= 1e5:
        raise FeaturesError(f"--fps {fps:g}: a number from 0.001 to 100000 is needed")
    if path.is_dir():
        yield _folder_source(path, fps or FPS)
        return
    if not path.is_file():
        raise FeaturesError(f"'{path}' does not exist: give a file ({', '.join(SUFFIXES)}) or a folder of .npy")
    if path.suffix.lower() not in SUFFIXES:
        raise FeaturesError(f"'{path}': a file ending in {', '.join(SUFFIXES)} or a folder of .npy is needed")
    with open_arrays(path) as arrays:
        yield _flat_source(path, arrays, fps)


def _flat_source(path: Path, arrays: Mapping[str, Table], fps: float | None) -> FeatureSource:
    missing = [name for name in NEEDED if name not in arrays]
    if missing:
        raise FeaturesError(
            f"'{path}' has no {' and no '.join(missing)}: features (N, D), lengths (V,) and ids (V,) are needed, "
            f"it holds {', '.join(sorted(arrays)) or 'no array'}"
        )
    table, times = arrays["features"], arrays.get("times_s")
    shape = _checked_shape(f"'{path}': features", table.shape, table.dtype)
    if times is not None and fps is not None:
        raise FeaturesError(f"--fps {fps:g}: '{path}' has times_s, which say more: leave --fps away")
    if times is not None and (times.shape != shape[:1] or times.dtype.kind not in "fiu"):
        raise FeaturesError(
            f"'{path}': times_s has shape {times.shape} and type {times.dtype}: {shape[0]:,} numbers are needed"
        )
    return FeatureSource(
        path,
        _flat_videos(path, arrays, shape[0]),
        shape,
        table.dtype,
        None if times is not None else fps or FPS,
        lambda _video: table,
        times,
        "labels" in arrays,
        "groups" in arrays,
        tuple(sorted(arrays.keys() - {*NEEDED, *OPTIONAL})),
    )


def _flat_videos(path: Path, arrays: Mapping[str, Table], rows: int) -> tuple[BroughtVideo, ...]:
    ids = _texts(path, "ids", arrays["ids"])
    _check_ids(path, ids)
    lengths = _lengths(path, arrays["lengths"], ids, rows)
    given = {name: _texts(path, name, arrays[name]) for name in ("labels", "groups") if name in arrays}
    for name, texts in given.items():
        if len(texts) != len(ids):
            raise FeaturesError(f"'{path}': {name} has {len(texts):,} entries, but ids {len(ids):,}")
    nothing = [""] * len(ids)
    firsts = accumulate(lengths[:-1], initial=0)
    labels, groups = given.get("labels", nothing), given.get("groups", nothing)
    return tuple(
        BroughtVideo(name, first, frames, label or None, group or None)
        for name, first, frames, label, group in zip(ids, firsts, lengths, labels, groups, strict=True)
    )


def _lengths(path: Path, table: Table, ids: Sequence[str], rows: int) -> list[int]:
    """Frames of each video."""
    if table.shape != (len(ids),) or table.dtype.kind not in "iu":
        raise FeaturesError(
            f"'{path}': lengths has shape {table.shape} and type {table.dtype}; whole numbers, one for each of the "
            f"{len(ids):,} ids, are needed"
        )
    lengths: list[int] = table[:].tolist()
    for video, frames in zip(ids, lengths, strict=True):
        if frames < 1:
            raise FeaturesError(f"'{path}': '{video}' has length {frames}: leave videos without frames out")
    if sum(lengths) != rows:
        raise FeaturesError(
            f"'{path}': lengths sum to {sum(lengths):,}, but features has {rows:,} rows: "
            "one row for each frame of each video, in the order of ids, is needed"
        )
    return lengths


def _texts(path: Path, name: str, table: Table) -> list[str]:
    """Texts, or whole numbers as texts. Bytes that are no UTF-8 travel as they are."""
    if len(table.shape) != 1:
        raise FeaturesError(f"'{path}': {name} has shape {table.shape}: one text for each video is needed")
    found = table[:].tolist()
    if not all(isinstance(item, str | bytes | int) for item in found):
        raise FeaturesError(f"'{path}': {name} has type {table.dtype}: texts are needed")
    return [item.decode("utf-8", "surrogateescape") if isinstance(item, bytes) else str(item) for item in found]


def _check_ids(path: Path, ids: Sequence[str]) -> None:
    if not ids:
        raise FeaturesError(f"'{path}' holds no video")
    for number, video in enumerate(ids):
        if not video.strip():
            raise FeaturesError(f"'{path}': the id of video {number} (of {len(ids):,}, from 0) is empty: give it one")
    twice = [video for video, count in Counter(ids).items() if count > 1]
    if twice:
        more = f" and {len(twice) - 1:,} more" if len(twice) > 1 else ""
        raise FeaturesError(f"'{path}': the id '{twice[0]}'{more} comes more than once: every video needs its own")


def _checked_shape(what: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, int]:
    """The shape (rows, D) of features, if it is one."""
    if len(shape) != 2 or not shape[1]:
        raise FeaturesError(f"{what} has shape {shape}: frames by features are needed, two dimensions")
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise FeaturesError(f"{what} has type {dtype}: {KINDS} is needed")
    return shape[0], shape[1]


def _folder_source(root: Path, fps: float) -> FeatureSource:
    names = files_below(root, ".npy")
    if not names:
        raise FeaturesError(f"no .npy below '{root}': one array (T, D) for each video is looked for")
    headers = [_npy_header(root / name) for name in names]
    _check_alike(root, names, headers)
    ids = [name[: -len(".npy")] for name in names]
    _check_ids(root, ids)
    files = dict(zip(ids, names, strict=True))
    videos = tuple(BroughtVideo(name, 0, shape[0]) for name, (shape, _) in zip(ids, headers, strict=True))
    (_, width), dtype = headers[0]
    rows = sum(video.frames for video in videos)
    return FeatureSource(root, videos, (rows, width), dtype, fps, lambda video: _mapped(root / files[video.id]))


def _check_alike(root: Path, names: Sequence[str], headers: Sequence[tuple[tuple[int, int], np.dtype[Any]]]) -> None:
    width = headers[0][0][1]
    for name, (shape, _) in zip(names, headers, strict=True):
        if shape[1] != width:
            raise FeaturesError(
                f"'{root / name}' has features of width {shape[1]}, but '{root / names[0]}' of {width}: "
                "all have to come from one encoder"
            )


def _npy_header(path: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
    try:
        with path.open("rb") as handle:
            shape, _, dtype = read_header(handle)
    except (OSError, ValueError) as error:
        raise FeaturesError(f"'{path}' is no .npy that can be read ({error})") from error
    found = _checked_shape(f"'{path}'", shape, dtype)
    if not found[0]:
        raise FeaturesError(f"'{path}' has no frames (shape {shape}): leave videos without frames out")
    return found, dtype


def _mapped(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise FeaturesError(f"'{path}' cannot be read ({error}): is it whole?") from error
