"""Steps of a fit on a machine that others use too, with threads that wait passively and with threads that spin.

The command line sets ``OMP_WAIT_POLICY=PASSIVE`` before torch is loaded. A spinning thread that waits for another holds
a core which that other may need. Each turn runs every variant in a process of its own, alone and beside one busy
process per core; printed are medians over turns of milliseconds per step, and their ratios.
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

VARIANTS = {"spinning (torch's default)": None, "passive (mofore's)": "PASSIVE"}
TURNS, STEPS = 5, 40
BUSY = "while True: pass"
STEP = "from benchmarks.shared_machine import one; one()"


def one() -> None:
    """Milliseconds of a step of preset ``default``, in this process."""
    import torch

    from mofore.data.settings import PRESETS, FitSettings
    from mofore.stages.fit.training import matrix_products
    from mofore.stages.frames.memory import FrameTensors

    from .forecasting import _table, bare_step

    settings = FitSettings(**{**PRESETS["default"], "neighbours": 0, "validations": 0, "tensorboard": "off"})
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
                for name, policy in VARIANTS.items():
                    taken[name, others].append(_measured(policy))
    print(f"\n| waiting threads | alone, ms a step | beside {cores} busy processes |\n|---|---|---|")
    for name in VARIANTS:
        print(f"| {name} | " + " | ".join(f"{statistics.median(taken[name, n]):.1f}" for n in (0, cores)) + " |")
    spinning, passive = VARIANTS
    ratios = [statistics.median(taken[spinning, n]) / statistics.median(taken[passive, n]) for n in (0, cores)]
    print("| steps as fast | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")


def _measured(policy: str | None) -> float:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_", "KMP_"))}
    if policy:
        environment["OMP_WAIT_POLICY"] = policy
    made = subprocess.run([sys.executable, "-c", STEP], env=environment, capture_output=True, text=True, check=True)
    return float(made.stdout)


if __name__ == "__main__":
    main()
