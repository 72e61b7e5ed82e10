"""The features of a video whose frames are still coming, on disk.

A long film takes longer than the time after which finished work must be safe, and more memory than a run may
take. So its rows are appended to a file of their own, committed now and then, and a later run goes on after
the last commit. Once the whole video is in a shard the file goes.

``<name>.rows`` holds records (time_s float64, of windows also end_s, feature float16[D]); ``<name>.json`` is published
after the rows that it speaks of are on disk, and says how many of them count and what their digest is.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.arrays import Float16, Float64
from ..data.errors import StageError
from ..data.storage import refuse_lost
from .atomic import sync, write_json
from .hold import make_folder

READ_BYTES = 8 << 20
SPILL_BYTES = 32 << 20  # features of an unfinished video that may be in memory


@dataclass(frozen=True, slots=True)
class Commit:
    """What is safe of a partial video: its file's content, rows, width D, and the digest of the rows.

    ``rising`` says that the times rise strictly; rows of an earlier version, which did not see to it, lack it.
    """

    video_id: str
    sha256: str
    frames: int
    width: int
    digest: str
    rising: bool
    windows: bool = False  # whether rows have ends beside their times

    @property
    def row(self) -> np.dtype[Any]:
        """Of a record."""
        return _row(self.width, self.windows)


class PartialVideo:
    """Rows of one video; :meth:`append` and :meth:`commit` write, :meth:`rows` reads."""

    def __init__(self, folder: Path, video_id: str) -> None:
        name = hashlib.sha256(video_id.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        self.video_id = video_id
        self.frames = 0
        self._rows_path, self._commit_path = folder / f"{name}.rows", folder / f"{name}.json"
        self._hash = hashlib.sha256()
        self._width, self._windows = 0, False

    def committed(self) -> Commit | None:
        """What an earlier run left, if its rows are what they should be."""
        try:
            commit = Commit(**json.loads(self._commit_path.read_text()))
            size = self._rows_path.stat().st_size
        except (OSError, ValueError, TypeError) as error:
            refuse_lost(error, self._commit_path)
            return None
        if commit.video_id != self.video_id or size < commit.frames * commit.row.itemsize:
            return None
        found = self._digest_of(commit.frames * commit.row.itemsize)
        return commit if found.hexdigest() == commit.digest else None

    def go_on(self, commit: Commit) -> None:
        """Take the committed rows; what was written after the commit is cut off."""
        os.truncate(self._rows_path, commit.frames * commit.row.itemsize)
        self.frames, self._width = commit.frames, commit.width
        self._hash = self._digest_of(commit.frames * commit.row.itemsize)
        self._windows = commit.windows

    def begin(self) -> None:
        """Start with no rows, whatever is there."""
        self.discard()
        make_folder(self._rows_path.parent)
        self._rows_path.touch()

    def append(self, features_TD: Float16, times_s_T: Float64, ends_s_T: Float64 | None = None) -> None:
        """Add rows; they are safe after the next :meth:`commit`."""
        self._width, self._windows = features_TD.shape[1], ends_s_T is not None
        rows = np.empty(len(features_TD), _row(self._width, self._windows))
        rows["time_s"], rows["feature"] = times_s_T, features_TD
        if ends_s_T is not None:
            rows["end_s"] = ends_s_T
        content = rows.tobytes()
        with self._rows_path.open("ab") as handle:
            handle.write(content)
        self._hash.update(content)
        self.frames += len(rows)

    def commit(self, sha256: str) -> None:
        """Make the rows appended so far safe; ``sha256`` is that of the video's file."""
        sync(self._rows_path)
        commit: dict[str, Any] = {
            "video_id": self.video_id,
            "sha256": sha256,
            "frames": self.frames,
            "width": self._width,
            "digest": self._hash.hexdigest(),
            "rising": True,
            **({"windows": True} if self._windows else {}),
        }
        write_json(self._commit_path, commit)

    def rows(self) -> tuple[Float16, Float64, Float64 | None]:
        """Features (T, D), times (T,) and of windows ends (T,), as views of the file: nothing is loaded.

        Raises:
            StageError: if the file is not what was appended, since another run has written to it.
        """
        if self._digest_of(self.frames * _row(self._width, self._windows).itemsize).digest() != self._hash.digest():
            raise StageError(
                f"the features of '{self.video_id}' in '{self._rows_path}' are not what this run wrote: another run is "
                "at work in the folder. Wait for it, then run the same command"
            )
        rows = np.memmap(self._rows_path, _row(self._width, self._windows), "r", shape=(self.frames,))
        return rows["feature"], rows["time_s"], rows["end_s"] if self._windows else None

    def discard(self) -> None:
        """Delete rows and commit; a later :meth:`begin` starts at frame 0."""
        self._commit_path.unlink(missing_ok=True)
        self._rows_path.unlink(missing_ok=True)
        self.frames, self._hash = 0, hashlib.sha256()

    def _digest_of(self, size: int) -> hashlib._Hash:
        """Of the first ``size`` bytes of the rows."""
        left, total = size, hashlib.sha256()
        with self._rows_path.open("rb") as handle:
            while left and (chunk := handle.read(min(left, READ_BYTES))):
                total.update(chunk)
                left -= len(chunk)
        return total


def remove_partial_videos(folder: Path) -> None:
    """Delete what is left of videos that are whole by now, or that nobody asks for any more."""
    for path in folder.glob("*"):
        path.unlink(missing_ok=True)
    if folder.is_dir():
        folder.rmdir()


def _row(width: int, windows: bool) -> np.dtype[Any]:
    ends = [("end_s", "<f8")] if windows else []
    return np.dtype([("time_s", "<f8"), *ends, ("feature", "<f2", (width,))])
