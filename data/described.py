"""A catalog with what a table says of its videos: classes, groups, sides, and segments as items of their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .annotations import read_tables, splits_of
from .catalog import Catalog
from .errors import CatalogError
from .names import VideoNames, notes_of
from .tables import Row, Table
from .types import Division, Video
from .wording import told


def with_tables(catalog: Catalog, paths: Sequence[Path]) -> Catalog:
    """The catalog as the files describe it.

    A segment is a video whose id is the file's with ``#t=start,end`` (W3C Media Fragments). A file of which the table
    names segments alone is no item itself. Videos that no row names stay, without class where the table gives classes.

    Raises:
        CatalogError: if a file is of no known form, names none of the videos, or segments of features without videos.
    """
    numbers = splits_of(paths)
    table = read_tables(paths, numbers[0] if numbers else 1)
    found = VideoNames(video.id for video in catalog.videos)
    where = "the imported features" if catalog.imported else "the data folder"
    matched = _match(found, table, where)
    rows_by_id, notes = matched.rows, matched.notes
    if table.rows and not rows_by_id:
        raise CatalogError(_none_named(catalog, table))
    if catalog.imported and any(row.span for rows in rows_by_id.values() for row in rows):
        raise CatalogError(
            f"the table names segments ({table.what}: start_s, end_s), which imported features cannot be cut into: "
            "import features of each segment under a name of its own, give a table without these columns (one class "
            "a video, or several with ; between), or the videos themselves (mofore init VIDEOS --table)"
        )
    items = [item for video in catalog.videos for item in _items(video, rows_by_id.get(video.id, ()), table)]
    divisions = [_division("table" if not numbers else f"official{numbers[0]}", items)]
    for number in numbers[1:]:
        rows = _match(found, read_tables(paths, number), "").rows
        others = [item for video in catalog.videos for item in _items(video, rows.get(video.id, ()), table)]
        divisions.append(_division(f"official{number}", others))
    unlisted = [video.id for video in catalog.videos if video.id not in rows_by_id and video.id not in matched.unclear]
    unlisted = unlisted if table.rows else []
    if unlisted:
        what = "without class and side" if table.labelled else "without side"
        notes.append(told(f"not in the table, so {what}", unlisted))
    return replace(
        catalog,
        videos=tuple(sorted((item for item, _ in items), key=lambda video: video.id)),
        divisions=(*(division for division in divisions if division.sides), *catalog.divisions),
        subsets={**catalog.subsets, **_subsets(found, table, where, notes)},
        notes=(*catalog.notes, *notes),
    )


Item = tuple[Video, frozenset[str]]  # and the sides that rows give it: more than one is a contradiction


@dataclass(frozen=True, slots=True)
class _Matched:
    """Rows by the id of the video that they mean, what is to be told of the others, and videos they may mean."""

    rows: Mapping[str, list[Row]]
    notes: list[str]
    unclear: frozenset[str]


def _match(found: VideoNames, table: Table, where: str) -> _Matched:
    known = found.find(name for row in table.rows for name in (*row.files, row.video))
    rows: dict[str, list[Row]] = defaultdict(list)
    absent: dict[str, None] = {}
    ambiguous: dict[str, None] = {}
    alone = set(known.by_name_alone)
    by_name: dict[str, None] = {}
    unclear: set[str] = set()
    for row in table.rows:
        names = (*row.files, row.video)
        name = next((each for each in names if each in known.ids), None)
        rivals = [rival for each in names for rival in known.ambiguous.get(each, ())]
        if name is not None:
            rows[known.ids[name]].append(row)
            by_name |= {name: None} if name in alone else {}
        elif rivals:
            ambiguous[row.video] = None
            unclear.update(rivals)
        else:
            absent[row.video] = None
    notes = notes_of(absent, ambiguous, by_name, where=where, total=len({row.video for row in table.rows}))
    return _Matched(rows, notes, frozenset(unclear))


def _none_named(catalog: Catalog, table: Table) -> str:
    """The complaint of a table of other videos; or of one whose header was taken for a video, or a video for one."""
    first = table.rows[0].video
    form = "" if table.headed else " (no column is named in it: a path and a class in every line were expected)"
    return (
        f"none of the {len(catalog.videos):,} videos is named in the table ({table.what}); the first video is "
        f"'{catalog.videos[0].id}', the first row '{first}'{form}"
    )


def _items(video: Video, rows: Sequence[Row], table: Table) -> list[Item]:
    """The video as the rows describe it, and the segments they name."""
    by_span: dict[object, list[Row]] = defaultdict(list)
    for row in rows:
        by_span[row.span].append(row)
    if not by_span:
        return [(replace(video, label=None) if table.labelled and table.rows else video, frozenset())]
    return [_item(video, of_span, table) for of_span in by_span.values()]


def _item(video: Video, rows: Sequence[Row], table: Table) -> Item:
    labels = tuple(dict.fromkeys(label for row in rows for label in row.labels))
    labels = labels if table.labelled else video.labels
    group = next((row.group for row in rows if row.group), video.group)
    metadata = tuple(dict(pair for row in rows for pair in row.metadata).items())
    item = replace(video, label=labels[0] if labels else None, more_labels=labels[1:], group=group, metadata=metadata)
    span = rows[0].span
    if span is not None:
        group = group or video.id  # segments of one film share their scene
        item = replace(item, id=video.id + span.fragment, file=video.file or video.id, span=span, group=group)
    return item, frozenset(row.side for row in rows if row.side)


def _division(name: str, items: Iterable[Item]) -> Division:
    items = list(items)
    both = [video.id for video, sides in items if len(sides) > 1]
    notes = (told("listed for more than one side, so on none", both),) if both else ()
    return Division(name, {video.id: next(iter(sides)) for video, sides in items if len(sides) == 1}, notes)


def _subsets(found: VideoNames, table: Table, where: str, notes: list[str]) -> Mapping[str, frozenset[str]]:
    subsets = {}
    for name, names in table.subsets.items():
        known = found.find(names)
        subsets[name] = frozenset(known.ids.values())
        if len(known.ids) < len(names):
            notes.append(f"of '{name}', not in {where}: {len(names) - len(known.ids):,} of {len(names):,}")
    return subsets
