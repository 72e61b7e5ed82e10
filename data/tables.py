"""A table of videos: classes, sides, groups and segments from a file of the user's (CSV, TSV, JSON, JSON lines).

Columns are ``video`` (a path below the data folder, or the end of one, with or without suffix), ``label`` (several with
semicolons between), ``split``, ``group``, ``start_s`` and ``end_s``; other columns are kept as metadata. What data sets
ship in forms of their own is read by :mod:`.annotations`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import CatalogError
from .folder_sides import SIDE_OF
from .sampling import Span
from .suffixes import VIDEO_SUFFIXES
from .text_files import read_text

ALIASES = {
    "video": ("video", "path", "video_path", "file", "filename", "file_name", "video_id", "video_name", "clip", "id"),
    "label": ("label", "labels", "class", "class_name", "category", "action"),
    "split": ("split", "subset", "side", "partition", "set"),
    "group": ("group", "recording", "subject", "scene"),
    "start_s": ("start_s", "start"),
    "end_s": ("end_s", "end"),
}
COLUMNS = frozenset(word for words in ALIASES.values() for word in words)
UNKNOWN = frozenset(["", "-1", "nan", "none", "null"])  # what stands for no class
KINDS = ".csv, .tsv, .jsonl, .json"


@dataclass(frozen=True, slots=True)
class Row:
    """What a table says of a video, or of a segment of one."""

    video: str  # its name in the table
    labels: tuple[str, ...] = ()  # classes; none where it says nothing
    side: str | None = None  # of the split; None likewise
    group: str | None = None  # recording; None likewise
    span: Span | None = None  # of the segment; None for the whole video
    metadata: tuple[tuple[str, str], ...] = ()  # the other columns
    files: tuple[str, ...] = ()  # other names that its file may have


@dataclass(frozen=True, slots=True)
class Table:
    """What one or several files say."""

    what: str  # they are, for the user: "table", "Kinetics", ..
    rows: tuple[Row, ...] = ()  # in their order
    # named parts of the test side, as names of videos
    subsets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labelled: bool = True  # whether the files name classes at all; those of folders are then none
    headed: bool = True  # whether their columns have names


def side_name(text: str) -> str | None:
    """The usual name (train, val, test) of a side, in any case; of other words these themselves; None for nothing."""
    plain = text.strip()
    return SIDE_OF.get(plain.lower(), plain) or None


def side_in(name: str) -> str | None:
    """The side that a file's name speaks of (``something-something-v2-train.json``); None if none or several."""
    found = {SIDE_OF[word] for word in re.split(r"[^a-z]+", name.lower()) if word in SIDE_OF}
    return found.pop() if len(found) == 1 else None


def own_table(path: Path, records: Iterable[Mapping[str, Any]], *, headed: bool = True) -> Table:
    """A table with columns as the module says.

    Raises:
        CatalogError: if it has no column of videos, or a row makes no sense.
    """
    side, rows, labelled = side_in(path.stem), [], False
    for number, record in enumerate(records, 1):
        named = {str(key).strip().lower(): value for key, value in record.items() if key is not None}
        column = {name: next((each for each in words if each in named), None) for name, words in ALIASES.items()}
        if column["video"] is None:
            raise CatalogError(
                f"the table '{path}' has no column 'video': its columns are {_shortened(named)}; needed is video, "
                "and there may be label, split, group, start_s, end_s"
            )
        labelled = labelled or column["label"] is not None
        used = {name: named[each] for name, each in column.items() if each is not None}
        others = tuple((key, _text(value)) for key, value in named.items() if key not in column.values())
        rows.append(_row(path, number, used, others, side))
    if not rows:
        raise CatalogError(f"the table '{path}' is empty")
    return Table("table", tuple(rows), labelled=labelled, headed=headed)


def _row(
    path: Path, number: int, used: Mapping[str, Any], others: tuple[tuple[str, str], ...], side: str | None
) -> Row:
    where = f"the table '{path}', row {number}"
    video = _text(used["video"])
    if not video:
        raise CatalogError(f"{where}: it names no video")
    return Row(
        video,
        labels_of(used.get("label")),
        side_name(_text(used.get("split"))) or side,
        _text(used.get("group")) or None,
        _span(where, _text(used.get("start_s")), _text(used.get("end_s"))),
        others,
    )


def labels_of(value: Any) -> tuple[str, ...]:
    """The classes in a cell: several in a list, or with semicolons between; none for -1 and the like."""
    texts = [_text(each) for each in value] if isinstance(value, list | tuple) else _text(value).split(";")
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip().lower() not in UNKNOWN))


def span_of(where: str, start_s: float, end_s: float) -> Span:
    """A segment; what is wrong with one names the row.

    Raises:
        CatalogError: if it has no length or begins before the video.
    """
    if not 0 <= start_s < end_s:
        raise CatalogError(f"{where}: start_s = {start_s:g}, end_s = {end_s:g}: seconds are needed, 0 <= start < end")
    return Span(start_s, end_s)


def _span(where: str, start: str, end: str) -> Span | None:
    if not start and not end:
        return None
    try:
        return span_of(where, float(start or 0.0), float(end or math.inf))
    except ValueError as error:
        raise CatalogError(f"{where}: start_s = '{start}', end_s = '{end}': numbers of seconds are needed") from error


def _text(value: Any) -> str:
    """A cell as text; whole numbers without a point, as they were typed in a spreadsheet."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.strip() if isinstance(value, str) else json.dumps(value) if isinstance(value, dict) else str(value)


def records_of(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """The rows of a CSV, TSV or JSON-lines file as dictionaries, and whether its first line names the columns.

    A file without a header, of a path and perhaps a class in every line (as PySlowFast, VideoMAE and MMAction have
    them), is known by its first cell, which ends like a video, or by a first line that names no known column.

    Raises:
        CatalogError: if it is none of them.
    """
    text = read_text(path, "the table")
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return list(_json_lines(path, text)), True
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise CatalogError(f"the table '{path}' is empty")
    # The first of tab, comma and semicolon that the first line has; none for spaces.
    delimiter = "\t" if path.suffix.lower() == ".tsv" else next((each for each in "\t,;" if each in lines[0]), "")
    if _is_video(_cells(lines[0], delimiter)[0]) or _are_pairs(lines, delimiter):
        pairs = [_pair(path, line, delimiter) for line in lines]
        return [dict(zip(("video", "label"), pair, strict=True)) for pair in pairs], False
    try:
        table = csv.DictReader(io.StringIO(text), delimiter=delimiter or ",", skipinitialspace=True, strict=True)
        twice = [name for name, count in Counter(table.fieldnames or ()).items() if count > 1]
        if twice:
            raise CatalogError(f"the table '{path}' has several columns called {_shortened(twice)}: name them apart")
        return list(table), True
    except csv.Error as error:
        raise CatalogError(f"the table '{path}' is no CSV that can be read: {error}") from error


def _are_pairs(lines: Sequence[str], delimiter: str) -> bool:
    """Whether no line has more than two cells, and the first none that is the name of a column."""
    if any(cell.lower() in COLUMNS for cell in _cells(lines[0], delimiter)):
        return False
    return all(len(_cells(line, delimiter)) <= 2 for line in lines)


def _cells(line: str, delimiter: str) -> list[str]:
    """What is between separators; of spaces, the last one separates."""
    cells = next(csv.reader([line], delimiter=delimiter)) if delimiter else line.strip().rsplit(" ", 1)
    return [cell.strip() for cell in cells]


def _is_video(cell: str) -> bool:
    return Path(cell.strip().replace("\\", "/")).suffix.lower() in VIDEO_SUFFIXES


def _pair(path: Path, line: str, delimiter: str) -> tuple[str, str]:
    """Path and class of a line without a header; paths may hold spaces."""
    cells = _cells(line, delimiter)
    if len(cells) == 1 or (not delimiter and _is_video(line)):
        return line.strip(), ""
    if len(cells) == 2:
        return cells[0], cells[1]
    raise CatalogError(f"the table '{path}' has no header, and more than a path and a class in '{line[:80]}'")


def _json_lines(path: Path, text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise CatalogError(f"the table '{path}', line {number}, is no JSON: {error}") from error
        if not isinstance(record, dict):
            raise CatalogError(f"the table '{path}', line {number}: an object {{...}} with the columns is needed")
        yield record


def _shortened(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(name[:40] for name in names[:most]) + more
