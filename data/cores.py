"""Processor cores."""

from __future__ import annotations

import os


def usable_cores() -> tuple[int, ...]:
    """Processor cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))
