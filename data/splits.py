"""Training and test videos: the sides that a table, lists or folders name; or drawn, by recording or at random."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from .errors import CatalogError, ConfigError
from .official_lists import has_lists, official_division
from .settings import DataSettings
from .types import Division, Split, Video

TRAIN = "train"
NAMED = ("table", "official", "folders")  # sides that are the user's, not drawn


def make_split(
    videos: Sequence[Video], settings: DataSettings, lists: Path | None, divisions: Sequence[Division] = ()
) -> Split:
    """The split that ``data.split`` asks for.

    Args:
        videos: of the catalog.
        settings: which split, and how it is drawn.
        lists: folder of UCF101's official lists, if there is one.
        divisions: of the videos into sides, as a table or folders have them.

    Raises:
        ConfigError: if the split needs a table, lists, folders or groups that are not there.
        CatalogError: if a list is missing or names none of the videos.
    """
    kind = settings.split if settings.split != "auto" else _automatic(videos, lists, divisions)
    if kind == "groups":
        return group_split(videos, settings.train_fraction, settings.split_seed)
    if kind == "random":
        return random_split(videos, settings.train_fraction, settings.split_seed)
    division = next((each for each in divisions if each.name == kind), None)
    if division is None and kind.startswith("official") and lists is not None:
        division = official_division(videos, lists, int(kind[-1]))
    if division is None:
        raise ConfigError(f"data.split = {kind!r} needs {_needed(kind, divisions)}")
    return by_division(videos, division, settings.queries)


def all_splits(
    videos: Sequence[Video],
    settings: DataSettings,
    lists: Path | None,
    divisions: Sequence[Division] = (),
    subsets: Mapping[str, frozenset[str]] = MappingProxyType({}),
) -> list[Split]:
    """Every split that can be made of these videos: each further side, and each part of the test side, is one too.

    Args:
        videos: of the catalog.
        settings: how splits are drawn.
        lists: folder of UCF101's official lists, if there is one.
        divisions: of the videos into sides.
        subsets: named parts of the test side.
    """
    kinds = [division.name for division in divisions]
    kinds += [f"official{number}" for number in (1, 2, 3) if lists is not None and has_lists(lists, number)]
    kinds += ["groups"] * all(video.group for video in videos) + ["random"]
    found = []
    for kind in dict.fromkeys(kinds):
        try:
            split = make_split(videos, replace(settings, split=kind), lists, divisions)
        except CatalogError:  # a list that names none of them; the settings' own split has said so where it matters
            continue
        found.append(split)
        if kind.startswith(NAMED):
            found += [Split(f"{kind}, {side}", split.train, ids) for side, ids in split.others.items()]
            parts = {name: split.test & ids for name, ids in subsets.items()}
            found += [Split(f"{kind}, {name}", split.train, ids) for name, ids in parts.items() if ids]
    return found


def by_division(videos: Sequence[Video], division: Division, queries: str = "auto") -> Split:
    """The split of a division: its training side, and the side that asks.

    Args:
        videos: of the catalog.
        division: their sides.
        queries: the side that asks; "auto": test if one of its videos has a class, else val, else another with classes.

    Raises:
        ConfigError: if there is no such side.
    """
    sides: dict[str, set[str]] = defaultdict(set)
    for video in videos:
        if (side := division.sides.get(video.id)) is not None:
            sides[side].add(video.id)
    asking = [side for side in sides if side != TRAIN]
    if queries == "auto":
        labelled = {division.sides.get(video.id) for video in videos if video.labels}
        order = sorted(asking, key=lambda side: (side not in labelled, side != "test", side != "val", side))
        chosen = order[0] if order else None
    elif queries in asking:
        chosen = queries
    else:
        raise ConfigError(f"data.queries = {queries!r}: the split '{division.name}' has the sides {_listed(sides)}")
    others = {side: frozenset(sides[side]) for side in sorted(asking) if side != chosen}
    notes = list(division.notes)
    if not sides[TRAIN]:
        notes.append(f"no video is on the side '{TRAIN}', which is fitted on and searched: there is {_listed(sides)}")
    test = frozenset(sides[chosen]) if chosen else frozenset()
    return Split(division.name, frozenset(sides[TRAIN]), test, chosen or "test", others, tuple(notes))


def _listed(sides: Mapping[str, set[str]]) -> str:
    return ", ".join(f"{side} ({len(ids):,})" for side, ids in sorted(sides.items()) if ids) or "none"


def _automatic(videos: Sequence[Video], lists: Path | None, divisions: Sequence[Division]) -> str:
    names = [division.name for division in divisions]
    given = [name for name in names if name != "folders"] + ["official1"] * (lists is not None) + names
    if given:
        return given[0]
    return "groups" if all(video.group for video in videos) else "random"


def _needed(kind: str, divisions: Sequence[Division]) -> str:
    there = ", ".join([division.name for division in divisions] + ["random"])
    what = {"table": "data.table, with a column split", "folders": "folders called train and test (or val)"}
    lists = "data.lists, the folder of the official lists"
    if kind.startswith("official") and any(division.name.startswith("official") for division in divisions):
        lists = f"the lists of split {kind[-1]}, which the folder of lists (data.table) does not hold"
    return f"{what.get(kind, lists)}; there is {there}"


def random_split(videos: Sequence[Video], train_fraction: float, seed: int) -> Split:
    """Random by video, the same share of every class: the paper's protocol.

    Within a class the videos with the smallest hashes of seed and id are for training; where one comes or goes, at most
    one other of its class changes sides. It leaks, since clips of one recording fall on both sides; that is noted.
    """
    by_class: dict[str, list[str]] = defaultdict(list)
    for video in videos:
        by_class[video.label or ""].append(video.id)
    train: set[str] = set()
    for label, ids in by_class.items():
        count = math.floor(round(len(ids) * train_fraction, 9) + _drawn(seed, f"class {label}"))
        train.update(_first(ids, _between(count, len(ids), train_fraction), seed))
    ids = [video.id for video in videos]
    if 0.0 < train_fraction < 1.0 and len(ids) > 1 and len(train) in (0, len(ids)):  # classes of one video each
        train = set(_first(ids, _between(round(len(ids) * train_fraction), len(ids), train_fraction), seed))
    test = frozenset(ids) - train
    return Split("random", frozenset(train), test, notes=_leaks(videos, train, test))


def group_split(videos: Sequence[Video], train_fraction: float, seed: int) -> Split:
    """Random by group, the same names in every class, so that no recording is on both sides."""
    nameless = next((video for video in videos if video.group is None), None)
    if nameless is not None:
        raise ConfigError(
            "data.split = 'groups' needs a group of every video (v_<Class>_gNN_cNN, or a column group in data.table), "
            f"but '{nameless.id}' has none: use data.split = 'random'"
        )
    groups = sorted({str(video.group) for video in videos})
    count = _between(round(len(groups) * train_fraction), len(groups), train_fraction)
    train_groups = set(_first(groups, count, seed))
    train = frozenset(video.id for video in videos if video.group in train_groups)
    return Split("groups", train, frozenset(video.id for video in videos) - train)


def _first(names: Sequence[str], count: int, seed: int) -> list[str]:
    return sorted(names, key=lambda name: (_drawn(seed, name), name))[:count]


def _drawn(seed: int, name: str) -> float:
    """A number from 0 to 1 that a name always draws with a seed, whatever other names there are."""
    content = hashlib.blake2b(f"{seed}\0{name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(content, "big") / 2**64


def _between(count: int, total: int, fraction: float) -> int:
    """At least one for either side where both are wanted and there are two."""
    return min(max(count, 1), total - 1) if 0.0 < fraction < 1.0 and total > 1 else min(count, total)


def _leaks(videos: Sequence[Video], train: Collection[str], test: Collection[str]) -> tuple[str, ...]:
    """Whether clips of one recording are on both sides."""
    known = {video.recording for video in videos if video.recording and video.id in train}
    leaking = sum(video.recording in known for video in videos if video.id in test)
    if not leaking:
        return ()
    return (
        f"the random split leaks: {leaking:,} of {len(test):,} test videos share their recording with a training "
        "video, which flatters every figure; data.split = 'groups' keeps recordings on one side",
    )
