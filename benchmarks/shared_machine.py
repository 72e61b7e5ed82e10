"""Steps of a fit on a machine that others use too, by how threads wait for each other and by who chooses how many.

A thread that spins while it waits for another holds a core which that other may need, and one that sleeps wakes
late. A fit takes its steps with all threads or with one, whichever it finds faster at the time. Each turn runs every
variant in a process of its own, alone and beside one busy process per core: preset `default` on made-up features, steps
of a whole fit after its first hundred. Printed are medians over turns of milliseconds per step.

Processes differ from each other by several percent, so `--paired` holds the two that matter against each other within
one fit, whose steps follow the pace and don't by turns.

    python -m benchmarks.shared_machine [--turns 3] [--seconds 20] [--paired]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from mofore.data.fit_settings import FitSettings
from mofore.data.presets import PRESETS
from mofore.data.progress import Progress, Silent
from mofore.stages.fit import stage as fit
from mofore.stages.fit.training import Training
from mofore.stages.machine.shared_cores import ThreadsByPace

from .forecasting import Clock, made_up_table


@dataclass(frozen=True)
class Variant:
    """Environment of the process, and whether the number of threads follows the pace."""

    given: dict[str, str]
    follows: bool = False


VARIANTS = {
    "torch's defaults": Variant({}),
    "soon asleep": Variant({"GOMP_SPINCOUNT": "10000"}),
    "asleep at once": Variant({"OMP_WAIT_POLICY": "PASSIVE"}),
    "one thread": Variant({"OMP_NUM_THREADS": "1"}),
    "torch's defaults, following the pace (mofore's)": Variant({}, follows=True),
    "soon asleep, following the pace": Variant({"GOMP_SPINCOUNT": "10000"}, follows=True),
}
BUSY = "while True: pass"
VIDEOS = 1000
WARM_STEPS = 100


def one(seconds: float, *, follows: bool) -> None:
    """Print milliseconds of a step in this process, over so many seconds after the first hundred."""

    class Until(Clock):
        def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:
            super().advance(done, share, **figures)
            if time.perf_counter() - self.seen[0][0] > seconds:
                raise StopIteration

    if not follows:
        Training.follow_pace = lambda *_: None  # type: ignore[method-assign]
    clock = Until()
    with suppress(StopIteration):
        _endless_fit(clock)
    print(1e3 / clock.rate())


def _endless_fit(progress: Progress) -> None:
    settings = {**PRESETS["default"], "passes": 0, "validations": 0, "tensorboard": "off", "steps": 1_000_000}
    with TemporaryDirectory() as folder:
        fit.run(FitSettings(**settings), made_up_table(VIDEOS), Path(folder), progress=progress)


class Turns:
    """Lets a fit follow the pace in every second window of some seconds, and notes the milliseconds of a step in each.

    Args:
        seconds: of a window.
        pairs: of windows, until the fit is stopped.
    """

    def __init__(self, seconds: float, pairs: int) -> None:
        self.seconds, self.left = seconds, 2 * pairs
        self.pace: ThreadsByPace | None = None
        self.begun, self.steps = 0.0, -WARM_STEPS

    def took(self, training: Training) -> None:
        """A step is done."""
        now = time.perf_counter()
        self.steps += 1
        if self.steps <= 0:
            self.begun = now
        elif now - self.begun >= self.seconds:
            print(1e3 * (now - self.begun) / self.steps, flush=True)
            self.left -= 1
            if not self.left:
                raise StopIteration
            self._turn(training)
            self.begun, self.steps = now, -1  # the next step wakes the threads

    def _turn(self, training: Training) -> None:
        if training.threads:
            self.pace, training.threads = training.threads, None
            torch.set_num_threads(self.pace.all)
        elif self.pace:
            training.threads = self.pace
            torch.set_num_threads(self.pace.now)


def pairs(seconds: float, count: int) -> None:
    """Print milliseconds of a step in each window: following the pace, all threads, following, and so on."""
    turns, take = Turns(seconds, count), Training.take_step

    def counted(training: Training, batch: Any) -> Any:
        figures = take(training, batch)
        turns.took(training)
        return figures

    Training.take_step = counted  # type: ignore[method-assign]
    with suppress(StopIteration):
        _endless_fit(Silent())


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that do nothing but use a core."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main(argv: list[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--only", nargs="*", choices=sorted(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--paired", action="store_true", help="the two that matter, by turns within one fit")
    asked = parser.parse_args(argv)
    cores = len(os.sched_getaffinity(0))
    if asked.paired:
        for others in (0, cores):
            with busy(others):
                _print_pairs(others, asked.turns, asked.seconds)
        return
    taken: dict[tuple[str, int], list[float]] = defaultdict(list)
    for turn in range(asked.turns):
        for others in (0, cores):
            with busy(others):
                for name in asked.only:
                    took = _measured(VARIANTS[name], asked.seconds)
                    taken[name, others].append(took)
                    print(f"{turn + 1}, {others} busy, {name}: {took:.1f} ms", file=sys.stderr, flush=True)
    print(f"\n| threads | alone, ms a step | beside {cores} busy processes |\n|---|---|---|")
    for name in asked.only:
        print(f"| {name} | " + " | ".join(spread(taken[name, n]) for n in (0, cores)) + " |")


def spread(values: list[float], digits: int = 1) -> str:
    """Median, least and greatest."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _print_pairs(others: int, turns: int, seconds: float) -> None:
    found = _told(f"pairs({seconds}, {turns})", {})
    follows, fixed = found[::2], found[1::2]
    ratios = [b / a for a, b in zip(follows, fixed, strict=True)]
    print(f"beside {others} busy processes, {turns} pairs of {seconds:g} s, ms a step: all threads {spread(fixed)}, ")
    print(f"following the pace {spread(follows)}; times as fast, by pairs: {spread(ratios, 2)}", flush=True)


def _measured(variant: Variant, seconds: float) -> float:
    return _told(f"one({seconds}, follows={variant.follows})", variant.given)[0]


def _told(call: str, given: dict[str, str]) -> list[float]:
    """Numbers that a call of this module prints in a process of its own, with torch's defaults but for ``given``."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_", "KMP_"))}
    line = [sys.executable, "-c", f"from benchmarks import shared_machine; shared_machine.{call}"]
    made = subprocess.run(line, env=kept | given, capture_output=True, text=True, check=True)
    return [float(number) for number in made.stdout.split()]


if __name__ == "__main__":
    main()
