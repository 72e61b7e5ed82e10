"""Some frames of a video, and no more: what decode workers do for training from pixels.

A video is decoded from its start up to the last frame that is wanted, since only then frame i is surely the frame
that row i of its features was made from; containers' own tables are not exact enough to jump.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

from ...cache.fingerprint import stat_of
from ...data.errors import VideoError
from ...data.sampling import Picked
from ...data.types import FileState, Video
from .source import Event, Finished, Pieces, Reading, Resume, Started, failure_of


@dataclass(frozen=True, slots=True)
class WantedFrames(Video):
    """Frames of a video that a step wants."""

    step: int = 0  # that wants them
    positions: tuple[int, ...] = ()  # of the frames among those that extraction keeps, ascending

    @classmethod
    def of(cls, video: Video, step: int, positions: tuple[int, ...]) -> WantedFrames:
        """Frames of a video of the catalog."""
        known = {each.name: getattr(video, each.name) for each in fields(Video)}
        return cls(**known, step=step, positions=positions)


def read_wanted(
    path: Path,
    video: WantedFrames,
    reading: Reading,
    resume: Resume | None = None,  # noqa: ARG001 - the contract of decode workers
    *,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[Event]:
    """The events of the wanted frames of one video; whatever is wrong with its file ends in a :class:`Failure`.

    Args:
        path: of the file, or of a folder of images.
        video: which frames.
        reading: how; its sampling says what extraction keeps.
        resume: not used: nothing of a clip is known before.
        tick: called after each step, so that a watcher can tell slow from stuck.
    """
    source = FileState(video.size, video.mtime_ns, "")
    picked = replace(reading, sampling=Picked(of=reading.of(video).sampling, positions=video.positions))
    came = 0
    try:
        if not source.looks_like(*stat_of(path)):
            raise VideoError("the file changed since this run looked at it: run again")
        yield Started(source)
        for piece in Pieces(path, picked, 0, tick):
            came += len(piece.times_s)
            yield piece
        if came < len(video.positions):
            raise VideoError(f"frame {video.positions[came]} of its features is not in the file any more")
    except (VideoError, OSError, MemoryError) as error:
        yield failure_of(path, video, source, error)
    else:
        yield Finished()
