"""Runs that train as one program over stacked weights, held against the same runs alone."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mofore.data.fit_settings import FitSettings
from mofore.data.progress import Silent
from mofore.stages.distributed.process_group import ProcessGroup
from mofore.stages.fit import stage as fit
from mofore.stages.fit.stacked import Stack, StackedMoforeLoss, can_be_stacked, stack_key, together
from mofore.stages.fit.training import Training
from mofore.stages.fit.validation import Validator
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.frames.sampler import make_sampler
from mofore.stages.model.embedding import embed_views
from mofore.stages.model.forecaster import make_forecaster
from mofore.stages.model.mofore_loss import MoforeLoss
from mofore.stages.model.saved import MODEL, load_forecaster

from ..memory import table

TABLE = table([30] * 60, width=16)
MEMORY = FrameTensors.of(TABLE, torch.device("cpu"))
SETTINGS = FitSettings(
    clip_length=4, gap_max=4, embedding_width=12, hidden_width=10, batch_size=16, steps=60, lr=1e-3, validations=2
)
# What runs of one stack may differ in.
DIFFERENT: dict[str, dict[str, Any]] = {
    "seed": {"seed": 1},
    "rates": {"lr": 3e-3, "lr_schedule": "cosine", "warmup_steps": 5, "momentum": 0.9, "momentum_schedule": "cosine"},
    "objective": {"temperature": 0.3, "contrast_weight": 0.2},
    "decay": {"optimizer": "adamw", "weight_decay": 0.05, "weight_decay_schedule": "cosine"},
    "draws": {"gap_max": 2, "neighbours": 2, "neighbour_share": 0.5, "negatives": "lookalike", "holdout": 0.2},
    "best": {"keep": "best", "lr": 0.03},
}


class StoppedAt(Silent):
    """Asked to stop after so many pulses."""

    def __init__(self, pulses: int) -> None:
        self.left = pulses

    def pulse(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def several(root: Path, runs: dict[str, FitSettings], progress: Silent | None = None) -> list[str]:
    """Train runs, each into a folder of its name; returns the names of those that came to their end."""
    jobs = {name: fit.FitJob(settings, TABLE, root / name) for name, settings in runs.items()}
    ended: list[str] = []
    failed = fit.run_several(jobs, progress=progress or Silent(), finished=lambda name, _: ended.append(name))
    assert {*ended, *failed} == {*runs}
    return ended


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def likeness(one: Path, other: Path) -> float:
    """The least cosine of a video's embeddings by two fits."""
    unit = [embed_views(load_forecaster(path)[0].teacher, MEMORY, SETTINGS, views=2) for path in (one, other)]
    return float((unit[0] * unit[1]).sum(dim=-1).min())


def test_stacked_runs_are_those_runs_alone(tmp_path: Path) -> None:
    runs = {"plain": SETTINGS, **{name: replace(SETTINGS, **given) for name, given in DIFFERENT.items()}}
    assert len({stack_key(training(settings, tmp_path)) for settings in runs.values()}) == 1
    assert several(tmp_path / "stacked", runs) == list(runs)
    for name, settings in runs.items():
        alone, stacked = tmp_path / "alone" / name, tmp_path / "stacked" / name
        fit.run(settings, TABLE, alone, progress=Silent())
        # Sums of float32 in another order, over 60 steps.
        assert likeness(alone, stacked) > 0.99999, name
        for there, here in zip(rows(alone / fit.LOG), rows(stacked / fit.LOG), strict=True):
            assert here == pytest.approx(there, rel=1e-3, abs=1e-5), name
        for there, here in zip(rows(alone / fit.VALIDATIONS), rows(stacked / fit.VALIDATIONS), strict=True):
            assert here["step"] == there["step"]
            assert here["alignment"] == pytest.approx(there["alignment"], rel=1e-3), name
            for figure in ("mse", "cosine", "skill"):
                assert here["forecast"]["all"][figure] == pytest.approx(there["forecast"]["all"][figure], rel=1e-3), (
                    name
                )
    assert likeness(tmp_path / "alone" / "plain", tmp_path / "stacked" / "seed") < 0.9, (
        "the figures can tell runs apart"
    )


def test_runs_behind_a_map_share_it_and_are_those_runs_alone(tmp_path: Path) -> None:
    mapped = replace(
        SETTINGS,
        aggregator="mean_sd",
        input_map="neighbour_lda",
        input_dropout=0.2,
        projection="residual",
        embedding_width=0,
        neighbours=4,
        video_pooling="whole",
    )
    runs = {"zero": mapped, "one": replace(mapped, seed=1), "held": replace(mapped, holdout=0.2)}
    assert len({stack_key(training(settings, tmp_path)) for settings in runs.values()}) == 1
    assert several(tmp_path / "stacked", runs) == list(runs)
    for name, settings in runs.items():
        fit.run(settings, TABLE, tmp_path / "alone" / name, progress=Silent())
        alone, stacked = (load_forecaster(tmp_path / how / name)[0].state_dict() for how in ("alone", "stacked"))
        assert torch.equal(alone["teacher.input_map.directions_PE"], stacked["teacher.input_map.directions_PE"])
        for key in alone:
            torch.testing.assert_close(alone[key], stacked[key], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("projection", ["linear", "mlp", "residual"])
@pytest.mark.parametrize("predictor", ["mlp", "skip", "none"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_step_of_any_dense_networks_is_that_of_the_run_alone(
    tmp_path: Path, projection: str, predictor: str, activation: str
) -> None:
    settings = replace(
        SETTINGS,
        projection=projection,
        embedding_width=0 if projection == "residual" else 12,
        predictor="mlp" if predictor == "skip" else predictor,
        predictor_skip=predictor == "skip",
        activation=activation,
        pairs_per_video=2,
    )
    seeds = [replace(settings, seed=seed) for seed in range(3)]
    alone, stacked = ([training(of, tmp_path) for of in seeds] for _ in range(2))
    batches = [list(run.sampler.batches(0, 3)) for run in alone]
    stack = Stack(stacked, "abc")
    with torch.no_grad():
        for together_3 in zip(*batches, strict=True):
            figures_S4 = stack.take_step(together_3)
            expected_S4 = torch.stack([run.take_step(batch) for run, batch in zip(alone, together_3, strict=True)])
            assert torch.allclose(figures_S4, expected_S4, atol=1e-5)
    for one, other in zip(alone, stacked, strict=True):
        assert torch.allclose(one.flat.trained, other.flat.trained, atol=1e-5)
        assert torch.allclose(one.flat.teacher, other.flat.teacher, atol=1e-5)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"forecast_normalize": False, "forecast_reduction": "mean"},
        {"forecast_reduction": "mean", "contrast_symmetric": True},
        {"forecast_normalize": False, "contrast_symmetric": True},
    ],
)
def test_the_stacked_objective_is_the_objective_of_each_run(given: dict[str, Any], grouped: bool) -> None:
    runs = [
        replace(SETTINGS, contrast_weight=weight, temperature=temperature, **given)
        for weight, temperature in ((1.0, 0.1), (0.3, 0.002), (0.0, 0.5))  # 0.002: shares too small for a float
    ]
    torch.manual_seed(0)
    forecast_SRE, target_SRE = torch.randn(2, 3, 8, 5)
    group_SR = torch.tensor([[0, 0, 1, 1, 2, 2, 3, 3]]).expand(3, -1) if grouped else None
    gradient_SRE, figures_S4 = StackedMoforeLoss(runs, MEMORY.device)(
        forecast_SRE.clone(), target_SRE.clone(), group_SR
    )
    for number, settings in enumerate(runs):
        group_R = None if group_SR is None else group_SR[number]
        gradient_RE, figures_4, _ = MoforeLoss.of(settings)(forecast_SRE[number], target_SRE[number], group_R)
        assert torch.allclose(gradient_SRE[number], gradient_RE, rtol=1e-4, atol=1e-5)
        assert torch.allclose(figures_S4[number], figures_4, rtol=1e-4)


@pytest.mark.usefixtures("one_thread")  # so that they are one stack, which is stopped as one
def test_stacked_runs_that_are_stopped_go_on_to_the_same_bytes_together_and_alone(tmp_path: Path) -> None:
    runs = {name: replace(SETTINGS, checkpoint_seconds=0.0, **DIFFERENT[name]) for name in ("seed", "rates", "best")}
    several(tmp_path / "whole", runs)
    with pytest.raises(KeyboardInterrupt):
        several(tmp_path / "stopped", runs, StoppedAt(45))
    kept = {name: sorted((tmp_path / "stopped" / name).glob("resume-*")) for name in runs}
    assert {paths[-1].name for paths in kept.values()} == {"resume-000000030.safetensors"}, "all at the same step"
    alone = tmp_path / "alone"
    (tmp_path / "stopped" / "seed").rename(alone)
    assert fit.run(runs.pop("seed"), TABLE, alone, progress=Silent()).steps_run == 30
    several(tmp_path / "stopped", runs)
    assert likeness(alone, tmp_path / "whole" / "seed") > 0.99999
    for name in runs:
        for output in fit.OUTPUTS:
            there, here = (tmp_path / root / name / output for root in ("whole", "stopped"))
            assert here.read_bytes() == there.read_bytes(), (name, output)


def test_a_run_begun_alone_goes_on_in_a_stack_of_those_at_its_step(tmp_path: Path) -> None:
    runs = {f"seed {seed}": replace(SETTINGS, seed=seed, checkpoint_seconds=0.0) for seed in range(3)}
    with pytest.raises(KeyboardInterrupt):
        fit.run(runs["seed 1"], TABLE, tmp_path / "seed 1", progress=StoppedAt(40))
    assert sorted(several(tmp_path, runs)) == sorted(runs)
    fit.run(runs["seed 1"], TABLE, tmp_path / "alone", progress=Silent())
    assert likeness(tmp_path / "alone", tmp_path / "seed 1") > 0.99999


@pytest.mark.usefixtures("two_threads")
def test_each_core_has_a_stack_and_all_stop_together(tmp_path: Path) -> None:
    runs = {f"seed {seed}": replace(SETTINGS, seed=seed, checkpoint_seconds=0.0) for seed in range(3)}
    with pytest.raises(KeyboardInterrupt):
        several(tmp_path, runs, StoppedAt(60))
    assert torch.get_num_threads() == 2
    assert sorted(several(tmp_path, runs)) == sorted(runs)
    for name, settings in runs.items():
        fit.run(settings, TABLE, tmp_path / "alone" / name, progress=Silent())
        assert likeness(tmp_path / "alone" / name, tmp_path / name) > 0.99999


def test_a_run_that_fails_ends_alone(tmp_path: Path) -> None:
    runs = {"sound": SETTINGS, "endless": replace(SETTINGS, contrast_weight=1e39), "other": replace(SETTINGS, seed=2)}
    assert several(tmp_path, runs) == ["sound", "other"]
    assert not (tmp_path / "endless" / MODEL).exists()
    fit.run(SETTINGS, TABLE, tmp_path / "alone", progress=Silent())
    assert likeness(tmp_path / "alone", tmp_path / "sound") > 0.99999


@pytest.mark.parametrize(
    "change",
    [lambda s: replace(s, queue=8), lambda s: replace(s, aggregator="gru"), lambda s: replace(s, predictor="gap")],
)
def test_other_runs_train_in_turn(tmp_path: Path, change: Callable[[FitSettings], FitSettings]) -> None:
    odd = replace(change(SETTINGS), steps=5, validations=0)
    assert not can_be_stacked(odd)
    runs = {"odd": odd, "same": replace(odd, seed=1)}
    assert several(tmp_path / "several", runs) == list(runs)
    for name, settings in runs.items():
        fit.run(settings, TABLE, tmp_path / name, progress=Silent())
        assert (tmp_path / name / MODEL).read_bytes() == (tmp_path / "several" / name / MODEL).read_bytes()


def test_groups_are_of_equal_keys_and_bounded() -> None:
    keys = {f"run {n}": ("shape", n % 2) for n in range(40)} | {"alone": None, "too": None}
    groups = together(keys)
    assert sorted(name for names in groups for name in names) == sorted(keys)
    assert [len(names) for names in groups] == [16, 4, 16, 4, 1, 1]
    assert all(len({keys[name] for name in names}) == 1 for names in groups)


def training(settings: FitSettings, folder: Path) -> Training:
    everyone = torch.arange(60)
    sampler = make_sampler(settings, MEMORY, everyone)
    validator = Validator(settings, MEMORY, everyone[:0], everyone, ())
    return Training(settings, sampler, make_forecaster(16, settings), validator, folder, ProcessGroup())
