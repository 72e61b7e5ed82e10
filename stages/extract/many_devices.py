"""Extraction in several processes, each with a device or processor cores of its own, and its own shard writer.

The processes write shards into the same store; only this one, the parent, writes the ledger, as it is told of
each shard and failure. It hands out videos a few at a time, so that all processes end at about the same time
however fast each of them is.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from pickle import UnpicklingError
from typing import Any, Generic, TypeVar

from ...cache.hold import beside
from ...cache.ledger import Ledger, ShardRecord
from ...cache.lock import NAME as LOCK
from ...data.errors import MoforeError, StageError
from ...data.progress import Progress, Silent
from ...data.types import Failure, Video
from ..machine.device import Place, pick_device
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

    def __len__(self) -> int:
        """Videos that are left."""
        return len(self._left)

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
    team = _Processes(job, begun, len(places), ledger, progress)
    try:
        for place in places:
            team.start(place)
        while team.members:
            team.listen()
    finally:  # nobody may go on writing once the work folder is free again
        team.kill()
    if team.error is not None:
        raise team.error
    return team.total


@dataclass(slots=True)
class Member:
    """One of those who extract together: what it told last, and what it gave when it was done."""

    figures: dict[str, Any] = field(default_factory=dict)
    result: ExtractResult | None = None


M = TypeVar("M", bound=Member)


class Team(ABC, Generic[M]):
    """Those who extract together, and what they have told; how they are reached is for those who inherit.

    Attributes:
        members: at work.
        error: what ended the work; None as long as nothing has.
        total: what was done before, and what members have published since.
    """

    def __init__(self, job: ExtractJob, begun: ExtractResult, count: int, ledger: Ledger, progress: Progress) -> None:
        self.members: list[M] = []
        self.error: BaseException | None = None
        self.total = begun
        self._ended: list[M] = []
        self._count, self._job = count, job
        self._ledger, self._progress = ledger, progress

    @abstractmethod
    def _hand_out(self, member: M) -> None:
        """Give a member further videos, or say that there are none."""

    @abstractmethod
    def _tell_to_stop(self, member: M) -> None:
        """Ask a member to publish what it has and end."""

    @abstractmethod
    def _show(self, member: M, done: int) -> None:
        """So many further videos of a member are through."""

    def _take(self, member: M, said: object) -> None:
        match said:
            case ShardRecord() as record:
                self._stored(record)
            case Failure() as failure:
                self._failed(failure)
            case ("advance", int(done), dict(figures)):
                member.figures = figures
                self._show(member, done)
            case ("note", str(message)):
                self._progress.note(message)
            case "more" if self.error is None:
                self._hand_out(member)
            case ExtractResult() as result:
                member.result = result
                self._add_up(result)
            case BaseException() as error:
                self._stop(error)

    def _stored(self, record: ShardRecord) -> None:
        self._ledger.add_shard(record)
        self.total.frames += sum(video.frames for video in record.videos if video.id not in self.total.done)
        self.total.done |= {video.id for video in record.videos}

    def _failed(self, failure: Failure) -> None:
        self._ledger.add_failure(self._job.store.key, failure)
        self.total.failures.append(failure)

    def _add_up(self, result: ExtractResult) -> None:
        """What records do not say; the seconds are a member's on average."""
        self.total.damaged |= result.damaged
        for name, spent_s in result.seconds.items():
            self.total.seconds[name] = self.total.seconds.get(name, 0.0) + spent_s / self._count

    def _stop(self, error: BaseException) -> None:
        """Ask every member to publish what it has and end."""
        if self.error is None:
            self.error = error
            for member in self.members:
                self._tell_to_stop(member)


@dataclass(slots=True)
class _Part(Member):
    place: Place = field(kw_only=True)
    process: BaseProcess = field(kw_only=True)
    connection: connection.Connection = field(kw_only=True)


class _Processes(Team[_Part]):
    """Processes of this machine, at the ends of pipes."""

    def __init__(self, job: ExtractJob, begun: ExtractResult, count: int, ledger: Ledger, progress: Progress) -> None:
        super().__init__(job, begun, count, ledger, progress)
        self._before = (len(begun.tried()), begun.frames, len(begun.failures))
        self._handout = Handout(job.inputs.videos, count)

    def start(self, place: Place) -> None:
        """Start the process of one place."""
        # A GPU wants a process that nothing was loaded in before.
        context = forking_context(EXTRACTING) if place.device.type == "cpu" else get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, place, self._job, self._count)
        process = context.Process(target=work_at, args=arguments, name=f"mofore-{place.device}")  # type: ignore[attr-defined]
        process.start()
        theirs.close()
        self.members.append(_Part(place=place, process=process, connection=ours))

    def listen(self) -> None:
        """Take what the processes say, for a moment."""
        try:
            if self.error is None:
                self._progress.pulse()
            for ready in connection.wait([part.connection for part in self.members], POLL_S):
                self._hear(next(part for part in self.members if part.connection is ready))
        except KeyboardInterrupt as interrupt:
            if self.error is not None:  # asked again: at once
                self.kill()
            self._stop(interrupt)
        except OSError as error:  # the ledger's disk is full, the terminal is gone
            self._stop(error)

    def kill(self) -> None:
        """End every process that is still there."""
        for part in self.members:
            part.process.kill()
        for part in self.members:
            part.process.join()

    def _hear(self, part: _Part) -> None:
        try:
            said = part.connection.recv()
        except (EOFError, OSError, UnpicklingError):  # it ended, perhaps in the middle of a word
            self._bury(part)
        else:
            self._take(part, said)

    def _hand_out(self, part: _Part) -> None:
        with suppress(OSError):  # it has ended, which is heard next
            part.connection.send(self._handout.take())

    def _tell_to_stop(self, part: _Part) -> None:
        with suppress(OSError):  # it has ended
            part.connection.send(STOP)

    def _bury(self, part: _Part) -> None:
        part.process.join()
        part.connection.close()
        self.members.remove(part)
        self._ended.append(part)
        if part.result is None and self.error is None:
            code = part.process.exitcode
            self._stop(StageError(f"the process on {part.place} ended with exit code {code}: run again to go on"))

    def _show(self, _part: _Part, done: int) -> None:
        told = [part.figures for part in (*self.members, *self._ended) if part.figures]
        tried, frames, failed = self._before
        still = 1 - tried / max(tried + self._handout.total, 1)
        self._progress.advance(
            done,
            share=1 - still * (1 - sum(figures["share"] for figures in told) / self._count),
            rows=frames + sum(figures["rows"] for figures in told),
            row=self.total.row,
            failed=failed + sum(figures["failed"] for figures in told),
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


def work_at(link: connection.Connection, place: Place | None, job: ExtractJob, parts: int) -> None:
    """Extract what is handed out over ``link``, and tell it all that happens; the process is for this.

    Args:
        link: to who shares out.
        place: where to compute; None for the device that the settings name.
        job: the whole of it.
        parts: how many share it.
    """
    end_with_parent()
    end_with_starter()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to the whole group it is the parent's to answer
    told = _Link(link)
    share = Share(parts, told.more)
    try:
        place = place or Place(pick_device(job.settings.device, "extract.device"))
        place.occupy()
        with beside(job.store.folder.parent.parent / LOCK):
            result = extract_on(place.device, job, recorder=told, progress=told, share=share)
        link.send(result)
    except (MoforeError, OSError, KeyboardInterrupt) as error:
        link.send(error)
