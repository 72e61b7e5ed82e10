"""What is too large to be taken at once is taken in blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator


def blocks(total: int, size: int) -> Iterator[slice]:
    """Slices of ``size`` rows, the last one shorter, that cover ``total`` rows in their order."""
    return (slice(start, min(start + size, total)) for start in range(0, total, size))
