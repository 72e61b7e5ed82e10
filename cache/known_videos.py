"""Which videos the data folder held when a run last looked: what is known of them while it is not there.

``videos.json`` of the work folder is a memory, not a source: it is written anew whenever a run sees the videos, and one
that is damaged or missing is as good as none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ..data.types import Video
from .atomic import write_bytes

NAME, VERSION = "videos.json", 1


def remember_videos(folder: Path, videos: Iterable[Video]) -> None:
    """Write id, size and time of each file; of segments, those of their files once."""
    rows = {_file_id(video): [_file_id(video), video.size, video.mtime_ns] for video in videos}
    content = (json.dumps({"version": VERSION, "videos": [*rows.values()]}, separators=(",", ":")) + "\n").encode()
    path = folder / NAME
    if not path.exists() or path.read_bytes() != content:
        write_bytes(path, content)


def remembered_videos(folder: Path) -> tuple[Video, ...] | None:
    """The files, without class and group; None where there is no such memory, or none that can be read."""
    try:
        whole = json.loads((folder / NAME).read_bytes())
        if whole["version"] != VERSION:
            return None
        return tuple(
            Video(str(video_id), None, None, int(size), int(mtime_ns)) for video_id, size, mtime_ns in whole["videos"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file_id(video: Video) -> str:
    return video.id if video.span is None else video.id.removesuffix(video.span.fragment)
