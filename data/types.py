"""The nouns that every folder shares, and the shape legend.

Shape legend, used as suffixes of array names (``features_TD``):

====== =======================================================
B      batch
T      frames of one video
L      clip length, in frames
D      width of a backbone feature
E      width of an embedding
N      stored items (all frames of all videos one after another)
V      videos, or views of a video where no videos are about
Q, K   queries, neighbours
C,H,W  channels, height, width of a picture
====== =======================================================

Times end in ``_s`` (seconds). Indices are half-open.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Role = Literal["train", "test", "unassigned"]


@dataclass(frozen=True, slots=True)
class FileState:
    """What is known of a file or a folder of frame images: size in bytes, time of change, sha256 of the content."""

    size: int
    mtime_ns: int
    sha256: str

    def looks_like(self, size: int, mtime_ns: int) -> bool:
        """Whether a file of this size and time may be taken for the same without reading it."""
        return self.size == size and self.mtime_ns == mtime_ns


@dataclass(frozen=True, slots=True)
class Video:
    """A video of the catalog: a file, or a folder of frame images.

    Attributes:
        id: path relative to the data folder, with forward slashes; unique, and stable when the folder moves.
        label: class, or None where nothing names one; of several, the first.
        group: recording the clip was cut from ("g07"), or None. Clips of one group share their scene.
        size: bytes, of a folder those of its frame images.
        mtime_ns: time of the last change, in nanoseconds since the epoch.
        images: of a folder of frame images whose names were prescribed (``data.images``), their pattern; else empty.
        more_labels: its other classes, where it has several.
    """

    id: str
    label: str | None
    group: str | None
    size: int
    mtime_ns: int
    images: str = ""
    more_labels: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """All of its classes, the first one first; none where nothing names one."""
        return () if self.label is None else (self.label, *self.more_labels)

    def path(self, root: Path) -> Path:
        """Where it is below the data folder, as all that reads videos takes it (see :mod:`.images`)."""
        return root / self.id / self.images

    @property
    def stem(self) -> str:
        """File name without folder and suffix."""
        name = self.id.rsplit("/", 1)[-1]
        return name.rsplit(".", 1)[0] if "." in name else name


@dataclass(frozen=True, slots=True)
class Failure:
    """A video that could not be read: which, in which state of its file, and why."""

    video_id: str
    source: FileState
    reason: str


@dataclass(frozen=True, slots=True)
class Split:
    """Which videos are for training (and form the gallery) and which are for testing (the queries)."""

    name: str
    train: frozenset[str]
    test: frozenset[str]

    def role(self, video_id: str) -> Role:
        """Role of one video; "unassigned" if the split does not name it."""
        if video_id in self.train:
            return "train"
        return "test" if video_id in self.test else "unassigned"
