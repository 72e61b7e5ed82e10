"""Kill nodes, actors, extracting processes and drivers of `mofore extract --ray` at random times; look what is left.

python -m mofore.tests.trials.cluster VIDEOS WORK --kills 20

A cluster of three nodes is started on this machine. A run that was hit comes to its end by itself, but where the driver
was killed: then it is started again. Every finished store is held against that of one process.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .kill import _again, _new
from .work import Trial, differing

KINDS = ("driver", "process", "node", "actor")
SMALL = {"num_cpus": 1, "object_store_memory": 80 << 20}
START_S = 8.0  # that actors take to be at work, about


@dataclass
class Hits:
    """What killing one kind of thing showed; all but ``kills`` and ``again`` must be zero."""

    kills: int = 0
    again: int = 0  # videos that were published twice, one copy of which was deleted or merged away
    missing_or_other: int = 0  # videos that are not there, or have other bits
    twice: int = 0  # videos that are in the finished store twice
    exit_codes: int = 0  # runs that did not end with 0 by themselves, the driver's own death apart
    left_files: int = 0
    left_processes: int = 0


@dataclass
class Nodes:
    """A cluster of this machine, and what runs on it."""

    cluster: Any
    wanted: int = 3
    heads: list[Any] = field(default_factory=list)

    def replenish(self) -> None:
        """As many nodes as there were."""
        while len(self.cluster.list_all_nodes()) < self.wanted:
            self.cluster.add_node(**SMALL)

    def raylets(self) -> list[int]:
        """Ray's own process of each node."""
        return [node.all_processes["raylet"][0].process.pid for node in self.cluster.list_all_nodes()]

    def actors(self) -> list[int]:
        """Workers of Ray that are an actor of mofore."""
        parents = _parents()
        return [pid for pid in parents if parents[pid] in self.raylets() and _command(pid).startswith("ray::RayActor")]

    def extracting(self) -> list[int]:
        """Processes that the actors have started."""
        parents, actors = _parents(), self.actors()
        found = [pid for pid in parents if parents[pid] in actors]
        return [pid for pid in found if "spawn_main" in _command(pid)]


def kill_on_a_cluster(
    videos: Path, work: Path, *, kills: int, seed: int, options: tuple[str, ...], shard_s: float = 1.0
) -> dict[str, Hits]:
    """Kill ``kills`` times, every kind as often, one kill to a run."""
    from ray.cluster_utils import Cluster

    draw, hits = random.Random(seed), {kind: Hits() for kind in KINDS}
    whole = _new(work / "whole", videos, (*options, "--set", f"extract.shard_seconds={shard_s}"))
    begin = time.monotonic()
    whole.run("extract")
    run_s, expected = time.monotonic() - begin, whole.features()
    nodes = Nodes(Cluster(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False}))
    try:
        for number in range(kills):
            nodes.replenish()
            kind, trial = KINDS[number % len(KINDS)], _again(whole, work / "cut")
            _hit(kind, nodes, trial, hits[kind], (draw, run_s))
            _compare(hits[kind], nodes, trial, expected)
            print(number + 1, kind, hits[kind], file=sys.stderr, flush=True)
    finally:
        nodes.cluster.shutdown()
    return hits


def _hit(kind: str, nodes: Nodes, trial: Trial, hits: Hits, when: tuple[random.Random, float]) -> None:
    draw, run_s = when
    driver = trial.start("extract", "--ray", nodes.cluster.address)
    patience = time.monotonic() + 120
    while driver.poll() is None and not nodes.extracting() and time.monotonic() < patience:
        time.sleep(0.05)
    time.sleep(draw.uniform(0, START_S + run_s / 3))
    if driver.poll() is None and _kill(kind, nodes, driver.pid, draw):
        hits.kills += 1
    code = driver.wait()
    driver.communicate()
    if kind == "driver" and code < 0:
        code = trial.run("extract", "--ray", nodes.cluster.address)[0]
    hits.exit_codes += code != 0


def _kill(kind: str, nodes: Nodes, driver: int, draw: random.Random) -> bool:
    """Whether there was something to kill."""
    if kind == "node":
        nodes.cluster.remove_node(draw.choice(sorted(nodes.cluster.worker_nodes, key=str)), allow_graceful=False)
        return True
    found = {"actor": nodes.actors, "process": nodes.extracting, "driver": lambda: [driver]}[kind]()
    if found:
        os.kill(draw.choice(found), signal.SIGKILL)
    return bool(found)


def _compare(hits: Hits, nodes: Nodes, trial: Trial, expected: dict[str, Any]) -> None:
    end = time.monotonic() + 10
    while nodes.extracting() and time.monotonic() < end:
        time.sleep(0.1)
    hits.left_processes += len(nodes.extracting())
    hits.left_files += len(trial.leftovers())
    hits.missing_or_other += len(differing(trial.features(), expected))
    stored = Counter(name for path in trial.root.glob("features/*/*.h5") for name in Trial.ids(path))
    hits.twice += sum(count > 1 for count in stored.values())
    lines = [json.loads(line) for line in (trial.root / "ledger.jsonl").read_text().splitlines()]
    shards = [[row[0] for row in line["videos"]] for line in lines if line["kind"] == "shard"]
    merged = [names for names in shards if len(names) == len(expected)]
    single = Counter(name for names in shards if names not in merged for name in names)
    hits.again += sum(count > 1 for count in single.values())


def _parents() -> dict[int, int]:
    """Of every process, which one started it."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it ended meanwhile
            continue
        if state != "Z":
            found[int(folder.name)] = int(parent)
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def main() -> None:
    """Run the trial and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backbone", default="random:test_vit")
    given = parser.parse_args()
    shutil.rmtree(given.work, ignore_errors=True)
    options = ("--backbone", given.backbone, "--set", "extract.precision=fp32")
    hits = kill_on_a_cluster(given.videos, given.work, kills=given.kills, seed=given.seed, options=options)
    for kind, told in hits.items():
        print(f"{kind:<8} {told}")


if __name__ == "__main__":
    main()
