"""Signs of life between machines: one that loses its power or its network closes no connection.

gloo and NCCL would wait for it for minutes. So every process counts up a number in the store. The first one holds
those of the other machines against its clock, the others that of the first one; a second thread does so, since the
store itself may be what is silent. Who waits for a third one is told by the first that the run is lost.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping

from torch.distributed import Store

from .network import SILENT_S
from .order import LOST, OVER
from .process_group import abandon

BEAT_S = 1.0
ENDING_S = 5.0  # that a process which does not speak to the user has to end by itself


class Heartbeat:
    """Of one process; a context, in which the others are watched.

    Attributes:
        lost: which one was given up, in words; None while none was.
    """

    def __init__(
        self, connect: Callable[[], Store], rank: int, others: Mapping[int, str], *, silent_s: float = SILENT_S
    ) -> None:
        """Watch ``others``, by rank what they are called.

        Args:
            connect: makes a connection to the store of its own, since one serves one caller at a time.
            rank: of this process.
            others: that are watched.
            silent_s: after which one that says nothing is given up.
        """
        self.lost: str | None = None
        self._connect, self._rank, self._others, self._silent_s = connect, rank, others, silent_s
        self._over = threading.Event()
        self._heard = dict.fromkeys(others, time.monotonic())
        self._threads = [
            threading.Thread(target=each, name="mofore-heartbeat", daemon=True) for each in (self._beat, self._watch)
        ]

    def __enter__(self) -> Heartbeat:
        self._heard = dict.fromkeys(self._others, time.monotonic())
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()  # the threads end by themselves: the one at the store may be waiting for it

    def _beat(self) -> None:
        try:
            store, said, count = self._connect(), dict[int, bytes](), 0
            while not self._over.wait(BEAT_S):
                count += 1
                store.set(_key(self._rank), str(count))
                if self._rank and store.check([OVER]) and store.get(OVER).decode() == LOST:
                    self._give_up("another process")
                    return
                for rank in self._others:
                    if store.check([_key(rank)]) and (now := store.get(_key(rank))) != said.get(rank):
                        said[rank], self._heard[rank] = now, time.monotonic()
        except RuntimeError:  # the store is gone, or at its end; if it was needed, the watch finds out
            return

    def _watch(self) -> None:
        while not self._over.wait(BEAT_S):
            now = time.monotonic()
            for rank, name in self._others.items():
                if now - self._heard[rank] > self._silent_s:
                    self._give_up(f"{name} has not answered for {self._silent_s:.0f} s")
                    return

    def _give_up(self, lost: str) -> None:
        self.lost = self.lost or lost
        abandon()
        if self._rank and not self._over.wait(ENDING_S):
            os._exit(1)  # it waits for a store that does not answer either, and has nothing to keep


def _key(rank: int) -> str:
    return f"beat/{rank}"
