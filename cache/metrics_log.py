"""A log of figures by step: JSON lines that a killed run may leave torn and a resumed one continues."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..data.storage import naming
from .hold import make_folder, refuse_lost_folder


class MetricsLog:
    """Append rows to a jsonl file. Every row has a "step", counted from 1."""

    def __init__(self, path: Path) -> None:
        self._path = path
        make_folder(path.parent)
        self._handle = path.open("a+b")

    def keep_steps(self, last: int) -> None:
        """Cut the file after the row of step ``last``, so that a resumed run writes no step twice."""
        with naming(self._path):
            self._handle.seek(0)
            end = 0
            for line in self._handle:
                if not line.endswith(b"\n") or json.loads(line)["step"] > last:
                    break
                end += len(line)
            self._handle.truncate(end)

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows, visible to a reader at once.

        Raises:
            StageError: if the file is in a folder that this run had to itself, and has no longer.
            OSError: naming the file, if it cannot be written.
        """
        refuse_lost_folder(self._path)
        with naming(self._path):
            self._handle.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
            self._handle.flush()

    def sync(self) -> None:
        """Make sure that what was written survives a power cut."""
        with naming(self._path):
            os.fsync(self._handle.fileno())

    def close(self) -> None:
        """Let the file go; what was written but not synced is left to the system."""
        with naming(self._path):
            self._handle.close()
