"""Several processes at one job: started here (``--nproc``), or by torchrun (:mod:`.torchrun`).

The first process plans, talks, writes and holds the work folder's lock; the others wait until it says what to do, do
it beside it, and end with it. They are told by a key-value store of torch's, and read large things from memory that
all of a machine share.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import torch
from torch.distributed import FileStore

from ...data.errors import ConfigError
from ...data.progress import Progress
from ..machine.device import pick_device
from ..machine.processes import end_with_parent
from ..machine.shared_memory import shared
from .order import Company, Job, Order, Work, do_order, leading
from .process_group import ProcessGroup, abandon
from .seat import Seat
from .torchrun import Launched, is_spent

WATCH_S = 1.0  # from one look at the other processes to the next


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
                company = Company(store, self.size, self.device, partial(_ended, processes), starts=True)
                with leading(company, progress) as process_group, _watching(processes):
                    _, job = place.open()
                    yield job, process_group
            finally:
                for process in processes:
                    process.kill()
                for process in processes:
                    process.join()


def pick_team(processes: int, wish: str) -> Team:
    """The processes for a job: torchrun's, if that started this one, else as many as are wished for.

    Those of torchrun's do one job; the next one of the same command is for this process alone.

    Args:
        processes: wished for.
        wish: device, as for :func:`pick_device`; each process takes one of its own.

    Raises:
        ConfigError: if there are fewer CUDA devices here than processes.
    """
    device, seat = pick_device(wish), Seat.here()
    launched = seat.size > 1 and not is_spent()
    team: Team = Launched(seat.size, device) if launched else Spawned(processes, device) if processes > 1 else Alone()
    here = seat.local_size if launched else team.size
    visible = torch.cuda.device_count() if device.type == "cuda" else 0
    own = launched and visible == 1  # a launcher that shows each process a GPU of its own
    if device.type == "cuda" and here > visible and not own:
        raise ConfigError(
            f"{here} processes, but {visible} CUDA devices, and each needs one: start fewer "
            '(--nproc, fit.processes), or take fit.device = "cpu"'
        )
    return team


@contextmanager
def _watching(processes: list[BaseProcess]) -> Iterator[None]:
    """Give up within a moment where a process is lost; torchrun looks after those that it has started.

    gloo would notice at once, but only in a call of its own, and NCCL not at all.
    """
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


def _ended(processes: list[BaseProcess]) -> str | None:
    for rank, process in enumerate(processes, 1):
        process.join(0)
        if process.exitcode is not None:
            return (
                f"process {rank + 1} of the {len(processes) + 1} that share the job ended with exit code "
                f"{process.exitcode}: run again to go on from what was kept"
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
    sys.exit(do_order(order, FileStore(path, size), Seat(rank, size, rank, size)))


@contextmanager
def _computing_with(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
