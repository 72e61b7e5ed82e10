"""Bytes as progress, and whether a disk has room for them. Decimal units, as the servers' listings have them."""

from __future__ import annotations

import shutil
from pathlib import Path

from ...data.errors import StageError
from ...data.progress import Progress
from ...data.wording import size_text

MEGABYTE = 1_000_000


def check_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what cannot end.

    Raises:
        StageError: if the disk of ``folder`` has less than ``needed`` bytes free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StageError(
            f"the disk of '{folder}' has {size_text(free)} free, and {size_text(needed)} are needed for {what}: "
            "free some, or name a folder on another disk"
        )


class ByteMeter:
    """Tells a progress sink in whole megabytes what is counted in bytes."""

    def __init__(self, progress: Progress, stage: str, total: int) -> None:
        self._progress, self._shown, self._done = progress, 0, 0
        progress.start(stage, -(-total // MEGABYTE), "MB")

    def add(self, count: int) -> None:
        """``count`` further bytes are done. A safe point."""
        self.reach(self._done + count)

    def reach(self, done: int) -> None:
        """``done`` bytes are done in all. A safe point."""
        self._done = max(done, self._done)
        step = self._done // MEGABYTE - self._shown
        if step:
            self._progress.advance(step)
            self._shown += step
        self._progress.pulse()
