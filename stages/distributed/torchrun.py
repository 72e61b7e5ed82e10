"""The processes that torchrun started, on one machine or several.

The first one plans, talks, writes and holds the work folder's lock, as if it were alone, until there is something to
share. What it is then goes once to the first process of each other machine, block by block, into memory that the
processes there share. Rejected: that every machine reads the work folder for itself, which would need the folder, a
plan and a second look at the store there, and could find another one.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import torch
from torch.distributed import Store
from torch.distributed.rendezvous import rendezvous

from ...data.progress import Progress
from ...data.wording import counted, size_text
from ..machine.processes import PR_SET_PDEATHSIG, end_with_parent
from ..machine.shared_memory import Shared, shared
from .heartbeat import Heartbeat
from .network import end_when_silent
from .nodes import Node, hello, home, unused_gpus
from .order import OVER, PARTING_S, POLL_S, Company, Job, Order, Work, await_keys, do_order, leading, tell_place
from .parcel import send
from .process_group import PATIENCE_S, ProcessGroup
from .seat import Seat

ORDER = "order"  # in the store: what is to be done, empty if there is nothing (more)
GONE = "gone"  # in the store: the first process has told the user how it went
_spent = threading.Event()


@dataclass(frozen=True, slots=True)
class Launched:
    """The processes that torchrun started; this is the first of them."""

    size: int
    device: torch.device

    @contextmanager
    def at_work(self, job: Job, work: Work, *, progress: Progress) -> Iterator[tuple[Job, ProcessGroup]]:
        """Tell the others, who wait in :func:`assist`."""
        store, seat = _store(), Seat.here()
        _spent.set()
        with shared((work, job)) as place:
            nodes = _met(Company(store, self.size, self.device, lambda: None), seat, place, progress)
            peer = nodes[0].address if nodes else None
            leaders = (0, *(node.leader for node in nodes)) if nodes else ()
            order = Order(work, place, self.device.type, torch.get_num_threads(), leaders, peer)
            store.set(ORDER, pickle.dumps(order).hex())
            with _watched(nodes) as heart:
                lost = lambda: heart.lost if heart else None  # noqa: E731
                company = Company(store, self.size, self.device, lost, home(seat, peer), nodes)
                with leading(company, progress) as process_group:
                    if nodes:
                        _send(place, process_group, order, progress)
                    _, job = place.open()
                    yield job, process_group


def assist() -> int:
    """Do what the first process of torchrun's says, once; returns an exit code. Everything else is that one's."""
    end_with_parent()
    seat = Seat.here()
    try:
        store = _store()
        if seat.nodes > 1 and seat.leads:
            Node.here(seat).say(store, seat)
        while not store.check([ORDER]):
            time.sleep(4 * POLL_S)
        said = store.get(ORDER)
        return _assist(pickle.loads(bytes.fromhex(said.decode())), store, seat) if said else 0
    except RuntimeError:  # of the store: torchrun or the first process is gone
        return 1


def _assist(order: Order, store: Store, seat: Seat) -> int:
    """Do an order, under watch if that is of several machines."""
    if seat.nodes == 1:
        return _last(do_order(order, store, seat), store, seat)
    with Heartbeat(_connected, seat.rank, {0: "the first process"}) as heart:
        try:
            return _last(do_order(order, store, seat), store, seat)
        finally:
            if heart.lost:  # a thread may be waiting for the store, and would end the interpreter with a crash
                os._exit(1)


def _last(code: int, store: Store, seat: Seat) -> int:
    """Let the first process have its say before torchrun ends all of its machine since this one has failed."""
    patience = time.monotonic() + PARTING_S
    while code and seat.node == 0 and not store.check([GONE]) and time.monotonic() < patience:
        time.sleep(POLL_S)
    return code


def is_spent() -> bool:
    """Whether the others have been given a job by this process, after which they end."""
    return _spent.is_set()


def lead() -> None:
    """As the first process of torchrun's: stop when torchrun is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def dismiss() -> None:
    """As the first process of torchrun's: there is nothing (more) for the others to do."""
    with suppress(RuntimeError):  # torchrun is gone, and they with it
        store = _store()
        for key in (OVER, ORDER, GONE):
            if not store.check([key]):
                store.set(key, "")


def _met(company: Company, seat: Seat, place: Shared, progress: Progress) -> list[Node]:
    """The other nodes, once all have said what they are, and none is unfit."""
    if seat.nodes == 1:
        return []
    await_keys(company, [hello(number) for number in range(1, seat.nodes)], progress)
    first, nodes = Node.here(seat), [Node.heard(company.store, number) for number in range(1, seat.nodes)]
    for node in nodes:
        node.refuse_unfit(first, company.device, place.size)
    if note := unused_gpus(first, nodes, company.device):
        progress.note(note)
    return nodes


def _watched(nodes: list[Node]) -> Heartbeat | nullcontext[None]:
    """Signs of life of other nodes."""
    if not nodes:
        return nullcontext()
    return Heartbeat(_connected, 0, {node.leader: f"the node {node.host}" for node in nodes})


def _send(place: Shared, process_group: ProcessGroup, order: Order, progress: Progress) -> None:
    """Have the job on every machine, and opened by every process."""
    progress.note(f"sending {size_text(place.size)} to {counted(len(order.leaders) - 1, 'other node')}")
    part = process_group.part(order.leaders)
    assert part is not None
    send(place, part, progress.pulse)
    tell_place(_store(), Seat.here(), place)
    process_group.meet()


@cache
def _store() -> Store:
    return _connected()


def _connected() -> Store:
    """A connection to torchrun's store; the system ends it if the machine that has it falls silent."""
    store: Store = next(rendezvous("env://", timeout=timedelta(seconds=PATIENCE_S)))[0]
    if Seat.here().nodes > 1:
        end_when_silent()
    return store
