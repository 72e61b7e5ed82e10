"""Features of frames that were made elsewhere, in the forms that people have them in.

A file (.h5, .hdf5, .npz) holds ``features`` (N, D), ``lengths`` (V,) and ``ids`` (V,), and may hold ``times_s`` (N,),
``labels`` (V,) and ``groups`` (V,); or it holds an array (T, D) for each video. Below a folder every .npy, .npz or .h5
is a video, whose id is its path without suffix; several .npy may be streams of one video.
Shapes and names are checked on opening; what the features are worth, by :mod:`.import_features`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...cache.fingerprint import digest, file_sha256
from ...data.arrays import Float64
from ...data.errors import FeaturesError
from ...data.wording import counted
from .arrays import Table
from .options import listed, shown

SUFFIXES = (".h5", ".hdf5", ".npz")
SLOWEST_STEP_S = 5.0  # from frame to frame; longer ones are told
FPS = 25.0  # where neither times nor a rate are given
BLOCK_BYTES = 8 << 20  # of features that are read at a time


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
    """Features of V videos, to be read in blocks."""

    path: Path  # the file or the folder
    videos: tuple[BroughtVideo, ...]  # in the source's order, all of them with frames
    shape: tuple[int, int]  # (N, D), of all videos together
    dtype: np.dtype[Any]  # of the features
    fps: float | None  # frames a second that the times count; None where the times are given, or the rate of each video
    table_of: Callable[[BroughtVideo], Table]  # the table that holds a video
    # (T,) seconds of a video, where they are given; None for a video without
    times: Callable[[BroughtVideo], NDArray[Any] | None] | None = None
    times_name: str = "times_s"  # what they are called there
    rates: Mapping[str, float] = field(default_factory=dict)  # frames a second of a video, where the source gives them
    labelled: bool = False  # whether classes are given
    grouped: bool = False  # whether groups are given
    unused: tuple[str, ...] = ()  # names of arrays, or of files, that mean nothing here
    notes: tuple[str, ...] = ()  # how it was read, as far as that is not plain
    options: tuple[str, ...] = ()  # of the command line, that read it so again
    files: tuple[str, ...] = ()  # of a folder, those that were read

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
        given = self.times(video) if self.times is not None else None
        if given is None:
            return np.arange(video.frames) / self.rates.get(video.id, self.fps or FPS)
        what = f"'{self.path}': {self.times_name} of '{shown(video.id)}'"
        times_s_T = given.astype(np.float64)
        for frame in np.flatnonzero(~np.isfinite(times_s_T))[:1]:
            raise FeaturesError(f"{what}, frame {frame}, is {times_s_T[frame]}")
        for frame in np.flatnonzero(np.diff(times_s_T) <= 0)[:1]:
            raise FeaturesError(
                f"{what} do not rise: "
                f"frame {frame + 1} is at {times_s_T[frame + 1]:g} s, frame {frame} at {times_s_T[frame]:g} s. "
                "Sort them if only their order is lost (frames are shown in "
                f"the order they are given in); or leave {self.times_name} out and give the rate with --fps"
            )
        return times_s_T

    def doubt(self, video: BroughtVideo) -> str | None:
        """What is odd about the times of a video, in words: a unit that is not seconds shows in its steps."""
        if self.times is None or self.times_name != "times_s" or video.frames < 2:
            return None
        step_s = float(np.median(np.diff(self.times_s(video))))
        if step_s < SLOWEST_STEP_S:
            return None
        return (
            f"times_s of '{shown(video.id)}' are {step_s:g} apart: one frame in {step_s:g} s? If these are "
            f"milliseconds, divide by 1000 and import again; `--fps {1000 / step_s:g}` without times_s says the same"
        )

    def sha256(self) -> str:
        """Digest of the file, or of the names and contents of the folder's arrays."""
        if self.path.is_file():
            return file_sha256(self.path)
        return digest({name: file_sha256(self.path / name) for name in self.files})


def check_ids(path: Path, ids: Sequence[str]) -> None:
    """Refuse ids that are empty or come twice, and that there are none.

    Raises:
        FeaturesError: naming the first.
    """
    if not ids:
        raise FeaturesError(f"'{path}' holds no video")
    for number, video in enumerate(ids):
        if not video.strip():
            raise FeaturesError(f"'{path}': the id of video {number} (of {len(ids):,}, from 0) is empty: give it one")
    twice = [video for video, count in Counter(ids).items() if count > 1]
    if twice:
        more = f" and {len(twice) - 1:,} more" if len(twice) > 1 else ""
        raise FeaturesError(
            f"'{path}': the id '{shown(twice[0])}'{more} comes more than once: every video needs its own"
        )


def with_frames(path: Path, videos: Sequence[BroughtVideo]) -> tuple[tuple[BroughtVideo, ...], tuple[str, ...]]:
    """The videos that have frames, and a note of those that have none.

    Raises:
        FeaturesError: if none has.
    """
    empty = [video.id for video in videos if not video.frames]
    if not empty:
        return tuple(videos), ()
    if len(empty) == len(videos):
        raise FeaturesError(f"'{path}': none of its {len(videos):,} videos has a frame")
    left = f"{len(empty):,} of {counted(len(videos), 'video')} have no frames and are left out: {listed(empty)}"
    return tuple(video for video in videos if video.frames), (left,)
