"""Two real processes at one fit, over gloo."""

import json
import multiprocessing
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributed import HashStore

from mofore.cache.checkpoint import load_latest
from mofore.data.errors import ConfigError, StageError
from mofore.data.fit_settings import FitSettings
from mofore.data.progress import Silent
from mofore.stages.distributed import launch as team
from mofore.stages.distributed import process_group as groups
from mofore.stages.distributed.launch import Spawned, pick_team
from mofore.stages.distributed.process_group import ProcessGroup, ProcessLost
from mofore.stages.distributed.torchrun import Launched
from mofore.stages.fit import stage as fit
from mofore.stages.machine.shared_memory import shared
from mofore.tests.stages import teamwork
from mofore.tests.stages.memory import table

CPU = torch.device("cpu")
TABLE = table([20, 25, 30, 18, 40, 22, 26, 35, 33, 19])
SETTINGS = FitSettings(
    steps=60,
    clip_length=4,
    gap_max=4,
    embedding_width=8,
    hidden_width=8,
    lr=1e-2,
    checkpoint_seconds=0.0,
    keep_checkpoints=100,
    precision="fp32",
)
VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {},
    "queue": {"queue": 20, "contrast_symmetric": True, "batch_size": 4, "pairs_per_video": 2},
    "transformer": {"aggregator": "transformer", "predictor": "gap", "lr": 1e-3},
    "horizons": {"predictor": "horizons", "horizons": 2, "neighbours": 2, "optimizer": "adamw", "weight_decay": 0.1},
    "map": {"aggregator": "mean_sd", "input_map": "neighbour_lda", "input_dropout": 0.3, "neighbours": 2},
    "best": {"keep": "best", "holdout": 0.2, "negatives": "lookalike", "gap_distribution": "curriculum"},
}
# Sums in another order differ by 1e-7 of their size; 60 steps at this lr make 1e-6 of it at most (seen).
TOLERANCE = 1e-4


def job_of(variant: str, folder: Path) -> fit.FitJob:
    return fit.FitJob(replace(SETTINGS, **VARIANTS[variant]), TABLE, folder)


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each variant, and one of a run that was resumed."""
    root = tmp_path_factory.mktemp("two")
    jobs = [*(job_of(variant, root / variant) for variant in VARIANTS), job_of("paper", root / "resumed")]
    with Spawned(2, CPU).at_work(jobs, teamwork.fit_twice, progress=Silent()) as (given_jobs, process_group):
        teamwork.fit_twice(given_jobs, process_group)
    return root


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def state(folder: Path) -> dict[str, torch.Tensor]:
    found = load_latest(folder)
    assert found is not None
    return found[0]


@given(st.integers(1, 16), st.integers(1, 64))
def test_shares_partition_a_batch_in_the_order_of_the_ranks(size: int, part: int) -> None:
    contexts = list(range(size * part))
    shares = [contexts[ProcessGroup(rank, size).share(len(contexts))] for rank in range(size)]
    assert [context for share in shares for context in share] == contexts
    assert {len(share) for share in shares} == {part}


@given(st.integers(2, 16), st.integers(1, 64))
def test_what_cannot_be_shared_evenly_is_refused(size: int, part: int) -> None:
    with pytest.raises(StageError, match=f"a batch of {size * part + 1} contexts cannot be shared by {size} processes"):
        ProcessGroup(0, size).share(size * part + 1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_processes_give_the_curve_and_the_weights_of_one(variant: str, by_two: Path, tmp_path: Path) -> None:
    fit.assist(job_of(variant, tmp_path), ProcessGroup())
    ours, theirs = rows(tmp_path / fit.LOG), rows(by_two / variant / fit.LOG)
    assert [row["step"] for row in theirs] == list(range(1, 61))
    for name in ("loss", "forecast", "contrast", "cosine"):
        assert [row[name] for row in theirs] == pytest.approx([row[name] for row in ours], rel=TOLERANCE, abs=TOLERANCE)
    ours, theirs = rows(tmp_path / fit.VALIDATIONS), rows(by_two / variant / fit.VALIDATIONS)
    assert [look["step"] for look in theirs] == list(range(0, 61, 6))
    for ours_look, look in zip(ours, theirs, strict=True):
        for name in ("cosine", "mse"):
            expected = ours_look["forecast"]["all"][name]
            assert look["forecast"]["all"][name] == pytest.approx(expected, rel=10 * TOLERANCE, abs=TOLERANCE)
    wanted, found = state(tmp_path), state(by_two / variant)
    # The bias of attention's keys has no effect at all: its gradient is rounding, which Adam makes steps of.
    for name in ("queue",) if variant == "transformer" else ("trained", "teacher", "queue"):
        torch.testing.assert_close(found[name], wanted[name], rtol=TOLERANCE, atol=TOLERANCE)


def test_two_processes_resume_to_the_same_bytes(by_two: Path) -> None:
    whole, resumed = by_two / "paper", by_two / "resumed"
    for name in (fit.LOG, fit.VALIDATIONS):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    expected, found = state(whole), state(resumed)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (teamwork.the_second_fails, "process 2 of the 2 that share the job: the disk of the second is full"),
        (teamwork.the_second_is_killed, r"process 2 of the 2 that share the job ended with exit code -9: run again"),
        (
            teamwork.the_second_dies_at_a_task,
            r"process 2 of the 2 that share the job ended with exit code -9: run again",
        ),
    ],
)
def test_a_process_that_fails_ends_all_with_one_message(work: Callable[..., None], message: str) -> None:
    with (
        pytest.raises(StageError, match=message),
        Spawned(2, CPU).at_work(None, work, progress=Silent()) as (_, process_group),
    ):
        work(None, process_group)
    assert not multiprocessing.active_children()


def test_an_interrupt_leaves_no_process() -> None:
    here = Spawned(2, CPU).at_work(None, teamwork.the_second_waits, progress=Silent())
    with pytest.raises(KeyboardInterrupt), here:
        raise KeyboardInterrupt
    assert not multiprocessing.active_children()


def test_uneven_batches_are_refused_before_anything_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "_started", lambda *_: pytest.fail("started"))
    with pytest.raises(ConfigError, match=r"batch_size = 8 cannot be shared by 3 processes: .*fit.batch_size=9"):
        FitSettings(processes=3)
    few = table([20] * 7)  # of which a batch of 8 takes 7
    with pytest.raises(StageError, match="a batch of 7 contexts cannot be shared by 2 processes"):
        fit.run(SETTINGS, few, tmp_path, progress=Silent(), team=Spawned(2, CPU))


def test_the_team_is_torchruns_where_that_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_team(1, "cpu").size == 1
    assert pick_team(3, "cpu") == Spawned(3, CPU)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert pick_team(1, "cpu") == Launched(2, CPU)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert pick_team(1, "cpu") == Launched(2, CPU), "on two machines, one each"


def test_what_is_shared_is_the_same_memory_until_all_let_go() -> None:
    with shared(("a name", TABLE)) as place:
        name, one = place.open()
        _, other = place.open()
        assert name == "a name"
        assert one.ids == TABLE.ids
        assert (one.features_ND == TABLE.features_ND).all()
        one.features_ND[3] = 7
        assert (other.features_ND[3] == 7).all()
        assert not (TABLE.features_ND[3] == 7).all()
    assert (one.features_ND[3] == 7).all(), "who has opened it, keeps it"
    if re.match(r"/proc/\d+/fd", place.path):
        assert not os.path.exists(place.path)


def test_a_team_meets_after_one_that_could_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "PATIENCE_S", 0.2)
    with pytest.raises(ProcessLost):
        ProcessGroup.joined(HashStore(), 0, 2, device=CPU)
    monkeypatch.setattr(groups, "PATIENCE_S", 60.0)
    with Spawned(2, CPU).at_work(None, teamwork.both_exchange, progress=Silent()) as (_, group):
        teamwork.both_exchange(None, group)


def test_a_lost_process_on_a_gpu_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """NCCL cannot be had here: a process that waits for a lost one is this one, which gloo does not tell."""
    monkeypatch.setattr(team, "WATCH_S", 0.01)
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    process.start()
    one = ProcessGroup.joined(HashStore(), 0, 1, device=CPU)
    shared_by_two = replace(one, size=2)
    try:
        with team._watching([process]):
            shared_by_two.refuse_lost()
            process.kill()
            end = time.monotonic() + 30
            while not groups.is_abandoned() and time.monotonic() < end:
                time.sleep(0.01)
            for use in (shared_by_two.refuse_lost, lambda: shared_by_two.add_up(torch.ones(2))):
                with pytest.raises(ProcessLost, match="has ended"):
                    use()
        one.refuse_lost()  # alone, nobody is missed
    finally:
        one.leave()
        process.join()
    ProcessGroup.joined(HashStore(), 0, 1, device=CPU)
    assert not groups.is_abandoned(), "the next team begins anew"
    one.leave()


def test_a_process_that_is_done_before_the_first_one_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "WATCH_S", 0.01)
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(0,))
    process.start()
    process.join()
    with team._watching([process]):
        time.sleep(0.2)
    assert not groups.is_abandoned()
