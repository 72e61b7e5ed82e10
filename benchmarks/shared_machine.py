"""Steps of a fit on a machine that others use too, by how long a thread that waits for another spins.

The command line sets ``GOMP_SPINCOUNT=10000`` before torch is loaded. A spinning thread that waits for another holds a
core which that other may need. Each turn runs every variant in a process of its own, alone and beside one busy process
per core; printed are medians over turns of milliseconds per step.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

VARIANTS: dict[str, dict[str, str]] = {
    "torch's default": {},
    "soon asleep (mofore's)": {"GOMP_SPINCOUNT": "10000"},
    "asleep at once": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
TURNS, STEPS = 3, 60
BUSY = "while True: pass"
STEP = "from benchmarks.shared_machine import one; one()"


def one() -> None:
    """Milliseconds of a step of preset ``plain``, in this process."""
    import torch

    from mofore.data.fit_settings import FitSettings
    from mofore.data.presets import PRESETS
    from mofore.stages.fit.training import matrix_products
    from mofore.stages.frames.memory import FrameTensors

    from .forecasting import _table, bare_step

    settings = FitSettings(**{**PRESETS["plain"], "neighbours": 0, "validations": 0, "tensorboard": "off"})
    memory = FrameTensors.of(_table(), torch.device("cpu"))
    take = bare_step(settings, memory)
    with torch.no_grad(), matrix_products(settings.precision, memory.device):
        for number in range(5):
            take(number)
        begun = time.perf_counter()
        for number in range(STEPS):
            take(number)
    print((time.perf_counter() - begun) / STEPS * 1e3)


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


def main() -> None:
    """Print a table."""
    cores = len(os.sched_getaffinity(0))
    taken: dict[tuple[str, int], list[float]] = defaultdict(list)
    for _ in range(TURNS):
        for others in (0, cores):
            with busy(others):
                for name, given in VARIANTS.items():
                    taken[name, others].append(_measured(given))
    print(f"\n| waiting threads | alone, ms a step | beside {cores} busy processes |\n|---|---|---|")
    for name in VARIANTS:
        print(f"| {name} | " + " | ".join(f"{statistics.median(taken[name, n]):.1f}" for n in (0, cores)) + " |")


def _measured(given: dict[str, str]) -> float:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_", "KMP_"))}
    made = subprocess.run([sys.executable, "-c", STEP], env=kept | given, capture_output=True, text=True, check=True)
    return float(made.stdout)


if __name__ == "__main__":
    main()
