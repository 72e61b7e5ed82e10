"""One video as a stream of events: it starts, pieces of preprocessed frames, then its end or why it failed.

This is what a worker process (:mod:`.worker`) runs for each video. Nothing here knows of processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from av.video.frame import VideoFrame
from torch import Tensor

from ...cache.fingerprint import file_state, stat_of
from ...data.arrays import UInt8
from ...data.damage import Damage
from ...data.decode import decode, expected_frames
from ...data.errors import UnreachedError, VideoError
from ...data.pictures import rgb
from ...data.planes import PlaneLayout, copy_planes, plane_layout
from ...data.remote_path import is_url
from ...data.sampling import EVERY_FRAME, Sampling, Within
from ...data.types import Failure, FileState, Video
from .preprocess import Preprocess

PIECE_FRAMES = 32  # most frames that are resized together ...
PLANE_FRAMES = 72  # as many as planes, which nothing is done to: of UCF101 they fill a slot of 8 MiB
PIECE_BYTES = 16 << 20  # ... and most bytes of them as decoded: frames may be large


@dataclass(frozen=True, slots=True)
class Reading:
    """How videos are read."""

    preprocess: Preprocess  # what becomes of every frame
    sampling: Sampling = EVERY_FRAME  # which frames are kept
    image_fps: float = 25.0  # frames per second of a folder of images
    piece_frames: int = PIECE_FRAMES  # most frames of an event
    piece_bytes: int = PIECE_BYTES  # most bytes of an event
    planes: bool = False  # whether frames are to come as YUV planes where they can, for a device that does the rest
    keep_damaged: bool = False  # whether videos with damaged frames are read all the same (``extract.damaged``)
    row_frames: int = 1  # kept frames from one row of features to the next: of a clip backbone, those of a hop

    def of(self, video: Video) -> Reading:
        """How one video is read: where it is a part of a file, that part alone."""
        if video.span is None:
            return self
        return replace(self, sampling=Within(self.sampling.stride, self.sampling.fps, video.span))


@dataclass(frozen=True, slots=True)
class Resume:
    """The first ``frames`` rows of a file with this content are known: their frames need not be made again."""

    frames: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Started:
    """The file is there."""

    source: FileState  # its state
    skipped: int = 0  # so many rows at the start are known already, and their frames will not come
    expected_frames: int = (
        0  # rows, by what the container promises: good enough for a forecast of the time left, 0 if nothing
    )


@dataclass(frozen=True, slots=True)
class Frames:
    """Some frames, their times in seconds, and what they cost."""

    pixels: Tensor  # n preprocessed frames, uint8 (n, H, W, 3); or the planes of n frames, uint8 (n, layout.bytes)
    layout: PlaneLayout | None  # of the planes; None for preprocessed frames
    times_s: tuple[float, ...]  # n presentation times
    decode_s: float = 0.0  # seconds of decoding
    preprocess_s: float = 0.0  # seconds of colour conversion, resizing and cropping


@dataclass(frozen=True, slots=True)
class Finished:
    """The video ended well, and its file is still what it was at the start."""

    damage: str = ""  # what was damaged and kept all the same, in words; empty if nothing was


Event = Started | Frames | Finished | Failure


class FileChanged(VideoError):
    """The file is not the one that reading began with; reading it again is worth a try."""


def read_video(
    path: Path, video: Video, reading: Reading, resume: Resume | None = None, *, tick: Callable[[], None] = lambda: None
) -> Iterator[Event]:
    """The events of one video; whatever is wrong with its file ends in a :class:`Failure`.

    Args:
        path: of the file, or of a folder of images.
        video: as the catalog has it.
        reading: how.
        resume: frames that are known already; passed over if the file still has that content.
        tick: called after each step, so that a watcher can tell slow from stuck.

    Raises:
        FileChanged: if the file changed meanwhile.
    """
    source, reading = FileState(video.size, video.mtime_ns, ""), reading.of(video)
    try:
        source = file_state(path, tick=tick)
        skipped = resume.frames if resume is not None and resume.sha256 == source.sha256 else 0
        promised = expected_frames(path, reading.sampling, image_fps=reading.image_fps)
        yield Started(source, skipped, -(-promised // reading.row_frames))
        pieces, came = Pieces(path, reading, skipped * reading.row_frames, tick), skipped
        for piece in pieces:
            came += len(piece.times_s)
            yield piece
        if not came and isinstance(reading.sampling, Within):
            raise VideoError(f"no frame in {reading.sampling.span}: is the video that long?")
        if not _is_still(path, source):
            raise FileChanged("the file changed while it was read: run again")
    except FileChanged:
        raise
    except VideoError as error:
        if not isinstance(error, UnreachedError) and not _is_still(path, source):
            raise FileChanged(f"the file changed while it was read ({error}): run again") from error
        yield failure_of(video, source, error)
    except (OSError, MemoryError) as error:
        yield failure_of(video, source, error)
    else:
        yield Finished(str(pieces.damage) if pieces.damage.found else "")


def failure_of(video: Video, source: FileState, error: VideoError | OSError | MemoryError) -> Failure:
    """What is recorded of a video that could not be read."""
    match error:
        case OSError():
            remote = is_url(str(error.filename))
            return Failure(video.id, source, f"cannot be read: {error.strerror or error}", passing=remote)
        case MemoryError():
            return Failure(video.id, source, "reading it takes more memory than a worker may use")
        case _:
            return Failure(video.id, source, str(error), passing=isinstance(error, UnreachedError))


def _is_still(path: Path, source: FileState) -> bool:
    """Whether the file looks as it did; one that is gone is not the same."""
    try:
        size, mtime_ns = stat_of(path)
    except OSError:
        return False
    return not source.sha256 or source.looks_like(size, mtime_ns)


@dataclass(slots=True)
class Pieces:
    """Iterate over the frames of a video, those of one size resized together.

    Raises:
        VideoError: if the video cannot be read, or the decoder marks frames as corrupt and these are not to be kept.
    """

    path: Path
    reading: Reading
    skipped: int
    tick: Callable[[], None]
    layout: PlaneLayout | None = None
    pictures: list[UInt8] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    decode_s: float = 0.0
    preprocess_s: float = 0.0
    damage: Damage = field(init=False)

    def __post_init__(self) -> None:
        self.damage = Damage(self.reading.keep_damaged)

    def __iter__(self) -> Iterator[Frames]:
        for number, (frame, time_s) in enumerate(self._decoded()):
            self.tick()
            if number < self.skipped or (self.damage.marked and not self.damage.keep):  # then only to be counted
                continue
            begin = time.perf_counter()
            layout = self._layout(frame)
            picture = copy_planes(frame, layout) if layout else rgb(frame)
            self.preprocess_s += time.perf_counter() - begin
            if self.pictures and (layout != self.layout or picture.shape != self.pictures[0].shape):
                yield self._piece()
            self.layout = layout
            self.pictures.append(picture)
            self.times_s.append(time_s)
            if self._is_full():
                yield self._piece()
        self.damage.refuse()
        if self.pictures:
            yield self._piece()

    def _decoded(self) -> Iterator[tuple[VideoFrame, float]]:
        reading = self.reading
        frames = decode(self.path, reading.sampling, image_fps=reading.image_fps, tick=self.tick, damage=self.damage)
        while True:
            begin = time.perf_counter()
            found = next(frames, None)
            self.decode_s += time.perf_counter() - begin
            if found is None:
                return
            yield found

    def _layout(self, frame: VideoFrame) -> PlaneLayout | None:
        """How the frame travels as planes, if it does: it must fit into an event."""
        layout = plane_layout(frame) if self.reading.planes else None
        return layout if layout is not None and layout.bytes <= self.reading.piece_bytes else None

    def _is_full(self) -> bool:
        count, most = len(self.pictures), self.reading.piece_frames if self.layout is None else PLANE_FRAMES
        return count >= most or (count + 1) * self.pictures[0].nbytes > self.reading.piece_bytes

    def _piece(self) -> Frames:
        begin = time.perf_counter()
        pixels = torch.from_numpy(np.stack(self.pictures))
        if self.layout is None:
            pixels = self.reading.preprocess(pixels).permute(0, 2, 3, 1)
        self.preprocess_s += time.perf_counter() - begin
        piece = Frames(pixels, self.layout, tuple(self.times_s), self.decode_s, self.preprocess_s)
        self.pictures, self.times_s, self.decode_s, self.preprocess_s = [], [], 0.0, 0.0
        return piece
