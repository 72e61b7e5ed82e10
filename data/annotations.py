"""What data sets ship: lists of classes, splits and segments in the forms in which they were published.

====================== =============================================================================================
HMDB51                 a folder of ``<class>_test_split<n>.txt``: ``file.avi 1`` (1 training, 2 test, 0 neither)
Kinetics 400, 600, 700 CSV ``label,youtube_id,time_start,time_end,split``; files ``ID.mp4`` or ``ID_<start>_<end>.mp4``
Something-Something V2 JSON list of ``{id, label, template}``; the class is the template without brackets
Diving48               JSON list of ``{vid_name, label, ...}``; names of classes from ``Diving48_vocab.json`` beside it
ActivityNet, HACS      JSON ``{"database": {ID: {subset, annotations: [{segment, label}]}}}``; files ``v_ID`` or ``ID``
UTD-splits             JSON ``{"debiased": [names], ...}``: parts of the test side (Shvetsova et al. 2025)
====================== =============================================================================================

Times of Kinetics are those of the film that a clip was cut from, and frames of Diving48 those of the whole clip, so
neither cuts anything here. Segments of ActivityNet do: each is an item of its own. UCF101's lists: :mod:`.splits`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import CatalogError
from .tables import KINDS, Row, Table, labels_of, own_table, records_of, side_in, side_name, span_of
from .text_files import read_text

HMDB51_LIST = re.compile(r"(?P<label>.+)_test_split(?P<number>[123])\.txt", re.IGNORECASE)
HMDB51_SIDES = {"1": "train", "2": "test"}
KINETICS = frozenset(["youtube_id", "time_start", "time_end"])
JSON_SUFFIXES = frozenset([".json"])
TABLE_SUFFIXES = frozenset([".csv", ".tsv", ".jsonl", ".ndjson", ".txt", *JSON_SUFFIXES])


def read_tables(paths: Sequence[Path], number: int = 1) -> Table:
    """What some files or folders say of videos, together.

    Args:
        paths: files, or folders of lists; of a folder of tables all of them are read.
        number: of the split, where there are several (HMDB51: 1 to 3).

    Raises:
        CatalogError: naming the file, if one is of no known form.
    """
    found = [table for path in paths for table in _read(path, number)]
    kinds = list(dict.fromkeys(table.what for table in found))
    rows = tuple(row for table in found for row in table.rows)
    subsets = {name: names for table in found for name, names in table.subsets.items()}
    with_rows = [table for table in found if table.rows]
    labelled, headed = any(table.labelled for table in with_rows), all(table.headed for table in with_rows)
    return Table(" and ".join(kinds), rows, subsets, labelled, headed)


def splits_of(paths: Sequence[Path]) -> tuple[int, ...]:
    """Numbers of the splits that the files hold; none where they hold one, or none."""
    names = [each.name for path in paths if path.is_dir() for each in path.iterdir()]
    return tuple(sorted({int(match["number"]) for name in names if (match := HMDB51_LIST.fullmatch(name))}))


def _read(path: Path, number: int) -> list[Table]:
    if path.is_dir():
        return _read_folder(path, number)
    if not path.is_file():
        raise CatalogError(f"data.table = '{path}' does not exist: give a file ({KINDS}), or a folder of lists")
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise CatalogError(f"the table '{path}': a file ending in {KINDS} is needed")
    if path.suffix.lower() in JSON_SUFFIXES:
        return [_read_json(path)]
    if HMDB51_LIST.fullmatch(path.name):
        raise CatalogError(
            f"data.table = '{path}' is one of HMDB51's lists, of a single class: give their folder, '{path.parent}'"
        )
    records, headed = records_of(path)
    if records and {str(key).strip().lower() for key in records[0]} >= KINETICS:
        return [_kinetics(path, records)]
    return [own_table(path, records, headed=headed)]


def _read_folder(path: Path, number: int) -> list[Table]:
    lists = {each: match for each in sorted(path.iterdir()) if (match := HMDB51_LIST.fullmatch(each.name))}
    if lists:
        return [_hmdb51({each: match for each, match in lists.items() if int(match["number"]) == number})]
    if any(re.fullmatch(r"(train|test)list0[123]\.txt", each.name) for each in path.iterdir()):
        raise CatalogError(f"data.table = '{path}' holds UCF101's lists: give it as data.lists (--splits)")
    files = [each for each in sorted(path.iterdir()) if each.suffix.lower() in TABLE_SUFFIXES - {".txt"}]
    files = [each for each in files if "vocab" not in each.stem.lower() and each.stem.lower() != "labels"]
    if not files:
        raise CatalogError(f"data.table = '{path}': the folder holds no table ({KINDS}) and no lists of HMDB51")
    return [table for each in files for table in _read(each, number)]


def _hmdb51(lists: Mapping[Path, re.Match[str]]) -> Table:
    """Kuehne et al. 2011, the three splits of 70 training and 30 test videos for each class."""
    rows = []
    for path, match in lists.items():
        for line in read_text(path, "the split list").splitlines():
            name, _, mark = line.strip().rpartition(" ")
            if name:
                name, side = name.strip(), HMDB51_SIDES.get(mark.strip())
                rows.append(Row(f"{match['label']}/{name}", (match["label"],), side))
    return Table("HMDB51", tuple(rows))


def _kinetics(path: Path, records: Sequence[Mapping[str, Any]]) -> Table:
    """Kay et al. 2017 and later; the test side came without classes."""
    rows, by_file = [], side_in(path.stem)
    for record in records:
        named = {str(key).strip().lower(): str(value or "").strip() for key, value in record.items()}
        times = [_digits(named[key]) for key in ("time_start", "time_end")]
        others = tuple((key, named[key]) for key in ("time_start", "time_end", "is_cc") if named.get(key))
        youtube_id, label = named["youtube_id"], named.get("label", "").strip('"')
        side = side_name(named.get("split", "")) or by_file
        files = (f"{youtube_id}_{times[0]:06d}_{times[1]:06d}",) if None not in times else ()
        rows.append(Row(youtube_id, labels_of([label]), side, None, None, others, files))
    return Table("Kinetics", tuple(rows))


def _digits(text: str) -> int | None:
    try:
        return int(float(text))
    except ValueError:
        return None


def _read_json(path: Path) -> Table:
    try:
        content = json.loads(read_text(path, "the table"))
    except ValueError as error:
        raise CatalogError(f"the table '{path}' is no JSON: {error}") from error
    for fits, reader in JSON_FORMS:
        if fits(content):
            return reader(path, content)
    raise CatalogError(
        f"the table '{path}' is of no form that is known: a list of objects with the column 'video', or what "
        "Something-Something V2, Diving48, ActivityNet, HACS or UTD-splits ship, is needed"
    )


def _has(content: Any, *keys: str) -> bool:
    """Whether it is a list of objects with those keys."""
    return isinstance(content, list) and bool(content) and isinstance(content[0], dict) and set(keys) <= set(content[0])


def _something(path: Path, content: list[dict[str, Any]]) -> Table:
    """Goyal et al. 2017; of the test side the ids alone were published."""
    side, rows = side_in(path.stem), []
    for record in content:
        template = str(record.get("template") or "").replace("[", "").replace("]", "")
        others = tuple((key, str(record[key])) for key in ("label",) if key in record)
        rows.append(Row(str(record["id"]), labels_of([template]), side, None, None, others))
    return Table("Something-Something V2", tuple(rows))


def _diving48(path: Path, content: list[dict[str, Any]]) -> Table:
    """Li et al. 2018, V2: clips are cut already."""
    vocabulary, side = _vocabulary(path.parent), side_in(path.stem)
    rows = []
    for record in content:
        label = str(record["label"])
        label = vocabulary[int(label)] if label.isdigit() and int(label) < len(vocabulary) else label
        others = tuple((key, str(record[key])) for key in ("start_frame", "end_frame") if key in record)
        rows.append(Row(str(record["vid_name"]), labels_of([label]), side, None, None, others))
    return Table("Diving48", tuple(rows))


def _vocabulary(folder: Path) -> list[str]:
    """Names of Diving48's classes, whose numbers count in it: take-off, somersaults, twists and position."""
    path = next((each for each in sorted(folder.glob("*vocab*.json"))), None)
    if path is None:
        return []
    try:
        words = json.loads(read_text(path, "the vocabulary"))
        return [" ".join(each) if isinstance(each, list) else str(each) for each in words]
    except (ValueError, TypeError) as error:
        raise CatalogError(f"the vocabulary '{path}' is no list of names: {error}") from error


def _activitynet(path: Path, content: dict[str, Any]) -> Table:
    """Caba Heilbron et al. 2015: segments with a class each; the test side came without."""
    rows = []
    for video, record in content["database"].items():
        side, files = side_name(str(record.get("subset", ""))), (f"v_{video}",)
        others = (("duration", str(record["duration"])),) if "duration" in record else ()
        annotations = record.get("annotations") or []
        if not annotations:
            rows.append(Row(video, (), side, None, None, others, files))
        for number, each in enumerate(annotations):
            where = f"the table '{path}', '{video}', annotation {number}"
            try:
                start_s, end_s = map(float, each["segment"])
            except (KeyError, TypeError, ValueError) as error:
                raise CatalogError(f"{where}: a segment [start, end] in seconds is needed") from error
            span = span_of(where, max(0.0, start_s), end_s)
            rows.append(Row(video, labels_of([each.get("label")]), side, None, span, others, files))
    return Table("ActivityNet", tuple(rows))


def _utd(_path: Path, content: dict[str, list[str]]) -> Table:
    return Table("UTD-splits", (), {name: tuple(map(str, names)) for name, names in content.items()}, labelled=False)


def _is_utd(content: Any) -> bool:
    lists = [*content.values()] if isinstance(content, dict) else []
    names = [name for each in lists if isinstance(each, list) for name in each]
    return (
        bool(lists) and all(isinstance(each, list) for each in lists) and all(isinstance(n, str | int) for n in names)
    )


JSON_FORMS: tuple[tuple[Callable[[Any], bool], Callable[[Path, Any], Table]], ...] = (
    (lambda content: isinstance(content, dict) and isinstance(content.get("database"), dict), _activitynet),
    (lambda content: _has(content, "vid_name", "label"), _diving48),
    (lambda content: _has(content, "id", "template") or _is_ids_alone(content), _something),
    (lambda content: isinstance(content, list) and all(isinstance(each, dict) for each in content), own_table),
    (_is_utd, _utd),
)


def _is_ids_alone(content: Any) -> bool:
    return _has(content) and all(isinstance(each, dict) and set(each) == {"id"} for each in content)
