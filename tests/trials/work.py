"""What the trials share: the command line as a process of its own, and what it left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np

MARK = "MOFORE_TRIAL"


@dataclass
class Trial:
    """A work folder and the processes that were started for it."""

    root: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def start(
        self, command: str, *options: str, prefix: Sequence[str] = (), env: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.Popen[str]:
        """`PREFIX mofore COMMAND -w ROOT`, not waited for."""
        return self.start_line([*prefix, sys.executable, "-m", "mofore", command, "-w", str(self.root), *options], env)

    def start_line(self, line: Sequence[str], env: Mapping[str, str] = MappingProxyType({})) -> subprocess.Popen[str]:
        """A command that is counted as this trial's, not waited for."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(line, env={**os.environ, **env, MARK: self.mark}, **pipes)

    def run(self, command: str, *options: str) -> tuple[int, str, str]:
        """`mofore COMMAND -w ROOT`; exit code, stdout, stderr."""
        process = self.start(command, *options)
        out, err = process.communicate()
        return process.returncode, out, err

    def status(self) -> dict[str, Any]:
        """What `mofore status --json` says."""
        return dict(json.loads(self.run("status", "--json")[1]))

    def features(self) -> dict[str, np.ndarray]:
        """Features by video, of all shards."""
        found = {}
        for path in self.root.glob("features/*/*.h5"):
            with h5py.File(path) as file:
                offsets, features = file["offsets"][:], file["features"][:]
                for row, name in enumerate(file["video_id"].asstr()[:]):
                    found[name] = features[offsets[row] : offsets[row + 1]]
        return found

    @staticmethod
    def ids(shard: Path) -> list[str]:
        """The videos of a shard."""
        with h5py.File(shard) as file:
            return list(file["video_id"].asstr()[:])

    def leftovers(self) -> list[str]:
        """Temporary files."""
        return [str(path) for path in self.root.rglob("*.tmp")]

    def processes(self, patience_s: float = 5.0) -> list[int]:
        """Processes of this trial that are still there after a while."""
        end = time.monotonic() + patience_s
        while (alive := self._alive()) and time.monotonic() < end:
            time.sleep(0.05)
        return alive

    def _alive(self) -> list[int]:
        wanted = f"{MARK}={self.mark}".encode()
        alive = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                running = (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
                if running and wanted in (folder / "environ").read_bytes().split(b"\0"):
                    alive.append(int(folder.name))
            except OSError:  # it ended meanwhile
                continue
        return alive


def differing(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> list[str]:
    """Videos whose features are not the same bits in both."""
    names = first.keys() | second.keys()
    return sorted(n for n in names if n not in first or n not in second or not np.array_equal(first[n], second[n]))
