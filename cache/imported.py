"""What ``mofore import`` brought into a store: the videos and their digests, so that planning needs no video file.

``imported.json`` lies beside the shards and is published after them: a video is of the work folder once it is
named there. It carries a digest of itself, as shards do, so that it can be trusted without the ledger.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..data.catalog import Catalog, described
from ..data.errors import StoreError
from ..data.settings import DataSettings
from ..data.storage import refuse_lost
from ..data.types import FileState, Video
from .atomic import write_json
from .fingerprint import digest

NAME, VERSION = "imported.json", 1


@dataclass(frozen=True, slots=True)
class ImportedVideo:
    """A video: its id, its class and group where they were given, its number of frames, the digest of its features."""

    id: str
    label: str | None
    group: str | None
    frames: int
    digest: str

    def source(self) -> FileState:
        """What stands for the state of its file, of which there is none: the content is the features."""
        return FileState(self.frames, 0, self.digest)


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """What was imported, and from where."""

    source: dict[str, Any]  # of the file or folder: name, sha256, shape and dtype of its features, version of mofore
    path: str  # where it was; relative to the work folder if it was inside
    name: str  # of the store, as in ``import:NAME``
    fps: float | None  # frames a second that the times count; None where the times were given
    labelled: bool  # whether classes were given; else they are read from the ids
    grouped: bool  # whether groups were given; else likewise
    videos: tuple[ImportedVideo, ...]  # sorted by id
    options: tuple[str, ...] = ()  # further ones of the command that said how to read it

    def write(self, folder: Path) -> None:
        """Publish it in the folder of its store."""
        content = asdict(self)
        if not self.options:
            del content["options"]  # as versions wrote it that had none
        write_json(folder / NAME, {"version": VERSION, "digest": digest(content), "content": content})

    def catalog(self, root: Path, settings: DataSettings) -> Catalog:
        """The videos, with class and group as given, or else as the settings read them from the ids."""
        digests = {video.id: video.digest for video in self.videos}
        videos = tuple(Video(video.id, None, None, video.frames, 0) for video in self.videos)
        catalog = described(Catalog(root, videos, settings.layout, digests), settings.class_depth)
        given = {video.id: video for video in self.videos}
        return replace(catalog, videos=tuple(self._given(video, given[video.id]) for video in catalog.videos))

    def command(self, root: Path) -> str:
        """The command that brings the same features again, into the work folder ``root``."""
        path = str(root / self.path)  # an absolute path stays what it is
        fps = [] if self.fps is None else ["--fps", f"{self.fps:g}"]
        return shlex.join(["mofore", "import", path, *self.options, *fps, "--name", self.name, "-w", str(root)])

    def _given(self, video: Video, imported: ImportedVideo) -> Video:
        label = imported.label if self.labelled else video.label
        return replace(video, label=label, group=imported.group if self.grouped else video.group)


def read_import(folder: Path) -> ImportRecord | None:
    """What was imported into the store ``folder``; None if nothing was.

    Raises:
        StoreError: if the record is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        whole = json.loads(path.read_text())
        if whole["version"] != VERSION or digest(whole["content"]) != whole["digest"]:
            raise ValueError("its content does not match its digest")
        content = whole["content"]
        content["videos"] = tuple(ImportedVideo(**video) for video in content["videos"])
        content["options"] = tuple(content.get("options", ()))
        return ImportRecord(**content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        refuse_lost(error, path)
        raise StoreError(
            f"'{path}' is damaged ({error}): run `mofore import` again, with the same features and --name"
        ) from error
