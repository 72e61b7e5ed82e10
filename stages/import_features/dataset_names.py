"""Which datasets of a file are the features of which video: by their names, shapes and types alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ...data.errors import FeaturesError
from .options import EACH, listed, shown


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset: its path in the file, with slashes, its shape and type."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def is_features(self) -> bool:
        """Whether it may hold features: two or more dimensions, of floats."""
        return self.dtype.kind == "f" and self.dtype.itemsize <= 8 and len(self.shape) >= 2 and prod(self.shape[1:]) > 0

    @property
    def is_empty(self) -> bool:
        """Whether it is what is left of features without a frame: an empty list becomes an array (0,)."""
        return self.dtype.kind == "f" and self.shape == (0,)

    def __str__(self) -> str:
        return f"{shown(self.path)} {self.shape}"


@dataclass(frozen=True, slots=True)
class FoundVideos:
    """The dataset of each video, the datasets that are none, and how that was decided."""

    videos: Mapping[str, Dataset]
    unused: tuple[str, ...]
    notes: tuple[str, ...] = ()


def find_videos(path: Path, datasets: Sequence[Dataset], name: str | None, *, by_group: bool) -> FoundVideos:
    """The features of each video of a file.

    Args:
        path: of the file, for messages.
        datasets: all that are in it.
        name: of the one to take in each group; ``EACH`` to take every dataset for a video.
        by_group: whether a group may be a video, whose features are the only ones below it; else keys are ids.

    Raises:
        FeaturesError: if there are none, or if several in a group could be the features.
    """
    candidates = _candidates(datasets)
    if name is not None and name != EACH:
        videos = {one.path.removesuffix(f"/{name}"): one for one in datasets if one.path.endswith(f"/{name}")}
        if not videos:
            raise FeaturesError(f"--dataset {name}: no group of '{path}' has one of that name; {_holds(datasets)}")
    elif not candidates:
        raise FeaturesError(
            f"'{path}' holds neither features (N, D) with lengths (V,) and ids (V,), "
            f"nor an array (T, D) of floats for each video; {_holds(datasets)}"
        )
    elif name == EACH or not by_group:
        videos = {one.path: one for one in candidates}
    else:
        videos = _by_group(path, candidates)
    videos |= _empty(datasets, videos)
    taken = {one.path for one in videos.values()}
    return FoundVideos(videos, tuple(one.path for one in datasets if one.path not in taken), _note(videos))


def only_features(path: Path, datasets: Sequence[Dataset], name: str | None) -> Dataset:
    """The features of a file that is one video: the only array of floats of two dimensions, or the one called ``name``.

    Raises:
        FeaturesError: if there is none, or several.
    """
    if name is not None and name != EACH:
        named = [one for one in datasets if one.path == name or one.path.endswith(f"/{name}")]
        if len(named) == 1:
            return named[0]
        raise FeaturesError(f"--dataset {name}: '{path}' has {len(named)} of that name; {_holds(datasets)}")
    candidates = _candidates(datasets) or [one for one in datasets if one.is_empty]
    if {"features", "lengths", "ids"} <= {one.path for one in datasets}:
        raise FeaturesError(f"'{path}' holds features of many videos, with lengths and ids: import the file itself")
    if not candidates:
        raise FeaturesError(f"'{path}' holds no array (T, D) of floats; {_holds(datasets)}")
    if len(candidates) > 1:
        raise _several(f"'{path}'", candidates, each=False)
    return candidates[0]


def _candidates(datasets: Sequence[Dataset]) -> list[Dataset]:
    """What may be features; those of two dimensions, if there are any."""
    found = [one for one in datasets if one.is_features]
    return [one for one in found if len(one.shape) == 2] or found


def _by_group(path: Path, candidates: Sequence[Dataset]) -> dict[str, Dataset]:
    """Features by id: the path of a dataset, or of the group that holds it alone."""
    ending = _common_ending([one.path for one in candidates])
    if ending:
        return {one.path.removesuffix(ending): one for one in candidates}
    groups: defaultdict[str, list[Dataset]] = defaultdict(list)
    for one in candidates:
        group, _, _ = one.path.rpartition("/")
        groups[group].append(one)
    at_top = {one.path: one for one in groups.pop("", [])}
    crowded = [group for group, inside in groups.items() if len(inside) > 1]
    if not crowded:
        return at_top | {group: inside[0] for group, inside in groups.items()}
    names = Counter(one.path.rpartition("/")[2] for inside in groups.values() for one in inside)
    if len(groups) == 1 or max(names.values()) == 1:  # no two groups have a name in common: names are of videos
        return {one.path: one for one in candidates}
    more = f" (and {len(crowded) - 1:,} more groups)" if len(crowded) > 1 else ""
    raise _several(f"'{path}': the group {shown(crowded[0])}{more}", groups[crowded[0]], each=True)


def _common_ending(paths: Sequence[str]) -> str:
    """What all paths end in, from a slash on; a name stays before it."""
    parts = [path.split("/") for path in paths]
    depth = 0
    while min(map(len, parts)) > depth + 1 and len({one[-depth - 1] for one in parts}) == 1:
        depth += 1
    return "".join(f"/{name}" for name in parts[0][len(parts[0]) - depth :])


def _empty(datasets: Sequence[Dataset], videos: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """Videos without a frame, whose arrays (0,) lie where others have their features."""
    endings = {one.path.removeprefix(video) for video, one in videos.items()}
    if len(endings) != 1:
        return {}
    (ending,) = endings
    found = {one.path.removesuffix(ending): one for one in datasets if one.is_empty and one.path.endswith(ending)}
    return {video: one for video, one in found.items() if video not in videos}


def _note(videos: Mapping[str, Dataset]) -> tuple[str, ...]:
    names = Counter(one.path.removeprefix(video).removeprefix("/") for video, one in videos.items())
    inside = [name for name, _ in names.most_common() if name]
    if inside:
        return (f"each group with {listed(inside)} is a video ({len(videos):,})",)
    return (f"each array (T, D) is a video ({len(videos):,}), its name the id",)


def _several(where: str, candidates: Sequence[Dataset], *, each: bool) -> FeaturesError:
    every = f", or `--dataset '{EACH}'` if each is a video" if each else ""
    names = listed([str(one) for one in candidates])
    last = shown(candidates[0].path.rpartition("/")[2])
    return FeaturesError(
        f"{where} holds several arrays that may be the features: {names}. "
        f"Choose with --dataset (`--dataset {last}`){every}"
    )


def _holds(datasets: Sequence[Dataset]) -> str:
    return f"it holds {listed([f'{one} {shown(one.dtype)}' for one in datasets]) or 'no array'}"
