"""A sweep over eight seeds of the preset `default`, beside eight commands that make the same runs.

1,865 made-up videos of 25 frames of width 512 (or features of your own: ``python -m benchmarks.sweep FEATURES
SPLITS``), as commands from start to end. Both ways begin from copies of one work folder and take turns; a ratio is the
median of the turns. Processor time is told beside wall time, since it hardly depends on what else the machine does.
"""

from __future__ import annotations

import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

SEEDS, TURNS = 8, 3
CLASSES, GROUPS, VIDEOS, FRAMES, WIDTH = 14, 25, 1_865, 25, 512


def mofore(*args: object) -> tuple[float, float]:
    """Run a command; its wall time and processor time, seconds."""
    begin, before = time.perf_counter(), _processor_s()
    subprocess.run([sys.executable, "-m", "mofore", *map(str, args)], check=True, capture_output=True)
    return time.perf_counter() - begin, _processor_s() - before


def turn(base: Path, folder: Path, one: str, several: tuple[str, ...]) -> tuple[tuple[float, float], ...]:
    """Wall and processor time of a command for each seed, and of one sweep."""
    for name in ("one by one", "together"):
        shutil.copytree(base, folder / name)
    each = [mofore(one, "-w", folder / "one by one", "--set", f"fit.seed={seed}") for seed in range(SEEDS)]
    seeds = ",".join(map(str, range(SEEDS)))
    together = mofore("sweep", *several, "-w", folder / "together", "--set", f"fit.seed={seeds}")
    for name in ("one by one", "together"):
        shutil.rmtree(folder / name)
    return (sum(wall for wall, _ in each), sum(processor for _, processor in each)), together


def main(features: str = "", *splits: str) -> None:
    """Print the table."""
    print("\n## Sweep\n")
    print(f"| {SEEDS} seeds | one by one s | sweep s | wall ratio | one by one, CPU s | sweep, CPU s | CPU ratio |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as root:
        folder, base = Path(root), Path(root) / "base"
        given = Path(features) if features else _made_up(folder / "features.npz")
        mofore("import", given, *(("--splits", *splits) if splits else ()), "-w", base)
        for name, one, several in (("fit", "fit", ("--only-fit",)), ("fit and metrics", "evaluate", ())):
            figures = defaultdict[str, list[float]](list)
            for _ in range(TURNS):
                alone, together = turn(base, folder, one, several)
                for what, here, there in zip(("wall", "CPU"), alone, together, strict=True):
                    figures[f"{what} alone"].append(here)
                    figures[f"{what} together"].append(there)
                    figures[f"{what} ratio"].append(there / here)
            found = {what: statistics.median(values) for what, values in figures.items()}
            cells = [
                f"{found[f'{what} {of}']:.{2 if of == 'ratio' else 1}f}"
                for what in ("wall", "CPU")
                for of in ("alone", "together", "ratio")
            ]
            print("|", " | ".join([name, *cells]), "|", flush=True)


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _made_up(path: Path) -> Path:
    """Classes and recordings have directions of their own, and so has each video and what changes in it."""
    rng = np.random.default_rng(0)
    video_V = np.arange(VIDEOS)
    class_V, group_V = video_V % CLASSES, video_V // CLASSES % GROUPS
    looks_VD = (
        rng.standard_normal((CLASSES, WIDTH))[class_V]
        + rng.standard_normal((CLASSES * GROUPS, WIDTH))[class_V * GROUPS + group_V]
    )
    looks_VD += rng.standard_normal((VIDEOS, WIDTH))
    drift_VD = 0.5 * rng.standard_normal((VIDEOS, WIDTH))
    share_T = np.linspace(0, 1, FRAMES)[:, None]
    features = np.concatenate([looks + share_T * drift for looks, drift in zip(looks_VD, drift_VD, strict=True)])
    ids = [f"v_Class{c:02d}_g{g + 1:02d}_c{v:04d}" for c, g, v in zip(class_V, group_V, video_V, strict=True)]
    np.savez(path, features=features.astype(np.float16), lengths=np.full(VIDEOS, FRAMES), ids=np.array(ids))
    return path


if __name__ == "__main__":
    main(*sys.argv[1:])
