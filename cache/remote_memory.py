"""What a work folder and a place in a store of objects have in common: ``remote.json`` in the work folder.

It says which files were equal to which objects, so that what has not changed since is neither read nor sent again; and,
where not all of them are on this disk, how many bytes of shards may be (:mod:`.remote_shards`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ..data.errors import StoreError
from ..data.types import FileState
from .atomic import write_json

MEMORY, OBJECTS = "remote.json", "objects"
SHA256 = re.compile(r"[0-9a-f]{64}")

Files = dict[str, FileState]  # by path relative to the work folder


@dataclass(frozen=True, slots=True)
class Known:
    """What a work folder and a place had in common."""

    place: str = ""
    manifest: str = ""  # its digest
    files: Mapping[str, FileState] = field(default_factory=dict)
    cache_bytes: int | None = None  # of shards on this disk, at most; None where all of them are on it

    @classmethod
    def of(cls, folder: Path) -> Self:
        """What is remembered; nothing where that cannot be read."""
        try:
            left = json.loads((folder / MEMORY).read_bytes())
            return cls(left["place"], left["manifest"], files_of(left["files"]), left.get("cache_bytes"))
        except (OSError, ValueError, KeyError, TypeError, StoreError):
            return cls()

    def write(self, folder: Path) -> None:
        """Remember it."""
        bound = {} if self.cache_bytes is None else {"cache_bytes": self.cache_bytes}
        rows = rows_of_files(self.files)
        write_json(folder / MEMORY, {"place": self.place, "manifest": self.manifest, **bound, "files": rows})


def files_of(rows: Mapping[str, Any]) -> Files:
    """Files as they are written down.

    Raises:
        StoreError: if the digest of one is none, which would be a name outside of the place's objects.
    """
    files = {str(name): FileState(int(size), int(mtime_ns), sha) for name, (size, mtime_ns, sha) in rows.items()}
    for name, state in files.items():
        if not isinstance(state.sha256, str) or not SHA256.fullmatch(state.sha256):
            raise StoreError(f"the digest of '{name}' is none")
    return files


def rows_of_files(files: Mapping[str, FileState]) -> dict[str, list[int | str]]:
    """Files to be written down."""
    return {name: [state.size, state.mtime_ns, state.sha256] for name, state in files.items()}
