"""Extraction in several processes, each with a device or processor cores of its own, and its own shard writer.

The processes write shards into the same store; only this one, the parent, writes the ledger, as it is told of
each shard and failure. It hands out videos a few at a time, so that all processes end at about the same time
however fast each of them is.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from pickle import UnpicklingError
from typing import Any

from ...cache.ledger import Ledger, ShardRecord
from ...data.errors import MoforeError, StageError
from ...data.progress import Progress, Silent
from ...data.types import Failure, Video
from ..machine.device import Place
from ..machine.processes import EXTRACTING, end_with_parent, end_with_starter, forking_context
from .one_device import ExtractJob, Share, extract_on
from .shard_writer import ExtractResult

POLL_S = 0.5
STOP = "stop"
MORE = "more"
MOST_AT_ONCE = 64  # videos handed out together


class Handout:
    """Videos that nobody has yet: the large ones first, smaller and smaller helpings towards the end."""

    def __init__(self, videos: Sequence[Video], parts: int) -> None:
        size = sum(video.size for video in videos) // (4 * parts)
        large = sorted((video for video in videos if video.size > size), key=lambda video: -video.size)
        self._left = deque([*large, *(video for video in videos if video.size <= size)])
        self._parts, self.total = parts, len(videos)

    def take(self) -> tuple[Video, ...]:
        """The next helping; empty when there is nothing left."""
        count = min(MOST_AT_ONCE, -(-len(self._left) // (4 * self._parts)))
        return tuple(self._left.popleft() for _ in range(count))


def extract_in_parts(
    places: Sequence[Place], job: ExtractJob, begun: ExtractResult, *, ledger: Ledger, progress: Progress
) -> ExtractResult:
    """Extract in all ``places`` at once, into a store whose arithmetic is settled.

    Args:
        places: one for each process.
        job: what is still to do.
        begun: what was done before; the result includes it.
        ledger: told of every shard and failure.
        progress: told how it goes.

    Raises:
        StageError: if a process dies. What was published stays.
        MoforeError: what a process raises; the others are stopped first.
    """
    team = _Team(job, begun, len(places), ledger, progress)
    try:
        for place in places:
            team.start(place)
        while team.parts:
            team.listen()
    finally:  # nobody may go on writing once the work folder is free again
        team.kill()
    if team.error is not None:
        raise team.error
    return team.result()


@dataclass(slots=True)
class _Part:
    place: Place
    process: BaseProcess
    connection: connection.Connection
    figures: dict[str, Any] = field(default_factory=dict)
    result: ExtractResult | None = None


class _Team:
    """The processes at work, and what they have told."""

    def __init__(self, job: ExtractJob, begun: ExtractResult, count: int, ledger: Ledger, progress: Progress) -> None:
        self.parts: list[_Part] = []
        self.error: BaseException | None = None
        self._count = count
        self._ended: list[_Part] = []
        self._job, self._begun, self._handout = job, begun, Handout(job.inputs.videos, count)
        self._ledger, self._progress = ledger, progress

    def start(self, place: Place) -> None:
        """Start the process of one place."""
        # A GPU wants a process that nothing was loaded in before.
        context = forking_context(EXTRACTING) if place.device.type == "cpu" else get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, place, self._job, self._count)
        process = context.Process(target=_work, args=arguments, name=f"mofore-{place.device}")  # type: ignore[attr-defined]
        process.start()
        theirs.close()
        self.parts.append(_Part(place, process, ours))

    def listen(self) -> None:
        """Take what the processes say, for a moment."""
        try:
            if self.error is None:
                self._progress.pulse()
            for ready in connection.wait([part.connection for part in self.parts], POLL_S):
                self._hear(next(part for part in self.parts if part.connection is ready))
        except KeyboardInterrupt as interrupt:
            if self.error is not None:  # asked again: at once
                self.kill()
            self._stop(interrupt)
        except OSError as error:  # the ledger's disk is full, the terminal is gone
            self._stop(error)

    def kill(self) -> None:
        """End every process that is still there."""
        for part in self.parts:
            part.process.kill()
        for part in self.parts:
            part.process.join()

    def result(self) -> ExtractResult:
        """Of all parts together; the seconds are a process's on average."""
        total = self._begun
        for result in [part.result for part in self._ended if part.result is not None]:
            total.done |= result.done
            total.frames += result.frames
            total.failures += result.failures
            total.damaged |= result.damaged
            for name, spent_s in result.seconds.items():
                total.seconds[name] = total.seconds.get(name, 0.0) + spent_s / self._count
        return total

    def _hear(self, part: _Part) -> None:
        try:
            said = part.connection.recv()
        except (EOFError, OSError, UnpicklingError):  # it ended, perhaps in the middle of a word
            self._bury(part)
        else:
            self._take(part, said)

    def _take(self, part: _Part, said: object) -> None:
        match said:
            case ShardRecord() as record:
                self._ledger.add_shard(record)
            case Failure() as failure:
                self._ledger.add_failure(self._job.store.key, failure)
            case ("advance", int(done), dict(figures)):
                part.figures = figures
                self._show(done)
            case ("note", str(message)):
                self._progress.note(message)
            case "more" if self.error is None:
                with suppress(OSError):  # it has ended, which is heard next
                    part.connection.send(self._handout.take())
            case ExtractResult() as result:
                part.result = result
            case BaseException() as error:
                self._stop(error)

    def _bury(self, part: _Part) -> None:
        part.process.join()
        part.connection.close()
        self.parts.remove(part)
        self._ended.append(part)
        if part.result is None and self.error is None:
            code = part.process.exitcode
            self._stop(StageError(f"the process on {part.place} ended with exit code {code}: run again to go on"))

    def _stop(self, error: BaseException) -> None:
        """Ask every process to publish what it has and end."""
        if self.error is None:
            self.error = error
            for part in self.parts:
                with suppress(OSError):  # it has ended
                    part.connection.send(STOP)

    def _show(self, done: int) -> None:
        told = [part.figures for part in (*self.parts, *self._ended) if part.figures]
        before = len(self._begun.tried())
        still = 1 - before / max(before + self._handout.total, 1)
        self._progress.advance(
            done,
            share=1 - still * (1 - sum(figures["share"] for figures in told) / self._count),
            rows=self._begun.frames + sum(figures["rows"] for figures in told),
            row=self._begun.row,
            failed=len(self._begun.failures) + sum(figures["failed"] for figures in told),
            bottleneck=told[0]["bottleneck"],
        )


class _Link(Silent):
    """Recorder and progress of a part: all goes to the parent, which has announced the whole job and ends its view."""

    def __init__(self, link: connection.Connection) -> None:
        self._link = link

    def more(self) -> Sequence[Video]:
        """Further videos to do."""
        self._link.send(MORE)
        answer: str | tuple[Video, ...] = self._link.recv()
        if isinstance(answer, str):
            raise KeyboardInterrupt
        return answer

    def add_shard(self, record: ShardRecord) -> None:
        self._link.send(record)

    def add_failure(self, _store: str, failure: Failure) -> None:
        self._link.send(failure)

    def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:
        self._link.send(("advance", done, {"share": share, **figures}))

    def pulse(self) -> None:
        if self._link.poll() and self._link.recv() == STOP:
            raise KeyboardInterrupt

    def note(self, message: str) -> None:
        self._link.send(("note", message))


def _work(link: connection.Connection, place: Place, job: ExtractJob, parts: int) -> None:
    end_with_parent()
    end_with_starter()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to the whole group it is the parent's to answer
    place.occupy()
    told = _Link(link)
    share = Share(parts, told.more)
    try:
        link.send(extract_on(place.device, job, recorder=told, progress=told, share=share))
    except (MoforeError, OSError, KeyboardInterrupt) as error:
        link.send(error)
