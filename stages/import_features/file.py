"""A file of features: flat arrays of all videos, or an array for each video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

from ...data.errors import FeaturesError
from ...data.wording import counted
from .arrays import TIME_LAST, Part, Table, find_axes
from .dataset_names import Dataset, find_videos
from .flat_arrays import ZippedTable, open_arrays, selectable
from .options import Reading, listed, shown
from .separate_arrays import SeparateArrays, Timing
from .source import FPS, BroughtVideo, FeatureSource, check_ids, with_frames

NEEDED, OPTIONAL = ("features", "lengths", "ids"), ("times_s", "labels", "groups")
UNKNOWN_LABELS = ("", "-1")


@contextmanager
def file_source(path: Path, fps: float | None, reading: Reading) -> Iterator[FeatureSource]:
    """The features of a file.

    Raises:
        FeaturesError: if it holds none, or shapes, lengths or ids contradict each other.
    """
    with open_arrays(path) as arrays:
        flat = reading.dataset is None and ("features" in arrays or ("lengths" in arrays and "ids" in arrays))
        yield _flat_source(path, arrays, fps, reading) if flat else _keyed_source(path, arrays, fps, reading)


def datasets_of(arrays: Mapping[str, Table]) -> list[Dataset]:
    """Everything that is in a file, in its order."""
    below = getattr(arrays, "below", None)
    if below is not None:
        return sorted((Dataset(*found) for found in below()), key=lambda found: found.path)
    return [Dataset(name, table.shape, table.dtype) for name, table in arrays.items()]


def _keyed_source(path: Path, arrays: Mapping[str, Table], fps: float | None, reading: Reading) -> FeatureSource:
    """A file with an array for each video, or a group with one."""
    found = find_videos(path, datasets_of(arrays), reading.dataset, by_group=hasattr(arrays, "below"))

    def part(dataset: Dataset) -> Part:
        return Part(f"'{path}': {shown(dataset.path)}", dataset.shape, dataset.dtype, lambda: arrays[dataset.path])

    parts = {video: (part(dataset),) for video, dataset in found.videos.items()}
    return SeparateArrays(path, parts, reading).source(Timing(fps), unused=found.unused, notes=found.notes)


def _flat_source(path: Path, arrays: Mapping[str, Table], fps: float | None, reading: Reading) -> FeatureSource:
    missing = [name for name in NEEDED if name not in arrays]
    if missing:
        raise FeaturesError(
            f"'{path}' has no {' and no '.join(missing)}: features (N, D), lengths (V,) and ids (V,) are needed, "
            f"it holds {listed(sorted(arrays)) or 'no array'}"
        )
    features = _flat_features(path, arrays["features"], reading)
    rows, width = features.shape
    times = _in_rows(arrays["times_s"]) if "times_s" in arrays else None
    if times is not None and fps is not None:
        raise FeaturesError(f"--fps {fps:g}: '{path}' has times_s, which say more: leave --fps away")
    if times is not None and (times.shape != (rows,) or times.dtype.kind not in "fiu"):
        raise FeaturesError(
            f"'{path}': times_s has shape {times.shape} and type {shown(times.dtype)}: {rows:,} numbers are needed"
        )
    videos, left_out = with_frames(path, _flat_videos(path, arrays, features.shape))
    return FeatureSource(
        path,
        videos,
        (rows, width),
        features.dtype,
        None if times is not None else fps or FPS,
        lambda _video: features,
        None if times is None else lambda video: times[video.first : video.first + video.frames],
        labelled="labels" in arrays,
        grouped="groups" in arrays,
        unused=tuple(sorted(arrays.keys() - {*NEEDED, *OPTIONAL})),
        notes=(*left_out, *(_unlabelled(videos) if "labels" in arrays else ())),
        options=reading.arguments(),
    )


def _flat_features(path: Path, table: Table, reading: Reading) -> Table:
    """The features of all videos as (N, D)."""
    part = Part(f"'{path}': features", table.shape, table.dtype, lambda: table)
    (axes,) = find_axes([part], reading)
    if axes.time == 0:
        _in_rows(table)
    return axes.seen(selectable(table, by_rows=axes.time == 0))


def _flat_videos(path: Path, arrays: Mapping[str, Table], shape: tuple[int, ...]) -> tuple[BroughtVideo, ...]:
    ids = _texts(path, "ids", arrays["ids"])
    check_ids(path, ids)
    lengths = _lengths(path, arrays["lengths"], ids, shape)
    given = {name: _texts(path, name, arrays[name]) for name in ("labels", "groups") if name in arrays}
    for name, texts in given.items():
        if len(texts) != len(ids):
            raise FeaturesError(f"'{path}': {name} has {len(texts):,} entries, but ids {len(ids):,}")
    nothing = [""] * len(ids)
    firsts = accumulate(lengths[:-1], initial=0)
    labels, groups = given.get("labels", nothing), given.get("groups", nothing)
    return tuple(
        BroughtVideo(name, first, frames, None if label in UNKNOWN_LABELS else label, group or None)
        for name, first, frames, label, group in zip(ids, firsts, lengths, labels, groups, strict=True)
    )


def _unlabelled(videos: Sequence[BroughtVideo]) -> tuple[str, ...]:
    """A note of the videos whose class is not known."""
    count = sum(video.label is None for video in videos)
    return (
        (f"{count:,} of {counted(len(videos), 'video')} have the label -1 or none: they have no class",)
        if count
        else ()
    )


def _lengths(path: Path, table: Table, ids: Sequence[str], shape: tuple[int, ...]) -> list[int]:
    """Frames of each video."""
    if table.shape != (len(ids),) or table.dtype.kind not in "iu":
        raise FeaturesError(
            f"'{path}': lengths has shape {table.shape} and type {shown(table.dtype)}; whole numbers, one for each of "
            f"the {len(ids):,} ids, are needed"
        )
    lengths = [int(length) for length in _in_rows(table)[:]]
    for name, length in zip(ids, lengths, strict=True):
        if length < 0:
            raise FeaturesError(f"'{path}': '{shown(name)}' has length {length}: a number of frames is needed")
    rows, width = shape
    if sum(lengths) != rows:
        hint = f" ({TIME_LAST})" if sum(lengths) == width else ""
        raise FeaturesError(
            f"'{path}': lengths sum to {sum(lengths):,}, but features has {counted(rows, 'row')}: "
            f"one row for each frame of each video, in the order of ids, is needed{hint}"
        )
    return lengths


def _texts(path: Path, name: str, table: Table) -> list[str]:
    """Texts, or whole numbers as texts. Bytes that are no UTF-8 travel as they are."""
    if len(table.shape) != 1:
        raise FeaturesError(f"'{path}': {name} has shape {table.shape}: one text for each video is needed")
    found = _in_rows(table)[:].tolist()
    if not all(isinstance(item, str | bytes | int) for item in found):
        raise FeaturesError(f"'{path}': {name} has type {shown(table.dtype)}: texts are needed")
    return [item.decode("utf-8", "surrogateescape") if isinstance(item, bytes) else str(item) for item in found]


def _in_rows(table: Any) -> Table:
    """A table whose rows can be read."""
    return table.in_rows() if isinstance(table, ZippedTable) else table
