"""Tables of text made to fit: columns that say nothing go, headings break, and what is still too wide is continued."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

TableText = tuple[str, list[str], list[list[str]]]  # title, columns, rows; a line of text where there are no columns

NOTHING = ("-", "")
LEAST_ROOM = 10  # columns of a value, however narrow the terminal
RULES = 2  # columns of the terminal that a column takes beside its text


def fitted(table: TableText, width: int) -> list[TableText]:
    """A table as one or several that are at most so wide, of what it has to say; those that continue it repeat names.

    Cells are never cut: where names and one column are wider than ``width``, rows are turned, so that each is a block
    of headings and values one below the other.
    """
    title, columns, rows = without_empty_columns(table)
    if not columns or table_width(columns, rows) <= width:
        return [(title, columns, rows)]
    broken = [_broken(column, [row[number] for row in rows]) for number, column in enumerate(columns)]
    names = 2 if columns[1:2] == ["embedding"] else 1
    parts = [[*range(names), *part] for part in _parts(broken, rows, names, width)]
    if any(table_width(*_some(broken, rows, part)) > width for part in parts):
        return turned((title, columns, rows), width)
    return [(title if part is parts[0] else "", *_some(broken, rows, part)) for part in parts]


def turned(table: TableText, width: int) -> list[TableText]:
    """A table as one of two columns without headings: every row is a block, its name first, of heading and value."""
    title, columns, rows = table
    room = max(width - max(map(cell_len, columns)) - 2 * RULES - 1, LEAST_ROOM)
    pairs = list[list[str]]()
    for row in rows:
        said = [(column, value) for column, value in zip(columns, row, strict=True) if value not in NOTHING]
        pairs += [["", ""]] if pairs else []
        pairs += [[column, _folded(value, room)] for column, value in said]
    return [(title, ["", ""], pairs)]


def _folded(value: str, room: int) -> str:
    """A value in lines: broken between words, and within one that is longer than the room."""
    return "\n".join(line for part in value.split("\n") for line in textwrap.wrap(part, room) or [""])


def _parts(columns: list[str], rows: list[list[str]], names: int, width: int) -> list[list[int]]:
    """The columns after the names in as few parts as fit, of about as many columns each if these fit too."""
    parts: list[list[int]] = [[]]
    for number in range(names, len(columns)):
        if parts[-1] and table_width(*_some(columns, rows, [*range(names), *parts[-1], number])) > width:
            parts.append([])
        parts[-1].append(number)
    values, count = range(names, len(columns)), len(parts)
    even = [[*values[len(values) * n // count : len(values) * (n + 1) // count]] for n in range(count)]
    fits = all(table_width(*_some(columns, rows, [*range(names), *part])) <= width for part in even)
    return even if fits else parts


def without_empty_columns(table: TableText) -> TableText:
    """The table without columns that have nothing in any row; the first one stays."""
    title, columns, rows = table
    kept = [n for n in range(len(columns)) if n == 0 or any(row[n] not in NOTHING for row in rows)]
    return (title, *_some(columns, rows, kept))


def _some(columns: list[str], rows: list[list[str]], chosen: list[int]) -> tuple[list[str], list[list[str]]]:
    return [columns[number] for number in chosen], [[row[number] for number in chosen] for row in rows]


def table_width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Columns of the terminal that the table takes; a cell may have several lines."""
    widths = (
        max(cell_len(line) for text in (column, *(row[number] for row in rows)) for line in text.split("\n"))
        for number, column in enumerate(columns)
    )
    return sum(width + RULES for width in widths) + 1


def cell_len(text: str) -> int:
    """Columns of the terminal that a text takes: letters of East Asia take two, combining marks none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len as of_rich

    return of_rich(text)


def _broken(column: str, cells: list[str]) -> str:
    """A heading in several lines, where it is wider than what is below it."""
    widest = max(map(cell_len, (*column.split(), *(line for cell in cells for line in cell.split("\n")))), default=1)
    return textwrap.fill(column, widest, break_long_words=False)
