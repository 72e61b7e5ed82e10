"""Extraction by the nodes of a Ray cluster: three of them here, on one machine."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mofore.data.errors import StageError
from mofore.data.progress import Silent
from mofore.stages.extract import ray_cluster, units
from mofore.stages.extract import stage as extract
from mofore.stages.extract.ray_cluster import Seats

from .test_stage import SETTINGS, Job
from .watched_reader import KILLER, READ, watched

ray: Any = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("default")  # Ray's own are not mofore's to mend
SMALL = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes of one core each; what a test takes away it puts back."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False})
    for _ in range(2):
        nodes.add_node(**SMALL)
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture
def job(drawn: Path, tmp_path: Path) -> Job:
    shutil.copytree(drawn, tmp_path / "videos")
    return Job(tmp_path / "videos", tmp_path / "work")


@pytest.fixture(scope="module")
def whole(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What one process makes."""
    alone = Job(drawn, tmp_path_factory.mktemp("whole"))
    alone.run()
    return alone.features()


def run(job: Job, progress: Silent | None = None) -> extract.ExtractResult:
    inputs = extract.ExtractInputs(job.catalog.root, job.catalog.videos, None, cluster=True)
    settings = replace(SETTINGS, device="cpu", shard_seconds=0.0)
    progress = progress or Silent()
    return extract.run(settings, inputs, store=job.store, ledger=job.ledger, progress=progress, read=watched)


def published(job: Job) -> Counter[str]:
    """How often each video was published by who extracted it: the shard that all were merged into comes last."""
    lines = [json.loads(line) for line in job.ledger.path.read_text().splitlines()]
    *first, _ = [line for line in lines if line["kind"] == "shard"]
    return Counter(row[0] for line in first for row in line["videos"])


def raylet_of(node: Any) -> str:
    """What a node is known by to the processes on it: the id of Ray's own process there."""
    return str(node.all_processes["raylet"][0].process.pid)


class Lightning(Silent):
    """Takes a node away in the middle of its work: some of what it read is stored, some is not."""

    def __init__(self, cluster: Any, job: Job) -> None:
        self.cluster, self.job = cluster, job
        self.struck, self.safe, self.notes = "", set[str](), list[str]()
        self.done = 0

    def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:
        self.done += done
        safe = {Path(v.id).stem for record in self.job.ledger.shards.get("enc", {}).values() for v in record.videos}
        for node in self.cluster.worker_nodes if not self.struck else ():
            read = {word.name for word in (self.job.catalog.root.parent / READ / raylet_of(node)).glob("*")}
            if read & safe and read - safe:
                self.struck, self.safe = raylet_of(node), safe
                self.cluster.remove_node(node, allow_graceful=False)
                break

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_a_node_that_is_killed_costs_no_video_and_no_bit(
    cluster: Any, job: Job, whole: dict[str, np.ndarray], tmp_path: Path
) -> None:
    told = Lightning(cluster, job)
    try:
        result = run(job, told)
    finally:
        cluster.add_node(**SMALL)
    assert told.struck, "it was hit while at work"
    assert any("lost an actor on the node" in note for note in told.notes), told.notes
    assert (result.videos, result.frames, result.failures, told.done) == (20, 480, [], 20)
    features = job.features()
    assert features.keys() == whole.keys()
    assert all(np.array_equal(features[name], whole[name]) for name in whole)
    assert published(job) == Counter(whole.keys()), "every video once"
    by_others = {word.name for word in (tmp_path / READ).glob("*/*") if word.parent.name != told.struck}
    by_the_lost = {word.name for word in (tmp_path / READ / told.struck).glob("*")}
    assert not told.safe & by_the_lost & by_others, "what it had published was read again"
    assert [path.name for path in job.store.folder.iterdir() if path.suffix == ".tmp"] == []


@pytest.mark.usefixtures("cluster")
def test_a_video_that_kills_is_recorded_and_the_others_are_done(
    job: Job, whole: dict[str, np.ndarray], drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "DEATHS", 1)
    first = next(iter(whole))
    shutil.copy(drawn / first, job.catalog.root / KILLER)
    job = Job(job.catalog.root, job.store.folder.parent)
    result = run(job)
    assert [(failure.video_id, failure.reason) for failure in result.failures] == [(KILLER, ray_cluster.KILLS)]
    assert job.ledger.failures["enc"].keys() == {KILLER}
    features = job.features()
    assert features.keys() == whole.keys()
    assert all(np.array_equal(features[name], whole[name]) for name in whole)


@pytest.mark.usefixtures("cluster")
def test_an_interrupt_keeps_what_is_finished_and_a_run_without_a_cluster_goes_on(
    job: Job, whole: dict[str, np.ndarray]
) -> None:
    class StopsAfterThree(Silent):
        done = 0

        def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:
            self.done += done

        def pulse(self) -> None:
            if self.done >= 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(job, StopsAfterThree())
    kept = {video.id for record in job.ledger.shards["enc"].values() for video in record.videos}
    assert 3 <= len(kept) < 20
    assert sorted(job.features()) == sorted(kept)
    job.catalog = replace(job.catalog, videos=tuple(v for v in job.catalog.videos if v.id not in kept))
    job.run()  # on this machine alone
    features = job.features()
    assert all(np.array_equal(features[name], whole[name]) for name in whole)


@pytest.mark.usefixtures("cluster")
def test_a_node_with_other_versions_or_another_disk_is_refused(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ray_cluster.installed(ray_cluster.DECIDING)
    monkeypatch.setattr(ray_cluster, "installed", lambda _: {**real, "torch": "1.0"})
    with pytest.raises(
        StageError, match=rf"has torch {re.escape(real['torch'])}, and the driver torch 1.0, so features could differ"
    ):
        run(job)
    assert not job.store.shard_files()


def test_a_node_has_an_actor_for_each_gpu_or_group_of_cores() -> None:
    of = Seats.of
    assert of({"CPU": 32, "GPU": 4}, gpu=True, most=0) == Seats(4, 8, 1)
    assert of({"CPU": 2, "GPU": 4}, gpu=True, most=0) == Seats(4, 0, 1)
    assert of({"CPU": 32, "GPU": 4}, gpu=True, most=2) == Seats(2, 16, 1)
    assert of({"CPU": 32}, gpu=True, most=0) == Seats(0, 0, 1)
    assert of({"CPU": 32}, gpu=False, most=0) == Seats(4, 8, 0)
    assert of({"CPU": 2}, gpu=False, most=0) == Seats(2, 1, 0)
    assert of({}, gpu=False, most=3) == Seats(0, 0, 0)
