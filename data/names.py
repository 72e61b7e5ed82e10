"""Which video a name in a list means: lists are written for other folders, systems and suffixes than the user's.

A name is a path, or the end of one, with or without suffix. It means the video whose path ends alike in most folders,
in Unicode's composed form, with forward slashes; upper and lower case count only where both are there. Where list and
path name different folders, the file's name must say enough: no other video and no other entry of the list may have
it, and a bare number is no name.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from .suffixes import VIDEO_SUFFIXES
from .wording import told


@dataclass(frozen=True, slots=True)
class Found:
    """What the names of a list mean."""

    ids: Mapping[str, str]  # of the video that each name means, by name
    ambiguous: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # names that several videos have, with these
    absent: tuple[str, ...] = ()  # names that no video has
    by_name_alone: tuple[str, ...] = ()  # names whose folder is another than that of the video they mean


def notes_of(
    absent: Collection[str], ambiguous: Collection[str], by_name_alone: Collection[str], *, where: str, total: int
) -> list[str]:
    """What is to be told of names in a list of so many that mean no video of ``where``, or none for certain."""
    notes = (
        (f"listed, but not in {where}", absent, f" of {total:,}"),
        ("listed by a name that several videos have, so not used", ambiguous, ""),
        ("recognised by name alone, in another folder than listed", by_name_alone, ""),
    )
    return [told(*note) for note in notes if note[1]]


@dataclass(frozen=True, slots=True)
class _Path:
    """A path taken apart: the name that it was made of, its folders and its name without suffix, its whole name."""

    text: str
    parts: tuple[str, ...]
    name: str

    @classmethod
    def of(cls, text: str) -> _Path:
        plain = unicodedata.normalize("NFC", text.strip().replace("\\", "/"))
        parts = [part for part in plain.split("/") if part not in ("", ".")] or [""]
        return cls(text, (*parts[:-1], without_suffix(parts[-1])), parts[-1])

    @property
    def key(self) -> str:
        return self.parts[-1].casefold()

    def likeness(self, video: _Path) -> tuple[int, int, bool, bool]:
        """How much of the end of a video's path is the same, the more important first."""
        folded, exact = (_common(self.parts, video.parts, fold=fold) for fold in (True, False))
        return folded, exact, self.name == video.name, len(self.parts) == len(video.parts) == exact

    def conflicts(self, video: _Path) -> bool:
        """Whether both say in which folder the file is, and not the same: neither path is the end of the other."""
        return _common(self.parts, video.parts, fold=True) < min(len(self.parts), len(video.parts))


class VideoNames:
    """The videos of a catalog by the ends of their paths."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._by_key: dict[str, list[_Path]] = defaultdict(list)
        for video in map(_Path.of, ids):
            self._by_key[video.key].append(video)

    def __contains__(self, name: str) -> bool:
        """Whether a video has that name, in whatever folder."""
        return _Path.of(name).key in self._by_key

    def find(self, names: Iterable[str]) -> Found:
        """What the names of one list mean."""
        asked = {name: _Path.of(name) for name in names}
        entries: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for path in asked.values():
            entries[path.key].add(path.parts)
        ids: dict[str, str] = {}
        ambiguous: dict[str, tuple[str, ...]] = {}
        absent, alone = [], []
        for name, path in asked.items():
            nearest = self._nearest(path)
            if not nearest or (len(nearest) > 1 and all(map(path.conflicts, nearest))):
                absent.append(name)
            elif len(nearest) > 1:
                ambiguous[name] = tuple(video.text for video in nearest)
            elif not path.conflicts(nearest[0]):
                ids[name] = nearest[0].text
            elif len(entries[path.key]) == 1 == len(self._by_key[path.key]) and not path.parts[-1].isdigit():
                ids[name] = nearest[0].text
                alone.append(name)
            else:
                absent.append(name)
        return Found(ids, ambiguous, tuple(absent), tuple(alone))

    def _nearest(self, path: _Path) -> list[_Path]:
        """The videos that are most like the path; several if nothing tells them apart."""
        found = [(path.likeness(video), video) for video in self._by_key.get(path.key, [])]
        most = max((likeness for likeness, _ in found), default=None)
        return [video for likeness, video in found if likeness == most]


def without_suffix(name: str) -> str:
    """A file's name without a suffix that videos have; a dot that means something else stays."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and stem and f".{suffix.lower()}" in VIDEO_SUFFIXES else name


def _common(left: tuple[str, ...], right: tuple[str, ...], *, fold: bool) -> int:
    """How many parts are the same, counted from the end."""
    count = 0
    for one, other in zip(reversed(left), reversed(right), strict=False):
        if (one.casefold() != other.casefold()) if fold else (one != other):
            break
        count += 1
    return count
