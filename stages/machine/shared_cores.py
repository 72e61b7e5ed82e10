"""How many threads a step uses on a machine that other programs use too.

Threads of a product wait for each other at its end. While another program has the core of one of them, the others wait
until the system takes it back, some milliseconds for a product of microseconds: one thread, which goes on by itself, is
then faster than all. Which it is now is measured, since neither load nor free cores tell it.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

TRIED = 8  # steps with the other number of threads, and the latest ones with this number
CLEAR = 3  # of them: all slower than usual, and the rest are spared
FIRST_S = 1.0  # before the first look
LOOK_S, SPARED = 5.0, 40  # between two looks at least: so many seconds, and so many times what the look took
OFTEN_S = 60.0  # between two looks where the pace has stayed what it was
CHANGED = 1.25  # times faster or slower is another pace
BETTER = 0.9  # of the time of a step, for a change


class ThreadsByPace:
    """All threads of torch, or one, whichever takes a step sooner; looked at for some steps when the pace changes.

    Args:
        clock: seconds.
        use: sets the number of threads.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, use: Callable[[int], None] = torch.set_num_threads
    ) -> None:
        self.all, self.clock, self.use = torch.get_num_threads(), clock, use
        self.chosen = self.now = self.all
        self.seconds, self.usual_s = deque[float](maxlen=TRIED), 0.0
        self.woken = True  # not by the next step
        self.latest = self.looked = clock()
        self.pause_s = FIRST_S

    def took(self) -> None:
        """A step is done."""
        now = self.clock()
        if self.woken:
            self.seconds.append(now - self.latest)
        self.woken, self.latest = True, now
        if self.now != self.chosen:
            if len(self.seconds) == TRIED or (len(self.seconds) >= CLEAR and min(self.seconds) > self.usual_s):
                self._judge(statistics.median(self.seconds))
        elif now - self.looked > self.pause_s and len(self.seconds) == TRIED:
            lately_s = statistics.median(self.seconds)
            changed = not self.usual_s / CHANGED < lately_s < self.usual_s * CHANGED
            if changed or now - self.looked > OFTEN_S:
                self.usual_s, self.looked = lately_s, now
                self._go_on(1 if self.chosen == self.all else self.all)

    def _judge(self, other_s: float) -> None:
        if other_s < BETTER * self.usual_s:
            self.chosen, self.usual_s = self.now, other_s
        now = self.clock()
        self.pause_s, self.looked = max(LOOK_S, SPARED * (now - self.looked)), now
        self._go_on(self.chosen)

    def _go_on(self, threads: int) -> None:
        self.now, self.woken = threads, False
        self.seconds.clear()
        self.use(threads)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """All threads, for sums whose last bits follow from how many there are."""
        self.use(self.all)
        try:
            yield
        finally:
            self.use(self.now)

    def close(self) -> None:
        """As it was before."""
        self.use(self.all)
