"""A folder of features: an .npy for each video, or for each of its streams; or an .npz or HDF5 file for each video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...data.errors import FeaturesError
from ...data.walk import files_below
from ...data.wording import counted
from .arrays import Part
from .dataset_names import Dataset, only_features
from .file import datasets_of
from .flat_arrays import ZippedTable, open_arrays, read_header
from .options import EACH, Reading, listed, shown
from .separate_arrays import SeparateArrays, Timing, joined
from .source import SUFFIXES, BroughtVideo, FeatureSource, check_ids
from .stream_names import PAIR, StreamNames, common_ending, find_streams, paired

Header = tuple[tuple[int, ...], np.dtype[Any]]
FASTEST, SLOWEST = 1e5, 0.001  # frames a second, as of --fps


def folder_source(root: Path, fps: float | None, reading: Reading) -> FeatureSource:
    """The features of a folder.

    Raises:
        FeaturesError: if it holds none, or arrays contradict each other.
    """
    names = files_below(root, ".npy")
    if names and reading.dataset is None:
        return _arrays(root, names, fps, reading)
    kinds = [(suffix, found) for suffix in SUFFIXES if (found := files_below(root, suffix))]
    if names and not kinds:
        raise FeaturesError(f"--dataset chooses in HDF5 and .npz files, but '{root}' holds .npy: leave it away")
    if not kinds:
        raise FeaturesError(f"no .npy below '{root}': one array (T, D) for each video is looked for (or .npz, .h5)")
    if reading.streams:
        raise FeaturesError(f"--streams is for .npy, but '{root}' holds {kinds[0][0]}: see --dataset")
    return _files(root, sorted(name for _, found in kinds for name in found), fps, reading)


def _arrays(root: Path, names: Sequence[str], fps: float | None, reading: Reading) -> FeatureSource:
    """The features of .npy files: one for each video, or for each of its streams."""
    stems = [name[: -len(".npy")] for name in names]
    check_ids(root, stems)
    files = dict(zip(stems, names, strict=True))
    headers = {stem: _npy_header(root / files[stem]) for stem in stems}
    found = find_streams({stem: shape for stem, (shape, _) in headers.items()}, reading.streams)

    def part(stem: str) -> Part:
        path = root / files[stem]
        return Part(f"'{path}'", *headers[stem], lambda: _mapped(path))

    unused = _others(root, names)
    if found is None:
        arrays = SeparateArrays(root, {stem: (part(stem),) for stem in stems}, reading)
        return arrays.source(Timing(fps), unused=unused, notes=_possible_streams(stems), files=tuple(names))
    arrays = SeparateArrays(
        root, {video: tuple(map(part, parts)) for video, parts in found.files.items()}, joined(reading, found.streams)
    )
    clocks = Clocks(root, found, files, headers)
    return arrays.source(
        clocks.timing(fps),
        unused=(*(files[stem] for stem in found.unused), *unused),
        notes=(*_streams_note(found, asked=bool(reading.streams)), *clocks.notes(fps)),
        files=tuple(names),
    )


@dataclass(frozen=True, slots=True)
class Clocks:
    """The times and rates that lie beside the streams of videos."""

    root: Path
    streams: StreamNames
    files: Mapping[str, str]
    headers: Mapping[str, Header]

    def timing(self, fps: float | None) -> Timing:
        """When the frames of the videos are; ``fps`` counts more than rates, and times more than ``fps``.

        Raises:
            FeaturesError: if times or rates are not numbers that may be, or ``fps`` says what all times say already.
        """
        times = self.streams.times
        for stem in times.values():
            if self.headers[stem][1].kind not in "fiu":
                raise FeaturesError(f"'{self._path(stem)}' has type {shown(self.headers[stem][1])}: numbers are needed")
        if fps is not None and len(times) == len(self.streams.files):
            raise FeaturesError(
                f"--fps {fps:g}: every video of '{self.root}' has its _timestamps_ms.npy, which say more: "
                "leave --fps away, or move them out of the folder"
            )
        rates = {} if fps else {video: self._rate(stem) for video, stem in self._rated().items()}
        return Timing(fps, self.times_s, frozenset(times), rates)

    def times_s(self, video: BroughtVideo) -> NDArray[Any] | None:
        """Times (T,) of a video in seconds, where they are given.

        Raises:
            FeaturesError: if they are not as many as its frames.
        """
        stem = self.streams.times.get(video.id)
        if stem is None:
            return None
        path, (shape, _) = self._path(stem), self.headers[stem]
        if shape != (video.frames,):
            raise FeaturesError(
                f"'{path}' has {shape[0]:,} times, but '{shown(video.id)}' {counted(video.frames, 'frame')}"
            )
        return _mapped(path, mode=None).astype(np.float64) / 1000

    def notes(self, fps: float | None) -> tuple[str, ...]:
        """Where the times come from, if not from ``_timestamps_ms``."""
        if fps is not None:
            return ()
        rated, notes = self._rated(), []
        bare = [video for video in self.streams.files if video not in self.streams.times and video not in rated]
        if rated:
            notes.append(
                f"{counted(len(rated), 'video has', 'videos have')} no _timestamps_ms.npy: each row is taken for a "
                "frame at the rate of _fps.npy; if rows stand for several frames (I3D, R(2+1)D, S3D), give their own "
                "rate with --fps"
            )
        if bare and (rated or self.streams.times):
            notes.append(
                f"{counted(len(bare), 'video has', 'videos have')} neither times nor rate, so 25 frames a "
                f"second are taken: {listed(bare)}"
            )
        return tuple(notes)

    def _rated(self) -> dict[str, str]:
        """The file of the rate of each video that has one, but no times."""
        return {video: stem for video, stem in self.streams.rates.items() if video not in self.streams.times}

    def _path(self, stem: str) -> Path:
        return self.root / self.files[stem]

    def _rate(self, stem: str) -> float:
        path, (_, dtype) = self._path(stem), self.headers[stem]
        rate = float(_mapped(path, mode=None).reshape(())) if dtype.kind in "fiu" else float("nan")
        if not SLOWEST <= rate <= FASTEST:
            raise FeaturesError(
                f"'{path}' holds {rate:g}: frames a second, from {SLOWEST:g} to {FASTEST:g}, are needed. "
                "Give the rate with --fps"
            )
        return rate


def _streams_note(found: StreamNames, *, asked: bool) -> tuple[str, ...]:
    """How names became videos, unless the command said it."""
    if asked or found.streams == ("",):
        return ()
    if len(found.streams) == 1:
        return (f"_{found.streams[0]} is taken for the stream, not for a part of the ids",)
    names = " and ".join(f"_{name}" if name else "no ending" for name in found.streams)
    return (
        f"{counted(len(found.files), 'video has', 'videos have')} files with {names}: streams, joined in this order "
        f"(`--streams {found.streams[-1]}` takes one)",
    )


def _possible_streams(stems: Sequence[str]) -> tuple[str, ...]:
    """A note where names look like streams, though each is taken for a video."""
    ending, pairs = common_ending(stems), paired(stems)
    if ending:
        return (
            f"all names end in _{ending}, which is taken for a part of the ids; `--streams {ending}` leaves it out",
        )
    if pairs:
        both = ",".join(PAIR)
        return (f"{pairs:,} names come with _rgb and with _flow, taken for two videos; `--streams {both}` joins them",)
    return ()


def _files(root: Path, names: Sequence[str], fps: float | None, reading: Reading) -> FeatureSource:
    """The features of .npz or HDF5 files, one for each video."""
    if reading.dataset == EACH:
        raise FeaturesError(f"--dataset '{EACH}' is for one file of many videos: in '{root}' a file is a video")
    ids = [name.rpartition(".")[0] for name in names]
    check_ids(root, ids)
    parts, unused = {}, set()
    for video, name in zip(ids, names, strict=True):
        path = root / name
        with open_arrays(path) as arrays:
            datasets = datasets_of(arrays)
        found = only_features(path, datasets, reading.dataset)
        unused |= {one.path for one in datasets if one is not found}
        parts[video] = (Part(f"'{path}'", found.shape, found.dtype, partial(FileTable, path, found)),)
    beside = (*sorted(unused), *_others(root, names))
    return SeparateArrays(root, parts, reading).source(Timing(fps), unused=beside, files=tuple(names))


class FileTable:
    """A dataset of a file that is opened for each reading, so that thousands of them may be one source."""

    def __init__(self, path: Path, dataset: Dataset) -> None:
        self._path, self._name = path, dataset.path
        self.shape, self.dtype = dataset.shape, dataset.dtype
        self._whole: NDArray[Any] | None = None

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        if self._whole is not None:
            return np.asarray(self._whole[rows])
        with open_arrays(self._path) as arrays:
            table = arrays[self._name]
            if isinstance(table, ZippedTable):  # a second reading would begin at its beginning
                self._whole = table.whole()
                return np.asarray(self._whole[rows])
            return table[rows]


def _others(root: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Files of the folder that were not looked at."""
    mine = set(names)
    return tuple(name for name in files_below(root, "") if name not in mine)


def _npy_header(path: Path) -> Header:
    try:
        with path.open("rb") as handle:
            shape, _, dtype = read_header(handle)
    except (OSError, ValueError) as error:
        raise FeaturesError(f"'{path}' is no .npy that can be read ({shown(error)})") from error
    return shape, dtype


def _mapped(path: Path, *, mode: Literal["r"] | None = "r") -> NDArray[Any]:
    """The array, left in its file unless ``mode`` is None."""
    try:
        return np.asarray(np.load(path, mmap_mode=mode, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise FeaturesError(f"'{path}' cannot be read ({shown(error)}): is it whole?") from error
