"""One job of several processes: what the first one says, what the others do, and how all hear that one is lost."""

from __future__ import annotations

import pickle
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.distributed import Store

from ...data.errors import StageError
from ...data.progress import Progress
from ..machine.shared_memory import Shared
from .nodes import Node, home
from .parcel import received
from .process_group import ONE_MACHINE, PATIENCE_S, Home, ProcessGroup, ProcessLost, is_abandoned
from .seat import Seat

READY, FAILED, LEFT, OVER, PARCEL = "ready", "failed", "left", "over", "parcel"  # keys of the store
LOST = "lost"  # how it was over, if not well or as the user wished
POLL_S = 0.05
REASON_S = 2.0  # that the reason of a lost process is waited for
PARTING_S = 20.0  # that a process which failed leaves the first one to say so, before torchrun ends it
Job = TypeVar("Job")
Work = Callable[[Any, ProcessGroup], object]


@dataclass(frozen=True, slots=True)
class Order:
    """What another process is to do.

    Attributes:
        work: what is done with the job, a function of a module.
        job: where it lies on the first process's machine.
        device: type of the one to compute on.
        threads: for processes that are started for it.
        leaders: the first process of every machine, if there are several.
        peer: address of another machine, for those on the first one.
    """

    work: Work
    job: Shared
    device: str
    threads: int
    leaders: tuple[int, ...] = ()
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class Company:
    """The team, as its first process knows it.

    Attributes:
        store: of the team.
        size: how many they are.
        device: that is computed on.
        ended: names one that has ended, if one is known to.
        home: of the first process.
        nodes: other machines.
        starts: whether this process started the others, and hears of their end itself.
    """

    store: Store
    size: int
    device: torch.device
    ended: Callable[[], str | None]
    home: Home = ONE_MACHINE
    nodes: Sequence[Node] = ()
    starts: bool = False


@contextmanager
def leading(company: Company, progress: Progress) -> Iterator[ProcessGroup]:
    """Wait for the others and be the first among them; say why if one is lost.

    Raises:
        StageError: if one is lost.
    """
    store, how = company.store, ""
    try:
        keys = [f"{READY}/{rank}" for rank in range(1, company.size)]
        await_keys(company, keys, progress)
        if company.device.type == "cuda":
            torch.cuda.set_device(0)
        process_group = ProcessGroup.joined(store, 0, company.size, device=company.device, home=company.home)
        where = f" on {1 + len(company.nodes)} nodes" if company.nodes else ""
        progress.note(f"shared by {company.size} processes{where}")
        yield process_group
    except (ProcessLost, RuntimeError) as lost:
        if not isinstance(lost, ProcessLost) and not is_abandoned():
            raise
        how = LOST
        raise StageError(_reason(company) or str(lost)) from lost
    finally:
        with suppress(RuntimeError):  # the store is gone, and the others with it
            store.set(OVER, how)
        ProcessGroup().leave()


def await_keys(company: Company, keys: Sequence[str], progress: Progress) -> None:
    """Until others have written these: meeting them cannot be interrupted, this can.

    Raises:
        ProcessLost: if one is lost, or they do not come.
    """
    patience = time.monotonic() + PATIENCE_S
    while not company.store.check([*keys]):
        progress.pulse()
        if company.ended() or company.store.check([FAILED]) or time.monotonic() > patience:
            raise ProcessLost(
                f"{company.size} processes were to share the job, but not all came within {PATIENCE_S:.0f} s"
            )
        time.sleep(POLL_S)


def do_order(order: Order, store: Store, seat: Seat) -> int:
    """Do an order as one of the team; returns an exit code."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to the whole group it is the first process's to answer
    device = torch.device(order.device)
    if device.type == "cuda":
        torch.cuda.set_device(seat.local_rank % torch.cuda.device_count())
    try:
        with _joined(order, store, seat, device) as (work, job, process_group):
            work(job, process_group)
        store.set(f"{LEFT}/{seat.rank}", "")
        return 0
    except ProcessLost:
        store.set(f"{LEFT}/{seat.rank}", "")
        return _part(store)
    except Exception as error:  # noqa: BLE001 - the edge of the process: the first one says why
        where = f", on the node {Node.here(seat).host}" if seat.nodes > 1 else ""
        store.set(FAILED, f"process {seat.rank + 1} of the {seat.size} that share the job{where}: {error}")
        ProcessGroup().leave()
        _part(store)
        return 1
    finally:
        ProcessGroup().leave()


@contextmanager
def _joined(order: Order, store: Store, seat: Seat, device: torch.device) -> Iterator[tuple[Work, Any, ProcessGroup]]:
    """What is to be done, once this process has met the others and the job has come to its machine."""
    if not order.leaders:
        work, job = order.job.open()
    store.set(f"{READY}/{seat.rank}", "")
    process_group = ProcessGroup.joined(store, seat.rank, seat.size, device=device, home=home(seat, order.peer))
    if not order.leaders:
        yield work, job, process_group
        return
    part = process_group.part(order.leaders)
    with received(order.job, part) if part else nullcontext() as place:
        if place is not None:
            tell_place(store, seat, place)
        work, job = _told_place(store, seat).open()
        process_group.meet()
        yield work, job, process_group


def tell_place(store: Store, seat: Seat, place: Shared) -> None:
    """Tell the others of this node where the job is."""
    store.set(f"{PARCEL}/{seat.node}", pickle.dumps(place).hex())


def _told_place(store: Store, seat: Seat) -> Shared:
    """Wait, without an end, for the job to come."""
    key = f"{PARCEL}/{seat.node}"
    while not store.check([key]):
        if store.check([FAILED]) or store.check([OVER]):
            raise ProcessLost("another process failed before the job had come")
        time.sleep(POLL_S)
    place: Shared = pickle.loads(bytes.fromhex(store.get(key).decode()))
    return place


def _reason(company: Company) -> str | None:
    """What a lost process said, or how it ended, which is known a moment after its connections close."""
    patience = time.monotonic() + REASON_S
    while (reason := _said(company.store) or company.ended()) is None and time.monotonic() < patience:
        time.sleep(POLL_S)
    return reason or (None if company.starts else _missing(company))


def _said(store: Store) -> str | None:
    with suppress(RuntimeError):
        if store.check([FAILED]):
            return str(store.get(FAILED).decode())
    return None


def _missing(company: Company) -> str | None:
    """The first of those that have not said that they miss others themselves."""
    with suppress(RuntimeError):
        for rank in range(1, company.size):
            if not company.store.check([f"{LEFT}/{rank}"]):
                host = next((f", on the node {node.host}," for node in company.nodes if node.has(rank)), "")
                return (
                    f"process {rank + 1} of the {company.size} that share the job{host} has ended: run again to go on "
                    "from what was kept"
                )
    return None


def _part(store: Store) -> int:
    """Leave the first process the time to end by itself; returns an exit code, 0 if it ended well."""
    patience = time.monotonic() + PARTING_S
    while time.monotonic() < patience:
        if store.check([OVER]):
            return 1 if store.get(OVER).decode() == LOST else 0
        time.sleep(POLL_S)
    return 1
