"""Tables of text made to fit: columns that say nothing go, headings break, and what is still too wide is continued."""

from __future__ import annotations

import textwrap

TableText = tuple[str, list[str], list[list[str]]]  # title, columns, rows; a line of text where there are no columns

NOTHING = ("-", "")
RULES = 2  # columns of the terminal that a column takes beside its text


def fitted(table: TableText, width: int) -> list[TableText]:
    """A table as one or several that are at most so wide, of what it has to say; those that continue it repeat names.

    Cells are never cut: where names and one column are wider than ``width``, so is the table.
    """
    title, columns, rows = without_empty_columns(table)
    if not columns or _width(columns, rows) <= width:
        return [(title, columns, rows)]
    columns = [_broken(column, [row[number] for row in rows]) for number, column in enumerate(columns)]
    names = 2 if columns[1:2] == ["embedding"] else 1
    parts = [[*range(names), *part] for part in _parts(columns, rows, names, width)]
    return [(title if part is parts[0] else "", *_some(columns, rows, part)) for part in parts]


def _parts(columns: list[str], rows: list[list[str]], names: int, width: int) -> list[list[int]]:
    """The columns after the names in as few parts as fit, of about as many columns each if these fit too."""
    parts: list[list[int]] = [[]]
    for number in range(names, len(columns)):
        if parts[-1] and _width(*_some(columns, rows, [*range(names), *parts[-1], number])) > width:
            parts.append([])
        parts[-1].append(number)
    values, count = range(names, len(columns)), len(parts)
    even = [[*values[len(values) * n // count : len(values) * (n + 1) // count]] for n in range(count)]
    fits = all(_width(*_some(columns, rows, [*range(names), *part])) <= width for part in even)
    return even if fits else parts


def without_empty_columns(table: TableText) -> TableText:
    """The table without columns that have nothing in any row; the first one stays."""
    title, columns, rows = table
    kept = [n for n in range(len(columns)) if n == 0 or any(row[n] not in NOTHING for row in rows)]
    return (title, *_some(columns, rows, kept))


def _some(columns: list[str], rows: list[list[str]], chosen: list[int]) -> tuple[list[str], list[list[str]]]:
    return [columns[number] for number in chosen], [[row[number] for number in chosen] for row in rows]


def _width(columns: list[str], rows: list[list[str]]) -> int:
    """Columns of the terminal that the table takes."""
    widths = (
        max(map(len, (*column.split("\n"), *(row[number] for row in rows)))) for number, column in enumerate(columns)
    )
    return sum(width + RULES for width in widths) + 1


def _broken(column: str, cells: list[str]) -> str:
    """A heading in several lines, where it is wider than what is below it."""
    widest = max(map(len, (*column.split(), *cells)), default=1)
    return textwrap.fill(column, widest, break_long_words=False)
