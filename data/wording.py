"""Counts and names in the sentences that users read."""

from __future__ import annotations

from collections.abc import Collection

FEW = 3  # names that are told of many


def few(names: Collection[str], most: int = FEW) -> str:
    """The first of some names, quoted, and that there are more."""
    return ", ".join(f"'{name}'" for name in list(names)[:most]) + (", ..." if len(names) > most else "")


def counted(count: int, one: str, more: str = "") -> str:
    """A number with its noun: ``1 video``, ``1,234 videos``; ``more`` is the plural where it is not ``one`` + s."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
