"""Training and test videos: UCF101's official lists, random by video, or disjoint by group."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .errors import CatalogError, ConfigError
from .settings import DataSettings
from .types import Split, Video


def make_split(videos: Sequence[Video], settings: DataSettings, lists: Path | None) -> Split:
    """The split that ``data.split`` asks for; ``lists`` is the folder of the official lists, if there is one.

    Raises:
        ConfigError: if the split needs lists or groups that are not there.
        CatalogError: if a list is missing or names none of the videos.
    """
    kind = settings.split if settings.split != "auto" else _automatic(videos, lists)
    if kind.startswith("official"):
        if lists is None:
            raise ConfigError(f"data.split = {kind!r} needs data.splits, the folder of the official lists")
        return official_split(videos, lists, int(kind[-1]))
    if kind == "groups":
        return group_split(videos, settings.train_fraction, settings.split_seed)
    return random_split(videos, settings.train_fraction, settings.split_seed)


def all_splits(videos: Sequence[Video], settings: DataSettings, lists: Path | None) -> list[Split]:
    """Every split that can be made of these videos: official1 to 3, groups, random."""
    kinds = [f"official{number}" for number in (1, 2, 3) if lists is not None and _has_lists(lists, number)]
    kinds += ["groups"] * all(video.group for video in videos) + ["random"]
    found = []
    for kind in kinds:
        try:
            found.append(make_split(videos, replace(settings, split=kind), lists))
        except CatalogError:  # a list that names none of them; the settings' own split has said so where it matters
            continue
    return found


def _has_lists(lists: Path, number: int) -> bool:
    return all((lists / f"{side}list{number:02d}.txt").is_file() for side in ("train", "test"))


def _automatic(videos: Sequence[Video], lists: Path | None) -> str:
    if lists is not None:
        return "official1"
    return "groups" if all(video.group for video in videos) else "random"


def official_split(videos: Sequence[Video], lists: Path, number: int) -> Split:
    """UCF101's official split ``number`` (1 to 3), of those of its videos that are present.

    Names are compared without suffix and case (copies of UCF101 come re-encoded), first with their folder,
    then without. Videos that neither list names belong to neither side.
    """
    train = _read_list(lists / f"trainlist{number:02d}.txt")
    test = _read_list(lists / f"testlist{number:02d}.txt")
    sides: dict[str, set[str]] = {"train": set(), "test": set()}
    train_stems, test_stems = _stems(train), _stems(test)
    for video in videos:
        key = _key(video.id)
        stem = key.rpartition("/")[2]
        if key in train or (key not in test and stem in train_stems):
            sides["train"].add(video.id)
        elif key in test or stem in test_stems:
            sides["test"].add(video.id)
    if not sides["train"] and not sides["test"]:
        raise CatalogError(
            f"none of the {len(videos)} videos is named in '{lists}' (split {number}); "
            f"the first video is '{videos[0].id}', the first entry '{min(train, default='-')}'"
        )
    return Split(f"official{number}", frozenset(sides["train"]), frozenset(sides["test"]))


def random_split(videos: Sequence[Video], train_fraction: float, seed: int) -> Split:
    """Random by video: the paper's protocol. It leaks, since clips of one recording fall on both sides."""
    ids = sorted(video.id for video in videos)
    random.Random(seed).shuffle(ids)
    count = _train_count(len(ids), train_fraction)
    return Split("random", frozenset(ids[:count]), frozenset(ids[count:]))


def group_split(videos: Sequence[Video], train_fraction: float, seed: int) -> Split:
    """Random by group number, the same numbers in every class, so that no recording is on both sides."""
    nameless = next((video for video in videos if video.group is None), None)
    if nameless is not None:
        raise ConfigError(
            f"data.split = 'groups' needs a group in every name (v_<Class>_gNN_cNN); '{nameless.id}' has none: "
            "use data.split = 'random'"
        )
    groups = sorted({str(video.group) for video in videos})
    random.Random(seed).shuffle(groups)
    train_groups = set(groups[: _train_count(len(groups), train_fraction)])
    train = frozenset(video.id for video in videos if video.group in train_groups)
    return Split("groups", train, frozenset(video.id for video in videos) - train)


def _train_count(total: int, fraction: float) -> int:
    """Share of ``total``, leaving at least one for either side where both are wanted."""
    count = round(total * fraction)
    return min(max(count, 1), total - 1) if 0.0 < fraction < 1.0 and total > 1 else count


def _read_list(path: Path) -> frozenset[str]:
    """Entries of a list file; its lines end in CRLF, and a training line carries the class number."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CatalogError(f"the split list '{path}' cannot be read ({error.strerror}): see data.splits") from error
    return frozenset(_key(line.split()[0]) for line in text.splitlines() if line.strip())


def _key(name: str) -> str:
    folder, _, file = name.replace("\\", "/").rpartition("/")
    stem = file.rpartition(".")[0] or file
    return f"{folder.rpartition('/')[2]}/{stem}".lower()


def _stems(entries: frozenset[str]) -> frozenset[str]:
    return frozenset(entry.rpartition("/")[2] for entry in entries)
