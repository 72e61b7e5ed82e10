"""Several processes at one job: started here (``--nproc``), or by torchrun.

The first process plans, talks, writes and holds the work folder's lock; the others wait until it says what to do, do
it beside it, and end with it. They are told by a key-value store of torch's, and read large things from memory that
all share.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeVar

import torch
from torch.distributed import FileStore, Store
from torch.distributed.rendezvous import rendezvous

from ...data.errors import ConfigError, StageError
from ...data.progress import Progress
from ..machine.device import pick_device
from ..machine.processes import PR_SET_PDEATHSIG, end_with_parent
from ..machine.shared_memory import Shared, shared
from .process_group import PATIENCE_S, ProcessGroup, ProcessLost, abandon, is_abandoned

ORDER, READY, FAILED, OVER = "order", "ready", "failed", "over"  # keys of the store
POLL_S = 0.05
WATCH_S = 1.0  # from one look at the other processes to the next
REASON_S = 2.0  # that the reason of a lost process is waited for
PARTING_S = 20.0  # that a process which failed leaves the first one to say so, before torchrun ends it
Job = TypeVar("Job")
Work = Callable[[Any, ProcessGroup], object]


class Team(Protocol):
    """Processes that do a job together."""

    @property
    def size(self) -> int:
        """How many they are."""

    def at_work(
        self, job: Job, work: Work, *, progress: Progress
    ) -> contextlib.AbstractContextManager[tuple[Job, ProcessGroup]]:
        """Have the others do ``work(job, process_group)``, while this process does its part of it.

        Args:
            job: what they are given; must pickle. Its arrays are put into memory that all share.
            work: a function of a module.
            progress: pulsed while the others are waited for.

        Returns:
            The job over the shared memory, and this process's place among the others.
        """


class Alone:
    """A team of this process only: it does the whole job, in its own memory."""

    size = 1

    @contextmanager
    def at_work(self, job: Job, work: Work, *, progress: Progress) -> Iterator[tuple[Job, ProcessGroup]]:  # noqa: ARG002
        """Do nothing about others."""
        yield job, ProcessGroup()


@dataclass(frozen=True, slots=True)
class Order:
    """What another process is to do."""

    work: Work
    job: Shared
    device: str
    threads: int


@dataclass(frozen=True, slots=True)
class Spawned:
    """``size`` processes on this machine, this one included: the others are started for the job, and end with it."""

    size: int
    device: torch.device

    @contextmanager
    def at_work(self, job: Job, work: Work, *, progress: Progress) -> Iterator[tuple[Job, ProcessGroup]]:
        """Start the others; they are gone when this ends, however it ends."""
        threads = max(1, torch.get_num_threads() // self.size)
        with TemporaryDirectory(prefix="mofore-") as folder, shared((work, job)) as place, _computing_with(threads):
            order, path = Order(work, place, self.device.type, threads), str(Path(folder) / "store")
            processes = [_started(order, path, rank, self.size) for rank in range(1, self.size)]
            try:
                store = FileStore(path, self.size)
                ended = partial(_ended, processes)
                with _leading(store, self, progress, ended) as process_group, _watching(self, processes):
                    _, job = place.open()
                    yield job, process_group
            finally:
                for process in processes:
                    process.kill()
                for process in processes:
                    process.join()


@dataclass(frozen=True, slots=True)
class Launched:
    """The processes that torchrun started; this is the first of them."""

    size: int
    device: torch.device

    @contextmanager
    def at_work(self, job: Job, work: Work, *, progress: Progress) -> Iterator[tuple[Job, ProcessGroup]]:
        """Tell the others, who wait in :func:`assist`."""
        store = _launched_store()
        with shared((work, job)) as place:
            order = Order(work, place, self.device.type, torch.get_num_threads())
            store.set(ORDER, pickle.dumps(order).hex())
            with _leading(store, self, progress, lambda: None) as process_group:
                _, job = place.open()
                yield job, process_group


def pick_team(processes: int, wish: str) -> Team:
    """The processes for a job: torchrun's, if that started this one, else as many as are wished for.

    Args:
        processes: wished for.
        wish: device, as for :func:`pick_device`; each process takes one of its own.

    Raises:
        ConfigError: if there are fewer CUDA devices than processes, or torchrun started them on several machines.
    """
    device = pick_device(wish)
    size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if size > 1 and os.environ["WORLD_SIZE"] != str(size):
        raise ConfigError(
            f"torchrun started {os.environ['WORLD_SIZE']} processes, {size} of them here: mofore fits on one machine"
        )
    team: Team = Launched(size, device) if size > 1 else Spawned(processes, device) if processes > 1 else Alone()
    visible = torch.cuda.device_count() if device.type == "cuda" else 0
    own = size > 1 and visible == 1  # a launcher that shows each process a GPU of its own
    if device.type == "cuda" and team.size > visible and not own:
        raise ConfigError(
            f"{team.size} processes, but {visible} CUDA devices, and each needs one: start fewer "
            '(--nproc, fit.processes), or take fit.device = "cpu"'
        )
    return team


def assist() -> int:
    """Do what the first process of torchrun's says, once; returns an exit code. Everything else is that one's."""
    end_with_parent()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    try:
        store = _launched_store()
        while not store.check([ORDER]):
            time.sleep(4 * POLL_S)
        said = store.get(ORDER)
        return _assist(pickle.loads(bytes.fromhex(said.decode())), store, rank, size) if said else 0
    except RuntimeError:  # of the store: torchrun or the first process is gone
        return 1


def lead() -> None:
    """As the first process of torchrun's: stop when torchrun is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def dismiss() -> None:
    """As the first process of torchrun's: there is nothing (more) for the others to do."""
    with suppress(RuntimeError):  # torchrun is gone, and they with it
        store = _launched_store()
        store.set(OVER, "")
        if not store.check([ORDER]):
            store.set(ORDER, "")


@cache
def _launched_store() -> Store:
    store: Store = next(rendezvous("env://", timeout=timedelta(seconds=PATIENCE_S)))[0]
    return store


@contextmanager
def _leading(store: Store, team: Spawned | Launched, progress: Progress, ended: Callable[[], str | None]) -> Any:
    """Wait for the others and be the first among them; say why if one is lost.

    Args:
        store: of the team.
        team: of this process.
        progress: pulsed.
        ended: names a process that has ended, if one is known to.
    """
    try:
        _await_others(store, team.size, progress, ended)
        if team.device.type == "cuda":
            torch.cuda.set_device(0)
        process_group = ProcessGroup.joined(store, 0, team.size, device=team.device)
        progress.note(f"shared by {team.size} processes")
        yield process_group
    except (ProcessLost, RuntimeError) as lost:
        if not isinstance(lost, ProcessLost) and not is_abandoned():
            raise
        raise StageError(_reason(store, ended) or str(lost)) from lost
    finally:
        with suppress(RuntimeError):  # the store is gone, and the others with it
            store.set(OVER, "")
        ProcessGroup().leave()


@contextmanager
def _watching(team: Spawned, processes: list[BaseProcess]) -> Iterator[None]:
    """Give up within a moment where a process on a GPU is lost; torchrun looks after those that it has started."""
    if team.device.type != "cuda":  # gloo notices at once
        yield
        return
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(processes, over), name="mofore-watch", daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _watch(processes: list[BaseProcess], over: threading.Event) -> None:
    """Until it is over, or one of the processes has failed."""
    while not over.wait(WATCH_S):
        if any(process.exitcode not in (None, 0) for process in processes):
            abandon()
            return


def _await_others(store: Store, size: int, progress: Progress, ended: Callable[[], str | None]) -> None:
    """Until each has said that it is there: meeting them cannot be interrupted, this can."""
    keys, patience = [f"{READY}/{rank}" for rank in range(1, size)], time.monotonic() + PATIENCE_S
    while not store.check(keys):
        progress.pulse()
        if ended() or store.check([FAILED]) or time.monotonic() > patience:
            raise ProcessLost(f"{size} processes were to share the fit, but not all came within {PATIENCE_S:.0f} s")
        time.sleep(POLL_S)


def _reason(store: Store, ended: Callable[[], str | None]) -> str | None:
    """What a lost process said, or how it ended, which is known a moment after its connections close."""
    patience = time.monotonic() + REASON_S
    while (reason := _said(store) or ended()) is None and time.monotonic() < patience:
        time.sleep(POLL_S)
    return reason


def _said(store: Store) -> str | None:
    with suppress(RuntimeError):
        if store.check([FAILED]):
            return str(store.get(FAILED).decode())
    return None


def _ended(processes: list[BaseProcess]) -> str | None:
    for rank, process in enumerate(processes, 1):
        process.join(0)
        if process.exitcode is not None:
            return (
                f"process {rank + 1} of the {len(processes) + 1} that share the fit ended with exit code "
                f"{process.exitcode}: run again to go on from the last checkpoint"
            )
    return None


def _started(order: Order, path: str, rank: int, size: int) -> BaseProcess:
    process = get_context("spawn").Process(
        target=_serve, args=(order, path, rank, size), name=f"mofore-rank-{rank}", daemon=True
    )
    process.start()
    return process


def _serve(order: Order, path: str, rank: int, size: int) -> None:
    end_with_parent()
    torch.set_num_threads(order.threads)
    sys.exit(_assist(order, FileStore(path, size), rank, size))


def _assist(order: Order, store: Store, rank: int, size: int) -> int:
    """Do an order as one of the team; returns an exit code."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to the whole group it is the first process's to answer
    device = torch.device(order.device)
    if device.type == "cuda":
        torch.cuda.set_device(rank % torch.cuda.device_count())
    try:
        work, job = order.job.open()
        store.set(f"{READY}/{rank}", "")
        work(job, ProcessGroup.joined(store, rank, size, device=device))
        return 0
    except ProcessLost:
        return 0 if store.check([OVER]) else 1
    except Exception as error:  # noqa: BLE001 - the edge of the process: the first one says why
        store.set(FAILED, f"process {rank + 1} of the {size} that share the fit: {error}")
        ProcessGroup().leave()
        _part(store)
        return 1
    finally:
        ProcessGroup().leave()


def _part(store: Store) -> None:
    """Leave the first process the time to end by itself."""
    patience = time.monotonic() + PARTING_S
    while time.monotonic() < patience and not store.check([OVER]):
        time.sleep(POLL_S)


@contextmanager
def _computing_with(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
