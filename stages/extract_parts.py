"""Extraction on several devices: the videos are shared out, one process and one shard writer for each device.

The processes write shards into the same store; only this one, the parent, writes the ledger, as it is told of
each shard and failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from ..cache.ledger import Ledger, ShardRecord
from ..cache.store import FeatureStore
from ..data.errors import MoforeError, StageError
from ..data.progress import Progress
from ..data.settings import ExtractSettings
from ..data.types import Failure, Video
from .decode_worker import Reader, end_with_parent
from .device_extraction import ExtractInputs, extract_on
from .shard_writer import ExtractResult

POLL_S = 0.5
STOP = "stop"


def share_out(videos: Sequence[Video], count: int) -> list[tuple[Video, ...]]:
    """Divide videos into parts of about the same size in bytes, each in the order given."""
    parts: list[list[Video]] = [[] for _ in range(count)]
    sizes = [0] * count
    for video in sorted(videos, key=lambda video: -video.size):
        smallest = sizes.index(min(sizes))
        parts[smallest].append(video)
        sizes[smallest] += video.size
    place = {video.id: number for number, video in enumerate(videos)}
    return [tuple(sorted(part, key=lambda video: place[video.id])) for part in parts]


def extract_in_parts(
    devices: Sequence[torch.device],
    settings: ExtractSettings,
    inputs: ExtractInputs,
    *,
    store: FeatureStore,
    ledger: Ledger,
    progress: Progress,
    read: Reader,
) -> ExtractResult:
    """Extract on all ``devices`` at once; the other arguments are those of :func:`.extract.run`.

    Raises:
        StageError: if the process of a device dies. What was published stays.
        MoforeError: what a process raises; the others are stopped first.
    """
    shares = [share for share in share_out(inputs.videos, len(devices)) if share]
    waiting = [
        (device, settings, replace(inputs, videos=share), store, read)
        for device, share in zip(devices, shares, strict=False)
    ]
    team = _Team(store, ledger, progress)
    team.start(*waiting.pop(0))
    while team.parts:
        if team.error is not None:
            waiting = []
        if waiting and store.encoder() is not None:  # the first has settled how features are computed
            for arguments in waiting:
                team.start(*arguments)
            waiting = []
        team.listen()
        if waiting and not team.parts and team.error is None:  # the first ended without settling: nothing readable
            team.start(*waiting.pop(0))
    if team.error is not None:
        raise team.error
    return team.result()


@dataclass(slots=True)
class _Part:
    device: torch.device
    process: BaseProcess
    connection: connection.Connection
    size: int
    figures: dict[str, Any] = field(default_factory=dict)
    result: ExtractResult | None = None


class _Team:
    """The processes at work, and what they have told."""

    def __init__(self, store: FeatureStore, ledger: Ledger, progress: Progress) -> None:
        self.parts: list[_Part] = []
        self.error: BaseException | None = None
        self._ended: list[_Part] = []
        self._store, self._ledger, self._progress = store, ledger, progress

    def start(
        self,
        device: torch.device,
        settings: ExtractSettings,
        inputs: ExtractInputs,
        store: FeatureStore,
        read: Reader,
    ) -> None:
        ours, theirs = get_context("spawn").Pipe()
        arguments = (theirs, device, settings, inputs, store, read)
        process = get_context("spawn").Process(target=_work, args=arguments, name=f"mofore-{device}")
        process.start()
        theirs.close()
        self.parts.append(_Part(device, process, ours, sum(video.size for video in inputs.videos)))

    def listen(self) -> None:
        """Take what the processes say, for a moment."""
        try:
            if self.error is None:
                self._progress.pulse()
            for ready in connection.wait([part.connection for part in self.parts], POLL_S):
                self._take(next(part for part in self.parts if part.connection is ready))
        except KeyboardInterrupt as interrupt:
            self._stop(interrupt)

    def result(self) -> ExtractResult:
        """Of all parts together."""
        total = ExtractResult()
        for result in [part.result for part in self._ended if part.result is not None]:
            total.videos += result.videos
            total.frames += result.frames
            total.failures += result.failures
            total.encoder = result.encoder or total.encoder
            total.seconds = {name: total.seconds.get(name, 0.0) + spent for name, spent in result.seconds.items()}
        return total

    def _take(self, part: _Part) -> None:
        try:
            match part.connection.recv():
                case ShardRecord() as record:
                    self._ledger.add_shard(record)
                case Failure() as failure:
                    self._ledger.add_failure(self._store.key, failure)
                case ("advance", done, figures):
                    part.figures = figures
                    self._show(done)
                case ("note", message):
                    self._progress.note(message)
                case ExtractResult() as result:
                    part.result = result
                case BaseException() as error:
                    self._stop(error)
        except (EOFError, ConnectionResetError):
            self._bury(part)

    def _bury(self, part: _Part) -> None:
        part.process.join()
        part.connection.close()
        self.parts.remove(part)
        self._ended.append(part)
        if part.result is None and self.error is None:
            code = part.process.exitcode
            self._stop(StageError(f"the process of {part.device} ended with exit code {code}: run again to go on"))

    def _stop(self, error: BaseException) -> None:
        """Ask every process to publish what it has and end."""
        if self.error is None:
            self.error = error
            for part in self.parts:
                with suppress(OSError):  # it has ended
                    part.connection.send(STOP)

    def _show(self, done: int) -> None:
        told = [part for part in (*self.parts, *self._ended) if part.figures]
        total = sum(part.size for part in (*self.parts, *self._ended))
        self._progress.advance(
            done,
            share=sum(part.figures["share"] * part.size for part in told) / max(total, 1),
            frames=sum(part.figures["frames"] for part in told),
            failed=sum(part.figures["failed"] for part in told),
            bottleneck=told[0].figures["bottleneck"],
        )


class _Link:
    """Recorder and progress of a part: everything goes to the parent."""

    def __init__(self, link: connection.Connection) -> None:
        self._link = link

    def add_shard(self, record: ShardRecord) -> None:
        self._link.send(record)

    def add_failure(self, _store: str, failure: Failure) -> None:
        self._link.send(failure)

    def start(self, stage: str, total: int, unit: str) -> None:
        """The parent has."""

    def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:
        self._link.send(("advance", done, {"share": share, **figures}))

    def pulse(self) -> None:
        if self._link.poll() and self._link.recv() == STOP:
            raise KeyboardInterrupt

    def note(self, message: str) -> None:
        self._link.send(("note", message))

    def finish(self) -> None:
        """The parent will."""


def _work(
    link: connection.Connection,
    device: torch.device,
    settings: ExtractSettings,
    inputs: ExtractInputs,
    store: FeatureStore,
    read: Reader,
) -> None:
    end_with_parent()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    told = _Link(link)
    try:
        link.send(extract_on(device, settings, inputs, store=store, recorder=told, progress=told, read=read))
    except (MoforeError, OSError, KeyboardInterrupt) as error:
        link.send(error)
