"""How many threads a short piece of work takes: as many as prove fastest, tried anew now and then.

Threads wait for each other at the end of each piece. On a machine of one's own that costs microseconds; where another
process has a core, each wait is as long as that process is let run, and one thread alone is many times as fast.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

TRIED = 32  # pieces for each number of threads; their median counts, since one of them may be disturbed
ENOUGH = 5  # pieces that show that a number is hopeless:
HOPELESS = 3.0  # so many times slower than the best
HOLDS_S = 30.0  # before they are tried again


class ThreadCount:
    """Chooses among 1, 2, 4 ... ``most`` threads; only for work whose result does not depend on it.

    Attributes:
        count: threads that the next piece is to take.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.choices = sorted({most, *(1 << power for power in range(most.bit_length()) if 1 << power <= most)})
        self.count, self._began, self._chosen_at = most, 0.0, 0.0
        self._untried: list[int] = list(self.choices)
        self._spent_s: dict[int, list[float]] = {}

    def begin(self) -> None:
        """A piece begins."""
        self._began = self.clock()
        if not self._untried and len(self.choices) > 1 and self._began - self._chosen_at > HOLDS_S:
            self._untried, self._spent_s = list(self.choices), {}
        if self._untried:
            self.count = self._untried[0]

    def end(self) -> None:
        """The piece has ended."""
        if not self._untried:
            return
        now, spent_s = self.clock(), self._spent_s.setdefault(self.count, [])
        spent_s.append(now - self._began)
        if len(spent_s) < TRIED and not self._is_hopeless(spent_s):
            return
        self._untried.pop(0)
        if not self._untried:
            self.count = min(self.choices, key=lambda count: median(self._spent_s[count]))
            self._chosen_at = now

    def _is_hopeless(self, spent_s: list[float]) -> bool:
        best_s = min(map(median, self._spent_s.values()))
        return len(spent_s) >= ENOUGH and median(spent_s) > HOPELESS * best_s
