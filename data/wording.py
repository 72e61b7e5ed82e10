"""Counts and names in the sentences that users read."""

from __future__ import annotations

from collections.abc import Collection, Mapping

FEW = 3  # names that are told of many


def few(names: Collection[str], most: int = FEW) -> str:
    """The first of some names, quoted, and that there are more."""
    return ", ".join(f"'{name}'" for name in list(names)[:most]) + (", ..." if len(names) > most else "")


def told(what: str, names: Collection[str], of: str = "") -> str:
    """A note of some names: what they are, how many (``of`` how many), and the first of them."""
    return f"{what}: {len(names):,}{of} ({few(names)})"


def size_text(count: int) -> str:
    """``count`` bytes in decimal units, as servers list them, to three digits: "6.93 GB", "114 kB", "12 bytes"."""
    value, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:  # more would be shown as 1e+03
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


def counted(count: int, one: str, more: str = "") -> str:
    """A number with its noun: ``1 video``, ``1,234 videos``; ``more`` is the plural where it is not ``one`` + s."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def percent(value: float | None) -> str:
    """A value in percent with one digit after the point; a dash where there is none."""
    return number(value, 1)


def number(value: float | None, digits: int) -> str:
    """A value with so many digits after the point, never -0.0; a dash where there is none."""
    return "-" if value is None else f"{value:z.{digits}f}"


def figure(value: float | None) -> str:
    """Three digits, however large or small; a dash where there is none."""
    return "-" if value is None else f"{value:.3g}"


def as_overrides(section: str, changes: Mapping[str, float]) -> str:
    """Settings of a section as they can be pasted behind a command: ``--set fit.clip_length=4 --set fit.gap_max=8``."""
    return " ".join(f"--set {section}.{name}={value:g}" for name, value in changes.items())
