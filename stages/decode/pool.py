"""Worker processes that decode and resize ahead of the forward pass, watched over by their parent.

A worker that dies or hangs takes its video down once more at most: the video is tried again by a fresh
worker, and after the second time it is recorded as failed, with the reason. The videos that were only waiting
for that worker lose nothing. Which worker does what, and in which order frames come, is left to chance;
that no feature depends on it is the business of the forward pass (:func:`..backbone.precision.row_drift`).
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import torch
from torch import Tensor

from ...data.cores import usable_cores
from ...data.errors import StageError
from ...data.planes import PlaneLayout
from ...data.types import Failure, FileState, Video
from ..machine.processes import begin_server, forking_context
from .slots import FrameSlots, SlotLayout
from .source import FileChanged, Finished, Reading, Resume, Started, read_video
from .worker import Filled, Job, Message, Reader, serve

SLOTS = 4  # pieces that a worker may be ahead
SLOT_BYTES = 8 << 20  # 54 frames of 224 x 224, or 72 of UCF101 as planes
AHEAD = 8  # videos that may wait at a worker, so that very short ones don't starve it
STARTS = 5  # processes in a row that may end before they have started: a machine out of memory kills some
TRIES = 2
POLL_S = 0.5
HELD_S = 0.001  # after which slots that were held are asked for again
JOIN_S = 10.0


class Held(Protocol):
    """Somebody who reads a slot still, such as a copy to a GPU: a CUDA event."""

    def query(self) -> bool:
        """Whether it is over."""

    def synchronize(self) -> None:
        """Wait until it is."""


@dataclass(frozen=True, slots=True)
class VideoStarted:
    """Frames of a video are going to come; those of an earlier try of it are void."""

    video: Video
    key: int
    start: Started


@dataclass(frozen=True, slots=True)
class VideoFrames:
    """Frames of the try ``key``, as in :class:`.source.Frames`.

    ``pixels`` is shared memory, valid until the next event is asked for, and for as long as something in ``held`` says
    no when it is asked.
    """

    key: int
    pixels: Tensor
    layout: PlaneLayout | None
    times_s: tuple[float, ...]
    decode_s: float
    preprocess_s: float
    held: list[Held] = field(default_factory=list)  # to be filled by a consumer that goes on reading


@dataclass(frozen=True, slots=True)
class VideoFinished:
    """All frames of the try ``key`` have come; ``damage`` as in :class:`.source.Finished`."""

    key: int
    damage: str = ""


@dataclass(frozen=True, slots=True)
class VideoFailed:
    """The video could not be read; ``key`` is its last try's."""

    key: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing came for a moment."""


PoolEvent = VideoStarted | VideoFrames | VideoFinished | VideoFailed | Idle


@dataclass(slots=True)
class _Attempt:
    """A job given to a worker."""

    job: Job
    number: int
    source: FileState | None = None


@dataclass(slots=True)
class _Lane:
    """A worker and what it has to do."""

    process: BaseProcess
    connection: connection.Connection
    slots: FrameSlots
    attempts: deque[_Attempt] = field(default_factory=deque)
    inbox: deque[Message] = field(default_factory=deque)
    emptied: list[tuple[int, list[Held]]] = field(default_factory=list)
    is_dead: bool = False
    has_started: bool = False
    tick: int = 0
    seen: float = field(default_factory=time.monotonic)

    def receive(self) -> None:
        """Take all that the worker has sent."""
        try:
            while self.connection.poll():
                key, content = self.connection.recv()
                if content is None:
                    self.has_started = True
                else:
                    self.inbox.append((key, content))
        except (EOFError, OSError, UnpicklingError):
            self.is_dead = True

    def is_filling(self) -> bool:
        """Whether more is to be expected before slots are given back: it has work, and a slot to put it."""
        ended = sum(isinstance(content, Finished | Failure | FileChanged) for _, content in self.inbox)
        filled = sum(isinstance(content, Filled) for _, content in self.inbox)
        return not self.is_dead and ended < len(self.attempts) and filled < self.slots.layout.count

    def is_stuck(self, patience_s: float) -> bool:
        """Whether it should be at work but has not taken a step for so long."""
        now, tick = time.monotonic(), self.slots.tick
        if tick != self.tick or not self.is_filling():
            self.tick, self.seen = tick, now
        return now - self.seen > patience_s


class _Turn:
    """The workers' turn: until all their slots are full, or the slowest takes twice as long as the first.

    With fewer workers at work than cores there are no turns: one of the cores would only wait.
    """

    def __init__(self, filling: int) -> None:
        self._begin = time.monotonic()
        self._all = filling if filling >= len(usable_cores()) else 0
        self._first_s = 0.0

    def goes_on(self, filling: int) -> bool:
        elapsed_s = time.monotonic() - self._begin
        if not self._first_s and filling < self._all:
            self._first_s = elapsed_s
        return self._all > 0 and filling > 0 and (not self._first_s or elapsed_s < 2 * self._first_s)


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How a pool's workers are run, whatever they read."""

    workers: int  # number of processes; fewer are started for fewer videos
    stall_s: float  # a worker without a sign of life for so many seconds is killed
    read: Reader = read_video  # reads one video; it must be importable by the workers
    pinned: bool = False  # whether a GPU is going to copy from the frames' memory
    # whether the consumer computes on the same cores. Then workers fill all their slots, and wait while these are
    # consumed: a worker that decodes for a tenth of one core's time in the middle of a forward pass halves its speed,
    # for all of its threads wait for each other at every layer.
    take_turns: bool = False

    @classmethod
    def feeding(cls, device: torch.device, *, workers: int, stall_s: float, read: Reader) -> PoolSettings:
        """Those for a consumer that computes on ``device``."""
        on_gpu = device.type == "cuda"
        return cls(workers, stall_s, read, pinned=on_gpu, take_turns=not on_gpu)


class DecodePool:
    """Iterate over the events of ``videos``; leaving the ``with`` block ends every worker.

    Args:
        root: folder that the videos' ids are relative to.
        videos: to read, each exactly once (or twice, see above).
        reading: what is read of each.
        settings: how the workers are run.
        more: asked for further videos when few are waiting; none means that there will be none.
        resume: frames of some videos that are known already, by id.
    """

    def __init__(
        self,
        root: Path,
        videos: Sequence[Video],
        reading: Reading,
        settings: PoolSettings,
        *,
        more: Callable[[], Sequence[Video]] = tuple,
        resume: Callable[[str], Resume | None] = lambda _video_id: None,
    ) -> None:
        self._root, self._settings, self._resume = root, settings, resume
        self._waiting = deque((video, 1) for video in videos)
        self._more: Callable[[], Sequence[Video]] | None = more
        self._workers = max(1, settings.workers)
        self._ask_for_more()
        self._workers = max(1, min(self._workers, len(self._waiting)))
        self.unpinned = False  # whether a GPU was to copy from the frames' memory, but may not
        self._keys = count()
        self._lanes: list[_Lane] = []
        self._unstarted = 0  # processes in a row that ended before they had started
        self._context = forking_context()
        begin_server()
        frame_bytes = reading.preprocess.size[0] * reading.preprocess.size[1] * 3
        slot_bytes = max(SLOT_BYTES, frame_bytes)
        frames = min(reading.piece_frames, slot_bytes // frame_bytes)
        self._layout = SlotLayout(SLOTS, slot_bytes)
        self._reading = replace(reading, piece_frames=frames, piece_bytes=slot_bytes)

    def __enter__(self) -> DecodePool:
        self._lanes = [self._start() for _ in range(self._workers)]
        return self

    def __exit__(self, *_: object) -> None:
        for lane in self._lanes:
            lane.process.kill()  # it has nothing that could be lost
        for lane in self._lanes:
            self._bury(lane)
        self._lanes = []

    def __iter__(self) -> Iterator[PoolEvent]:
        while True:
            self._assign()
            if not self._waiting and not any(lane.attempts for lane in self._lanes):
                return
            yield from self._await()
            for lane in list(self._lanes):
                yield from self._said(lane)
                if lane.is_dead:
                    yield from self._replace(lane, None)
            for lane in self._lanes:
                _give_back(lane)

    def _await(self) -> Iterator[PoolEvent]:
        """Wait for something to do; taking turns, for as much as there is room for."""
        turn = _Turn(len(self._filling())) if self._settings.take_turns else None
        while True:
            holding = self._give_back() if not turn else False
            ready = connection.wait([lane.connection for lane in self._lanes], HELD_S if holding else POLL_S)
            for lane in self._lanes:
                if lane.connection in ready:
                    lane.receive()
            stuck = [lane for lane in self._lanes if lane.is_stuck(self._settings.stall_s)]
            for lane in stuck:
                lane.process.kill()
                lane.receive()
                yield from self._said(lane)
                yield from self._replace(lane, f"the decoder hung: no frame for {self._settings.stall_s:g} s")
            if stuck:
                return  # what they had to do is to be handed out again
            if any(lane.inbox or lane.is_dead for lane in self._lanes) and not (
                turn and turn.goes_on(len(self._filling()))
            ):
                return
            if not ready and not holding:
                yield Idle()

    def _filling(self) -> list[_Lane]:
        return [lane for lane in self._lanes if lane.is_filling()]

    def _start(self) -> _Lane:
        ours, theirs = self._context.Pipe()
        slots = FrameSlots(self._layout)
        if self._settings.pinned and not slots.pin():
            self.unpinned = True
        arguments = (theirs, slots, self._settings.read, self._reading, usable_cores())
        process = self._context.Process(target=serve, args=arguments, daemon=True, name="mofore-decode")  # type: ignore[attr-defined]
        process.start()
        theirs.close()
        return _Lane(process, ours, slots)

    def _assign(self) -> None:
        """Hand out videos, the same number to each worker, and not so many that one would end long after the rest."""
        self._ask_for_more()
        depth = max(1, min(AHEAD, len(self._waiting) // (2 * self._workers)))
        for lane in sorted(self._lanes, key=lambda lane: len(lane.attempts)):
            while self._waiting and len(lane.attempts) < depth:
                video, number = self._waiting.popleft()
                # A second try begins anew: what the first one had made safe is dropped when this one starts.
                resume = self._resume(video.id) if number == 1 else None
                job = Job(next(self._keys), video.path(self._root), video, resume)
                if _tell(lane, job):
                    lane.seen = lane.seen if lane.attempts else time.monotonic()
                    lane.attempts.append(_Attempt(job, number))
                else:  # it just died, which is about to be found out
                    self._waiting.appendleft((video, number))
                    break

    def _ask_for_more(self) -> None:
        while self._more is not None and len(self._waiting) < 2 * self._workers:
            found = self._more()
            self._waiting.extend((video, 1) for video in found)
            if not found:
                self._more = None

    def _said(self, lane: _Lane) -> Iterator[PoolEvent]:
        while lane.inbox:
            key, content = lane.inbox.popleft()
            yield from self._event(lane, key, content)

    def _event(self, lane: _Lane, key: int, content: Any) -> Iterator[PoolEvent]:
        attempt = lane.attempts[0]
        match content:
            case Started():
                attempt.source = content.source
                yield VideoStarted(attempt.job.video, key, content)
            case Filled():
                pixels, held = lane.slots.view(content.slot, content.shape), list[Held]()
                spent = (content.decode_s, content.preprocess_s)
                yield VideoFrames(key, pixels, content.layout, content.times_s, *spent, held)
                del pixels
                lane.emptied.append((content.slot, held))
                if not self._settings.take_turns:
                    _give_back(lane)
            case Finished():
                lane.attempts.popleft()
                yield VideoFinished(key, content.damage)
            case Failure():
                lane.attempts.popleft()
                yield VideoFailed(key, content)
            case FileChanged():
                lane.attempts.popleft()
                yield from self._again(attempt, str(content))

    def _replace(self, lane: _Lane, reason: str | None) -> Iterator[PoolEvent]:
        """Put a fresh worker in the place of one that is dead, and try its video again."""
        lane.process.join(JOIN_S)
        reason = reason or _cause(lane.process.exitcode)
        attempts = list(lane.attempts)
        self._unstarted = 0 if lane.has_started else self._unstarted + 1
        if self._unstarted > STARTS:
            raise StageError(
                f"the processes that decode videos end before they have started ({reason}); what they said stands "
                'above. A script calls mofore below `if __name__ == "__main__":` (docs/python-api.md)'
            )
        self._bury(lane)
        self._lanes[self._lanes.index(lane)] = self._start()
        for attempt in reversed(attempts[1:]):
            self._waiting.appendleft((attempt.job.video, attempt.number))
        if attempts and lane.has_started:
            yield from self._again(attempts[0], reason)
        elif attempts:  # it says nothing of the video
            self._waiting.appendleft((attempts[0].job.video, attempts[0].number))

    def _again(self, attempt: _Attempt, reason: str) -> Iterator[PoolEvent]:
        video = attempt.job.video
        if attempt.number < TRIES:
            self._waiting.append((video, attempt.number + 1))
            return
        source = attempt.source or FileState(video.size, video.mtime_ns, "")
        yield VideoFailed(attempt.job.key, Failure(video.id, source, reason))

    def _give_back(self) -> bool:
        """Give workers back what is no longer held; whether some still is."""
        for lane in self._lanes:
            if lane.emptied:
                _give_back(lane)
        return any(lane.emptied for lane in self._lanes)

    def _bury(self, lane: _Lane) -> None:
        for _, held in lane.emptied:
            for each in held:
                each.synchronize()
        lane.process.join(JOIN_S)
        lane.connection.close()
        lane.slots.close()


def _give_back(lane: _Lane) -> None:
    """Give the worker its slots back; from now on it has no excuse for being slow."""
    lane.seen, emptied, lane.emptied = time.monotonic(), lane.emptied, []
    for slot, held in emptied:
        if all(each.query() for each in held):
            _tell(lane, slot)
        else:
            lane.emptied.append((slot, held))


def _tell(lane: _Lane, message: object) -> bool:
    try:
        lane.connection.send(message)
    except OSError:
        return False
    return True


def _cause(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"the decoder's process ended with exit code {exit_code}"
    if -exit_code == getattr(signal, "SIGKILL", 9):  # Windows has no such name
        return "the decoder's process was killed from outside (out of memory?)"
    names = {number.value: number.name for number in signal.Signals}
    return f"the decoder crashed ({names.get(-exit_code, f'signal {-exit_code}')})"
