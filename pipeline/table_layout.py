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
    parts: list[list[int]] = [[]]
    for number in range(names, len(columns)):
        chosen = [*range(names), *parts[-1], number]
        if parts[-1] and _width(*_some(columns, rows, chosen)) > width:
            parts.append([])
        parts[-1].append(number)
    return [(title if part is parts[0] else "", *_some(columns, rows, [*range(names), *part])) for part in parts]


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
