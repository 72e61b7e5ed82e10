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

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .remote_path import RemotePath, is_url
from .sampling import Span

NUMBERED = re.compile(r"g\d+")
NO_VIDEO = "no video stream"
Role = Literal["train", "test", "unassigned"]


@dataclass(frozen=True, slots=True)
class FileState:
    """What is known of a file or a folder of frame images: size in bytes, time of change, sha256 of the content.

    Of an object of a store a number that stands for its version, and the version (:mod:`.remote`).
    """

    size: int
    mtime_ns: int
    sha256: str

    def looks_like(self, size: int, mtime_ns: int) -> bool:
        """Whether a file of this size and time may be taken for the same without reading it."""
        return self.size == size and self.mtime_ns == mtime_ns


def recording_of(label: str | None, group: str | None) -> str | None:
    """The name of a recording: groups have one, but numbers like UCF101's g07 count anew in every class."""
    return group if group is None or not NUMBERED.fullmatch(group) else f"{label}/{group}"


@dataclass(frozen=True, slots=True)
class Video:
    """A video of the catalog: a file, or a folder of frame images."""

    id: str  # path relative to the data folder, with forward slashes; unique, and stable when the folder moves
    label: str | None  # class, or None where nothing names one; of several, the first
    group: str | None  # recording the clip was cut from ("g07"), or None. Clips of one group share their scene.
    size: int  # bytes, of a folder those of its frame images
    mtime_ns: int  # time of the last change, in nanoseconds since the epoch; of an object as in :class:`FileState`
    # of a folder of frame images whose names were prescribed (``data.images``), their pattern; else empty
    images: str = ""
    more_labels: tuple[str, ...] = ()  # its other classes, where it has several
    file: str = ""  # where it is, relative to the data folder, absolute or a URL, if that is not what ``id`` says
    span: Span | None = None  # the part of the file that it is; None for all of it
    metadata: tuple[tuple[str, str], ...] = ()  # what else a table says of it, as (column, value)

    def named(self, label: str | None, group: str | None) -> Video:
        """The same video with another class and group; several times faster than :func:`dataclasses.replace`."""
        return Video(
            self.id,
            label,
            group,
            self.size,
            self.mtime_ns,
            self.images,
            self.more_labels,
            self.file,
            self.span,
            self.metadata,
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """All of its classes, the first one first; none where nothing names one."""
        return () if self.label is None else (self.label, *self.more_labels)

    @property
    def recording(self) -> str | None:
        """What it was cut from, None if that is not known."""
        return recording_of(self.label, self.group)

    def path(self, root: Path) -> Path:
        """Where it is below the data folder, as all that reads videos takes it (see :mod:`.images`)."""
        if self.file and is_url(self.file):
            return RemotePath.parse(self.file)
        return root / (self.file or self.id) / self.images

    @property
    def stem(self) -> str:
        """File name without folder and suffix."""
        name = (self.file or self.id).rsplit("/", 1)[-1]
        return name.rsplit(".", 1)[0] if "." in name else name


@dataclass(frozen=True, slots=True)
class Failure:
    """A video that could not be read: which, in which state of its file, and why.

    ``passing`` says that nothing is wrong with the video as far as is known: it is not written down, so that the next
    run tries again.
    """

    video_id: str
    source: FileState
    reason: str
    passing: bool = False

    @property
    def is_no_video(self) -> bool:
        """Whether the file is none that failed but one without pictures: sound that lies beside the videos."""
        return self.reason == NO_VIDEO


@dataclass(frozen=True, slots=True)
class Division:
    """Sides that the user's material gives videos: a table, lists of a data set, or folders called train and test."""

    name: str  # "table", "official1", ..., "folders"
    sides: Mapping[str, str]  # of each video that has one ("train", "val", "test" or another word), by id
    notes: tuple[str, ...] = ()  # what the user should know of it


@dataclass(frozen=True, slots=True)
class Split:
    """Which videos are for training (and form the gallery) and which are for testing (the queries)."""

    name: str  # of the split
    train: frozenset[str]  # ids
    test: frozenset[str]  # ids
    asking: str = "test"  # the user's name of the side of the queries
    others: Mapping[str, frozenset[str]] = field(default_factory=dict)  # further sides ("val"), ids by name
    notes: tuple[str, ...] = ()  # what the user should know of it

    def role(self, video_id: str) -> Role:
        """Role of one video; "unassigned" if the split does not name it."""
        if video_id in self.train:
            return "train"
        return "test" if video_id in self.test else "unassigned"

    def side(self, video_id: str) -> str:
        """The user's own name of the side of one video; "unassigned" if it is on none."""
        if video_id in self.test:
            return self.asking
        return next((side for side, ids in self.others.items() if video_id in ids), self.role(video_id))
