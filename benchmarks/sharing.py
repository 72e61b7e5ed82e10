"""What a second process adds to `mofore extract`: its own, a second part of the videos, a second node of a Ray cluster.

The same clips are extracted into a new folder by each way in turn, so that a machine that is now faster and now slower
is so for all. A process that stands for a machine of one core is held on that core by taskset (Linux). Times are those
of the whole command, from its start to its end; rates are what the log says of the work after loading and choosing, of
two commands their sum. Every store is held against the first one, bit for bit.

    python -m benchmarks.sharing [VIDEOS] [--turns 3] [--no-ray]
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mofore.tests.trials.work import Trial, differing

from .shared_machine import spread

CLIPS = Path(__file__).resolve().parents[2] / "shared" / "data" / "ucf101-mini" / "videos"
SETTINGS = ("extract.precision=fp32", "extract.compile=off", "extract.processes=1")
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
Way = Callable[[Trial], list["subprocess.Popen[str]"]]


def one_core(trial: Trial) -> list[subprocess.Popen[str]]:
    """One process that has one core."""
    return [_on_core(trial, 0)]


def one_process(trial: Trial) -> list[subprocess.Popen[str]]:
    """One process that has all cores."""
    return [trial.start("extract")]


def own(trial: Trial) -> list[subprocess.Popen[str]]:
    """The command with the processes that it starts by itself."""
    return [trial.start("extract", "--set", "extract.processes=0")]


def parts(trial: Trial) -> list[subprocess.Popen[str]]:
    """Two parts of the videos, a core each."""
    return [_on_core(trial, core, "--part", f"{core + 1}/2") for core in range(2)]


def _on_core(trial: Trial, core: int, *options: str) -> subprocess.Popen[str]:
    return trial.start("extract", *options, prefix=("taskset", "-c", str(core)))


@contextmanager
def ray_nodes(wanted: int) -> Iterator[Way]:
    """A cluster of some nodes of one core, which is there before the time begins."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        for _ in range(wanted - 1):
            cluster.add_node(**NODE)
        yield lambda trial: [trial.start("extract", "--ray", cluster.address)]
    finally:
        cluster.shutdown()


@dataclass(frozen=True)
class Took:
    """What one extraction took: seconds of the command, and frames a second at work."""

    seconds: float
    rate: float


def measure(ways: Mapping[str, Way], videos: Path, work: Path, *, backbone: str, turns: int) -> dict[str, list[Took]]:
    """What every way took, by turn."""
    settings = [word for value in SETTINGS for word in ("--set", value)]
    first = Trial(work / "first")
    _ended([first.start("init", str(videos), "--backbone", backbone, "--no-estimate", *settings)])
    took: dict[str, list[Took]] = {name: [] for name in ways}
    expected: dict[str, Any] = {}
    for _ in range(turns):
        for name, way in ways.items():
            trial = Trial(work / "again")
            shutil.rmtree(trial.root, ignore_errors=True)
            trial.root.mkdir()
            shutil.copy(first.root / "mofore.toml", trial.root)
            begin = time.perf_counter()
            _ended(way(trial))
            took[name].append(Took(time.perf_counter() - begin, _rate(trial.root)))
            print(f"{name}: {took[name][-1]}", file=sys.stderr, flush=True)
            found = trial.features()
            expected = expected or found
            if differing(found, expected):
                raise SystemExit(f"{name}: other features than {next(iter(ways))} has")
    return took


def _rate(root: Path) -> float:
    said = "".join(path.read_text() for path in root.glob("*.log"))
    return sum(float(rate.replace(",", "")) for rate in re.findall(r"extract +done .* frames, ([\d,]+) frames/s", said))


def _ended(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        _, said = process.communicate()
        if process.returncode:
            raise SystemExit(f"exit code {process.returncode}:\n{said}")


def print_table(took: Mapping[str, list[Took]], base: str) -> None:
    """Medians, with ranges, and ratios to one way within each turn."""
    print("| what | s | times as fast | frames/s at work | times as fast |\n|---|---|---|---|---|")
    for name, turns in took.items():
        pairs = list(zip(took[base], turns, strict=True))
        whole, rate = (
            [first.seconds / one.seconds for first, one in pairs],
            [one.rate / first.rate for first, one in pairs],
        )
        cells = [spread([one.seconds for one in turns], 1), spread(whole, 2)]
        cells += [spread([one.rate for one in turns], 0), spread(rate, 2)]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="?", default=CLIPS)
    parser.add_argument("--backbone", default="random:mobilenetv3_small_100")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--no-ray", action="store_true")
    asked = parser.parse_args()
    ways: dict[str, Way] = {
        "one process, one core": one_core,
        "one process, all cores": one_process,
        "its own processes": own,
        "two parts, a core each": parts,
    }
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"backbone": asked.backbone, "turns": asked.turns}
        if asked.no_ray:
            took = measure(ways, asked.videos, Path(folder), **options)
        else:
            with ray_nodes(2) as cluster:
                ways["Ray, two nodes of one core"] = cluster
                took = measure(ways, asked.videos, Path(folder), **options)
    print_table(took, "one process, one core")


if __name__ == "__main__":
    main()
