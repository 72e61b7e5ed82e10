"""The worker process: reads one video after another and writes frames into shared slots.

It is a process because a decoder can crash or hang, and Python cannot stop a thread. It talks to its parent
(:mod:`.pool`) over one connection: jobs and emptied slots come in, events go out.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from ...data.planes import PlaneLayout
from ...data.types import Failure, FileState, Video
from ..machine.allocator import keep_freed_memory
from ..machine.processes import end_with_parent, limit_memory, stay_on
from .slots import FrameSlots
from .source import Event, FileChanged, Frames, Reading, Resume

Reader = Callable[..., Iterator[Event]]


@dataclass(frozen=True, slots=True)
class Job:
    """A video to read; ``key`` tells one try from another."""

    key: int
    path: Path
    video: Video
    resume: Resume | None = None


@dataclass(frozen=True, slots=True)
class Filled:
    """A slot was filled with pixels of that shape; the rest as in :class:`.source.Frames`."""

    slot: int
    shape: tuple[int, ...]
    layout: PlaneLayout | None
    times_s: tuple[float, ...]
    decode_s: float
    preprocess_s: float


Message = tuple[int, Any]  # key of the job; Started, Filled, Finished, Failure or FileChanged


def serve(connection: Connection, slots: FrameSlots, read: Reader, reading: Reading, cores: tuple[int, ...]) -> None:
    """Work on ``cores``, the parent's, until it says so (None) or is gone."""
    end_with_parent()
    stay_on(cores)
    limit_memory()
    torch.set_num_threads(1)  # workers are the parallelism
    keep_freed_memory()
    logging.disable(logging.CRITICAL)  # FFmpeg's remarks on damaged files; the reason travels in the event
    try:
        _Worker(connection, slots, read, reading).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the parent is gone, and nobody reads what tidying up would say


class _Worker:
    def __init__(self, connection: Connection, slots: FrameSlots, read: Reader, reading: Reading) -> None:
        self._connection, self._slots, self._read, self._reading = connection, slots, read, reading
        self._jobs: deque[Job | None] = deque()
        self._empty = list(range(slots.layout.count))

    def run(self) -> None:
        self._connection.send((0, None))  # it has started
        while (job := self._next_job()) is not None:
            try:
                self._do(job)
            except FileChanged as change:
                self._send(job, change)
            except (EOFError, OSError):
                raise  # of the connection: `read` turns those of files into events
            except Exception as error:  # noqa: BLE001 - the edge of the process: one video must not stop the others
                reason = f"unexpected {type(error).__name__}: {error}"
                self._send(job, Failure(job.video.id, FileState(job.video.size, job.video.mtime_ns, ""), reason))

    def _do(self, job: Job) -> None:
        for event in self._read(job.path, job.video, self._reading, job.resume, tick=self._slots.step):
            self._send(job, self._fill(event) if isinstance(event, Frames) else event)

    def _fill(self, piece: Frames) -> Filled:
        slot, shape = self._empty_slot(), tuple(piece.pixels.shape)
        self._slots.view(slot, shape).copy_(piece.pixels)
        self._slots.step()
        return Filled(slot, shape, piece.layout, piece.times_s, piece.decode_s, piece.preprocess_s)

    def _send(self, job: Job, content: Any) -> None:
        self._connection.send((job.key, content))

    def _next_job(self) -> Job | None:
        while not self._jobs:
            self._receive()
        return self._jobs.popleft()

    def _empty_slot(self) -> int:
        while self._connection.poll() or not self._empty:
            self._receive()
        return self._empty.pop()

    def _receive(self) -> None:
        message = self._connection.recv()
        if isinstance(message, int):  # a slot that the parent has read
            self._empty.append(message)
        else:
            self._jobs.append(message)
