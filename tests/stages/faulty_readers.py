"""Readers that misbehave on videos whose name says so; worker processes import them by name."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mofore.data.types import Failure, FileState, Video
from mofore.stages.decode.source import Event, Frames, Reading, Resume, read_video


def misbehaving(
    path: Path, video: Video, reading: Reading, resume: Resume | None = None, **options: Any
) -> Iterator[Event]:
    """``crash``, ``hang``, ``raise``, ``breaks``, ``lost`` and ``touch`` do so after some frames.

    ``once`` means at the first try, ``late`` after 20 pieces of 5 frames, and when there was time to take them.
    """
    small = Reading(reading.preprocess, reading.sampling, reading.image_fps, piece_frames=5)
    pieces = 0
    for event in read_video(path, video, small, resume, **options):
        yield event
        pieces += isinstance(event, Frames)
        if not isinstance(event, Frames) or ("late" in path.name and pieces < 20) or not _is_to_fail(path):
            continue
        if "late" in path.name:
            time.sleep(1.0)
        if "lost" in path.name:
            state = FileState(video.size, video.mtime_ns, "")
            yield Failure(video.id, state, "cannot be read: Input/output error", passing=True)
            return
        if "breaks" in path.name:
            yield Failure(video.id, FileState(video.size, video.mtime_ns, ""), "damaged: made up")
            return
        _fail(path)


def _is_to_fail(path: Path) -> bool:
    if "once" not in path.name:
        return True
    mark = path.with_suffix(".tried")
    if mark.exists():
        return False
    mark.touch()
    return True


def _fail(path: Path) -> None:
    if "crash" in path.name:
        os.kill(os.getpid(), signal.SIGSEGV)
    elif "hang" in path.name:
        time.sleep(1000)
    elif "raise" in path.name:
        raise ZeroDivisionError("made up")
    elif "touch" in path.name:
        os.utime(path, ns=(5, time.time_ns()))
