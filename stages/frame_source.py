"""Decoded and preprocessed frames of many videos, made ahead of the forward pass.

One producer decodes video after video and puts what it made into a bounded queue as events: pieces of
frames, then either the end of the video or the reason why it failed. The consumer (:mod:`.extract`) sees
nothing but these events, so how they are made (a thread here) can change without it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..cache.fingerprint import file_state
from ..data.decode import decode, rgb
from ..data.errors import VideoError
from ..data.types import Failure, FileState, Video
from .preprocess import Preprocess

PIECE = 32  # frames resized together
AHEAD = 8  # pieces that may wait for the forward pass


@dataclass(frozen=True, slots=True)
class Frames:
    """Some frames of a video, preprocessed: uint8 (n, C, H, W), with their times in seconds."""

    video_id: str
    frames_BCHW: Tensor
    times_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The video ended well; ``source`` is the state of the file that was read."""

    video_id: str
    source: FileState


Event = Frames | Finished | Failure


class FrameSource:
    """Iterate over the events of ``videos``; closing it (or leaving the ``with`` block) ends the producer."""

    def __init__(self, root: Path, videos: Sequence[Video], preprocess: Preprocess) -> None:
        self._root = root
        self._videos = videos
        self._preprocess = preprocess
        self._events: queue.Queue[Event | None] = queue.Queue(AHEAD)
        self._stopped = threading.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._producer: Future[None] | None = None

    def __enter__(self) -> FrameSource:
        self._producer = self._executor.submit(self._produce)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        while self._producer is not None and not self._producer.done():
            with suppress(queue.Empty):
                self._events.get(timeout=0.05)  # a producer that waits for room must see the stop
        self._executor.shutdown()

    def __iter__(self) -> Iterator[Event]:
        while (event := self._events.get()) is not None:
            yield event
        if self._producer is not None:
            self._producer.result()  # an error of the program itself, not of a video, is raised here

    def _produce(self) -> None:
        try:
            for video in self._videos:
                for event in read_video(self._root / video.id, video, self._preprocess):
                    self._events.put(event)
                    if self._stopped.is_set():
                        return
        finally:
            self._events.put(None)


def read_video(path: Path, video: Video, preprocess: Preprocess) -> Iterator[Event]:
    """The events of one video; whatever is wrong with its file ends in a :class:`Failure`."""
    source = FileState(video.size, video.mtime_ns, "")
    try:
        source = file_state(path)
        yield from _pieces(path, video.id, preprocess)
        now = path.stat()
        if not source.looks_like(now.st_size, now.st_mtime_ns):
            raise VideoError("the file changed while it was read: run again")
    except VideoError as error:
        yield Failure(video.id, source, str(error))
    except OSError as error:
        yield Failure(video.id, source, f"cannot be read: {error.strerror or error}")
    else:
        yield Finished(video.id, source)


def _pieces(path: Path, video_id: str, preprocess: Preprocess) -> Iterator[Frames]:
    """Frames of one size are resized together, :data:`PIECE` at a time."""
    pictures = ((rgb(frame), time_s) for frame, time_s in decode(path))
    for _, run in groupby(pictures, key=lambda picture: picture[0].shape):
        while piece := list(islice(run, PIECE)):
            frames_BHWC = torch.from_numpy(np.stack([picture for picture, _ in piece]))
            yield Frames(video_id, preprocess(frames_BHWC), tuple(time_s for _, time_s in piece))
