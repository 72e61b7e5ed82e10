"""Steps of a fit on a machine that others use too, by how threads wait for each other and by who chooses how many.

A thread that spins while it waits for another holds a core which that other may need, and one that sleeps wakes
late. A fit takes its steps with all threads or with one, whichever it finds faster at the time. Each turn runs every
variant in a process of its own, alone and beside one busy process per core: preset `default` on made-up features, steps
of a whole fit after its first hundred. Printed are medians over turns of milliseconds per step.

    python -m benchmarks.shared_machine [--turns 3] [--seconds 20]
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
from contextlib import contextmanager
from dataclasses import dataclass


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


def one(seconds: float, *, follows: bool) -> None:
    """Print milliseconds of a step in this process, over so many seconds after the first hundred."""
    from dataclasses import replace
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from mofore.data.fit_settings import FitSettings
    from mofore.data.presets import PRESETS
    from mofore.stages.fit import stage as fit
    from mofore.stages.fit.training import Training

    from .forecasting import Clock, made_up_table

    class Until(Clock):
        def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:
            super().advance(done, share, **figures)
            if time.perf_counter() - self.seen[0][0] > seconds:
                raise StopIteration

    if not follows:
        Training.follow_pace = lambda *_: None  # type: ignore[method-assign]
    settings = FitSettings(**{**PRESETS["default"], "passes": 0, "validations": 0, "tensorboard": "off"})
    clock = Until()
    with TemporaryDirectory() as folder:
        try:
            fit.run(replace(settings, steps=1_000_000), made_up_table(VIDEOS), Path(folder), progress=clock)
        except StopIteration:
            print(1e3 / clock.rate())


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
    asked = parser.parse_args(argv)
    cores = len(os.sched_getaffinity(0))
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


def _measured(variant: Variant, seconds: float) -> float:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_", "KMP_"))}
    step = f"from benchmarks.shared_machine import one; one({seconds}, follows={variant.follows})"
    line = [sys.executable, "-c", step]
    made = subprocess.run(line, env=kept | variant.given, capture_output=True, text=True, check=True)
    return float(made.stdout)


if __name__ == "__main__":
    main()
