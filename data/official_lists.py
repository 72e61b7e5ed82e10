"""UCF101's official lists: trainlist01.txt, testlist01.txt, ... (three splits; training lines carry a class number)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .errors import CatalogError
from .names import VideoNames, notes_of
from .text_files import read_text
from .types import Division, Video
from .wording import told


def has_lists(lists: Path, number: int) -> bool:
    """Whether both lists of a split are in the folder."""
    return all((lists / f"{side}list{number:02d}.txt").is_file() for side in ("train", "test"))


def official_division(videos: Sequence[Video], lists: Path, number: int) -> Division:
    """The sides of official split ``number`` (1 to 3), of those of its videos that are present.

    Suffixes do not count (copies of UCF101 come re-encoded); see :mod:`.names` for what an entry means. A video that
    both lists name is on neither side.

    Raises:
        CatalogError: if a list cannot be read, or they name none of the videos.
    """
    names = VideoNames(video.id for video in videos)
    entries = {side: _entries(lists / f"{side}list{number:02d}.txt", names) for side in ("train", "test")}
    found = names.find(entry for listed in entries.values() for entry in listed)
    on = {side: {found.ids[entry] for entry in listed if entry in found.ids} for side, listed in entries.items()}
    both = sorted(on["train"] & on["test"])
    sides = {video_id: side for side, ids in on.items() for video_id in ids if video_id not in both}
    if not found.ids:
        first = next((entry for listed in entries.values() for entry in listed), "-")
        raise CatalogError(
            f"none of the {len(videos):,} videos is named in '{lists}' (split {number}); "
            f"the first video is '{videos[0].id}', the first entry '{first}'"
        )
    total = sum(map(len, entries.values()))
    notes = notes_of(found.absent, found.ambiguous, found.by_name_alone, where="the data folder", total=total)
    twice = [told("in the training list and in the test list, so on no side", both)] if both else []
    return Division(f"official{number}", sides, (*twice, *notes))


def _entries(path: Path, names: VideoNames) -> list[str]:
    """The names in a list: a line, or what precedes the class number at its end; names may hold spaces."""
    what = "the split list"
    if not path.exists():
        raise CatalogError(f"{what} '{path}' cannot be read (No such file or directory): see data.lists")
    try:
        return [_entry(line, names) for line in read_text(path, what).splitlines() if line.strip()]
    except CatalogError:  # Windows' own encoding has no mark; that it was meant shows in names that are there
        with suppress(CatalogError):
            lines = read_text(path, what, encoding="cp1252").splitlines()
            entries = [_entry(line, names) for line in lines if line.strip()]
            if any(not video_id.isascii() for video_id in names.find(entries).ids.values()):
                return entries
        raise


def _entry(line: str, names: VideoNames) -> str:
    name, _, number = line.strip().rpartition(" ")
    return name.strip() if name and number.isdigit() and line.strip() not in names else line.strip()
