"""Tasks that the first process of a team thinks of one after another, and all of it do.

Who waits for the next task, or for the others to be done with one, waits without an end, since either may take hours:
by looking into the store, not in a call of gloo's. A process that fails, ends or falls silent is found out meanwhile.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from typing import Any

from torch.distributed import Store

from .order import FAILED, OVER, POLL_S
from .process_group import ProcessGroup, ProcessLost, is_abandoned


class Tasks:
    """Of a process among others; each of them has one."""

    def __init__(self, process_group: ProcessGroup) -> None:
        assert process_group.store is not None
        self._store: Store = process_group.store
        self._rank, self._size = process_group.rank, process_group.size
        self._given = 0

    def all_do(self, task: object, own: Callable[[], object], pulse: Callable[[], object]) -> None:
        """As the first process: have the others do a task, which must pickle, beside this one's part of it.

        Args:
            task: what :meth:`given` of the others comes to.
            own: this process's part, in which it calls :meth:`look` every few seconds.
            pulse: called while the others are waited for.

        Raises:
            ProcessLost: if one of them fails or is lost.
        """
        self._say(task)
        own()
        self._await([_done(self._given, rank) for rank in range(1, self._size)], pulse)

    def end(self) -> None:
        """As the first process: there are no more."""
        self._say(None)

    def look(self) -> None:
        """Whether the others are still there, for who is at a task.

        Raises:
            ProcessLost: if one of them has failed, or is lost.
        """
        if is_abandoned() or any(self._store.check([key]) for key in (FAILED, OVER)):
            raise ProcessLost("another process of those that share the job has failed or ended")

    def given(self) -> Iterator[Any]:
        """As one of the others: each task, until there are no more; it counts as done when the next one is asked for.

        Raises:
            ProcessLost: if the first process, or another one, is lost.
        """
        while True:
            self._given += 1
            self._await([_task(self._given)], lambda: None)
            task = pickle.loads(bytes.fromhex(self._store.get(_task(self._given)).decode()))
            if task is None:
                return
            yield task
            self._store.set(_done(self._given, self._rank), "")

    def _say(self, task: object) -> None:
        self._given += 1
        self._store.set(_task(self._given), pickle.dumps(task).hex())

    def _await(self, keys: list[str], pulse: Callable[[], object]) -> None:
        while not self._store.check(keys):
            self.look()  # before the pulse, which stops a process that torchrun ends since another one has failed
            pulse()
            time.sleep(POLL_S)


def _task(number: int) -> str:
    return f"task/{number}"


def _done(number: int, rank: int) -> str:
    return f"done/{number}/{rank}"
