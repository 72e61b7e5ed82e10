"""Which videos there are: UCF101's layout, or any folder tree of videos.

Nothing is opened here: a catalog of 13,320 videos is one walk over the folders and a stat of each file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import CatalogError
from .types import Video

VIDEO_SUFFIXES = frozenset(
    [
        ".3gp",
        ".asf",
        ".avi",
        ".flv",
        ".gif",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".ogg",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    ]
)
UCF101_NAME = re.compile(r"v_(?P<label>.+)_(?P<group>g\d+)_(?P<clip>c\d+)", re.IGNORECASE)
# The class is HandstandPushups in the lists and folders; its files say HandStandPushups.
UCF101_SPELLING = {"HandStandPushups": "HandstandPushups"}


@dataclass(frozen=True, slots=True)
class Catalog:
    """The videos of a folder, sorted by id.

    Attributes:
        root: the data folder.
        videos: sorted by id.
        layout: "ucf101", "folders" or "none", never "auto".
    """

    root: Path
    videos: tuple[Video, ...]
    layout: str

    def path(self, video: Video) -> Path:
        """Where the file of ``video`` is."""
        return self.root / video.id


def scan(root: Path, layout: str = "auto") -> Catalog:
    """Find every video below ``root``.

    Links to folders are followed, each real folder once. Hidden files and folders are passed over. ``auto``
    takes the UCF101 layout if most names have its form, else one class per folder.

    Raises:
        CatalogError: if the folder is missing, is no folder, or holds no video.
    """
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise CatalogError(f"data.root = '{root}' {what}: give the folder that holds the videos")
    files = sorted(_video_files(root))
    if not files:
        raise CatalogError(
            f"no video below '{root}': files ending in {' '.join(sorted(VIDEO_SUFFIXES))} are looked for"
        )
    layout = _guess_layout([name for name, _ in files]) if layout == "auto" else layout
    videos = []
    for video_id, state in files:
        label, group = describe(video_id, layout)
        videos.append(Video(video_id, label, group, state.st_size, state.st_mtime_ns))
    return Catalog(root, tuple(videos), layout)


def describe(video_id: str, layout: str) -> tuple[str | None, str | None]:
    """Class and group of a video by its path.

    In the ``ucf101`` layout the class is the folder's where the name has the same class in another
    spelling, else the name's; a file whose name has another form falls back to ``folders``.
    """
    parent, _, name = video_id.rpartition("/")
    folder = parent.rpartition("/")[2] or None
    if layout == "none":
        return None, None
    match = UCF101_NAME.match(name) if layout == "ucf101" else None
    if match is None:
        return folder, None
    label = UCF101_SPELLING.get(match["label"], match["label"])
    if folder is not None and folder.lower() == label.lower():
        label = folder
    return label, match["group"].lower()


def _guess_layout(ids: list[str]) -> str:
    named = sum(UCF101_NAME.match(video_id.rpartition("/")[2]) is not None for video_id in ids)
    if 2 * named > len(ids):
        return "ucf101"
    return "folders" if any("/" in video_id for video_id in ids) else "none"


def _video_files(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Walk iteratively, so that depth is no limit; a real folder is entered once, so that links can't loop."""
    seen: set[tuple[int, int]] = set()
    folders = [(str(root), "")]
    while folders:
        path, prefix = folders.pop()
        here = os.stat(path)  # noqa: PTH116 - strings all the way: this is the hot loop of `mofore status`
        if (here.st_dev, here.st_ino) in seen:
            continue
        seen.add((here.st_dev, here.st_ino))
        for entry in _entries(path):
            if _is_folder(entry):
                folders.append((entry.path, f"{prefix}{entry.name}/"))
            elif os.path.splitext(entry.name)[1].lower() in VIDEO_SUFFIXES:  # noqa: PTH122
                state = _stat(entry)
                if state is not None and stat.S_ISREG(state.st_mode):
                    yield prefix + entry.name, state


def _entries(path: str) -> list[os.DirEntry[str]]:
    """What is in a folder, without hidden things. A folder that cannot be read must not look like an empty one."""
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise CatalogError(f"the folder '{path}' cannot be read: {error.strerror}") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that loops onto itself
        return False


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except OSError:  # a dangling link, or a file that went away meanwhile
        return None
