"""Cells of CSV and TSV files that no spreadsheet takes for a formula.

A cell that begins with = + - @, a tab or a carriage return is computed by spreadsheets, and names of files and classes
are anybody's. Such texts get an apostrophe in front, which spreadsheets don't show (OWASP, "CSV Injection"). Numbers
are left as they are: -0.5 is no text.
"""

from __future__ import annotations

from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: Any) -> Any:
    """A value as a cell: texts harmless, all else as it is."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def one_line(value: Any) -> str:
    """A value as a cell of a format that knows no quotes: without tabs and line ends; None is empty."""
    return "" if value is None else str(cell(" ".join(str(value).split()) if isinstance(value, str) else value))
