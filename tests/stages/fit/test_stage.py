import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mofore.cache.checkpoint import load_latest, save_numbered
from mofore.cache.store import FrameTable
from mofore.data.errors import StageError
from mofore.data.fit_settings import FitSettings
from mofore.data.presets import PRESETS
from mofore.data.progress import Silent
from mofore.stages.evaluate.forecast_skill import References, climatology, forecast_metrics
from mofore.stages.fit import stage as fit
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.model.saved import DESCRIPTION, MODEL, load_forecaster

from ..memory import table

SETTINGS = FitSettings(
    steps=250,
    clip_length=4,
    gap_max=4,
    embedding_width=8,
    hidden_width=8,
    lr=1e-2,
    checkpoint_seconds=0.0,
    validations=3,
)
TABLE = table([20, 25, 30, 18, 40, 22, 26, 35, 33, 9])


class KilledAt(Silent):
    """Dies before that step of the run."""

    def __init__(self, step: int) -> None:
        self.left = step

    def pulse(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise KeyboardInterrupt


class Listening(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.figures: dict[str, float | str] = {}

    def note(self, message: str) -> None:
        self.notes.append(message)

    def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:
        self.figures = figures


def wide_table() -> FrameTable:
    """Forty videos that share much of their appearance and vary in time, as real ones do."""
    rng = np.random.default_rng(0)
    own = 0.5 * rng.standard_normal((40, 1, 32)) + 0.5 * rng.standard_normal((40, 30, 32))
    features = (1.0 + own).reshape(-1, 32).astype(np.float16)
    return replace(table([30] * 40, width=32), features_ND=features)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_forecaster(folder)[0].state_dict())


def test_training_lowers_the_loss_and_raises_the_cosine(tmp_path: Path) -> None:
    fit.run(SETTINGS, TABLE, tmp_path, progress=Silent())
    rows = [json.loads(line) for line in (tmp_path / fit.LOG).read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 251))
    assert set(rows[1]) == {"step", "loss", "forecast", "contrast", "cosine", "lr"}
    assert {row["step"] for row in rows if "teacher_drift" in row} == {84, 100, 168, 200, 250}
    early, late = rows[:20], rows[-20:]
    assert np.mean([r["loss"] for r in late]) < 0.7 * np.mean([r["loss"] for r in early])
    assert np.mean([r["cosine"] for r in late]) > np.mean([r["cosine"] for r in early])
    for row in rows:
        assert math.isclose(row["loss"], row["forecast"] + row["contrast"], rel_tol=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path: Path) -> None:
    short = replace(SETTINGS, steps=30)
    for name, settings in (("a", short), ("b", short), ("c", replace(short, seed=1))):
        fit.run(settings, TABLE, tmp_path / name, progress=Silent())
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)
    assert (tmp_path / "a" / MODEL).read_bytes() == (tmp_path / "b" / MODEL).read_bytes()


VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {},
    "queue": {"queue": 20, "contrast_symmetric": True, "batch_size": 4, "pairs_per_video": 2},
    "transformer": {"aggregator": "transformer", "inputs": "differenced", "predictor": "gap", "steps": 60},
    "horizons": {"predictor": "horizons", "horizons": 2, "neighbours": 2, "optimizer": "adamw", "weight_decay": 0.1},
    "history": {**PRESETS["forecast"], "steps": 60, "batch_size": 4},
    "map": {
        "aggregator": "mean_sd",
        "input_map": "neighbour_lda",
        "input_dropout": 0.3,
        "neighbours": 2,
        "projection": "residual",
        "embedding_width": 0,
        "predictor_skip": True,
        "video_pooling": "whole",
        "steps": 60,
    },
    "best": {"keep": "best", "holdout": 0.2, "lr": 0.3, "negatives": "lookalike", "gap_distribution": "curriculum"},
}


@pytest.mark.parametrize(
    ("variant", "killed_at"), [("paper", 1), ("paper", 2), ("paper", 250), *((name, 53) for name in VARIANTS)]
)
def test_a_killed_run_resumes_to_the_same_bytes(tmp_path: Path, variant: str, killed_at: int) -> None:
    settings = replace(SETTINGS, **VARIANTS[variant])
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    fit.run(settings, TABLE, whole, progress=Silent())
    with pytest.raises(KeyboardInterrupt):
        fit.run(settings, TABLE, killed, progress=KilledAt(killed_at))
    result = fit.run(settings, TABLE, killed, progress=Silent())
    assert result.steps_run <= settings.steps - killed_at + 84, "a checkpoint was written at the last pause"
    for name in fit.OUTPUTS:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_predictor_of_the_history_forecasts_better_than_a_context_alone_allows(tmp_path: Path) -> None:
    recipe = {**PRESETS["forecast"], "clip_length": 4, "gap_max": 4.0, "steps": 150, "validations": 0}
    fit.run(FitSettings(**recipe), wide_table(), tmp_path, progress=Silent())
    forecaster, settings = load_forecaster(tmp_path)
    memory = FrameTensors.of(wide_table(), torch.device("cpu"))
    whole = forecast_metrics(
        forecaster, memory, settings, References(climatology(forecaster, memory, settings, 1))
    ).whole
    # Frames scatter around a video's place s with the same variance 1/4 as places do, clips of 4 with 1/16: persistence
    # is off by 2/16 a dimension, the best forecast from a context alone by 1/16 + 1/20, a skill of 0.1.
    assert whole is not None
    assert whole.skill is not None
    assert whole.skill > 0.2


def test_a_run_that_an_earlier_version_began_in_compiled_code_goes_on_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit.run(SETTINGS, TABLE, tmp_path, progress=KilledAt(100))
    found = load_latest(tmp_path)
    assert found is not None
    tensors, meta = found
    save_numbered(tmp_path, meta["step"], tensors, {**meta, "code": "few_rows-0123456789abcdef"}, keep=2)
    listening = Listening()
    assert fit.run(SETTINGS, TABLE, tmp_path, progress=listening).steps_run == SETTINGS.steps - meta["step"]
    assert any("begun in compiled code, goes on in torch" in note for note in listening.notes)


def test_a_damaged_checkpoint_costs_only_the_way_to_the_one_before(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    fit.run(SETTINGS, TABLE, whole, progress=Silent())
    with pytest.raises(KeyboardInterrupt):
        fit.run(SETTINGS, TABLE, killed, progress=KilledAt(160))
    latest, before = sorted(killed.glob("resume-*"), reverse=True)
    latest.write_bytes(latest.read_bytes()[:-7])
    listening = Listening()
    result = fit.run(SETTINGS, TABLE, killed, progress=listening)
    assert result.steps_run == 250 - int(before.stem.removeprefix("resume-"))
    assert f"resuming at step {250 - result.steps_run} of 250" in listening.notes
    assert (killed / MODEL).read_bytes() == (whole / MODEL).read_bytes()


def test_a_run_killed_between_its_last_step_and_its_end_only_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    fit.run(SETTINGS, TABLE, tmp_path / "whole", progress=Silent())
    with monkeypatch.context() as patched:
        patched.setattr(fit, "_publish", die)
        with pytest.raises(KeyboardInterrupt):
            fit.run(SETTINGS, TABLE, tmp_path / "killed", progress=Silent())
    result = fit.run(SETTINGS, TABLE, tmp_path / "killed", progress=Silent())
    assert result.steps_run == 0
    for name in (MODEL, DESCRIPTION, fit.LOG):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_feature_that_is_not_finite_is_named_by_video_and_frame(tmp_path: Path) -> None:
    broken = table([20, 25, 30])
    broken.features_ND[27] = np.inf
    with pytest.raises(StageError, match=r"not finite at step \d+, since a feature of 'v1' is not, in frame 7"):
        fit.run(replace(SETTINGS, steps=20), broken, tmp_path, progress=Silent())
    assert not (tmp_path / MODEL).exists()


def test_a_loss_that_diverges_stops_with_the_step_and_advice(tmp_path: Path) -> None:
    # decay by lr x weight_decay = 100 overshoots: the weights are multiplied by -99 in each step
    wild = replace(SETTINGS, lr=10.0, optimizer="adamw", weight_decay=10.0, forecast_normalize=False)
    with pytest.raises(StageError, match=r"not finite at step \d+ \(loss inf, forecast .*lower fit\.lr"):
        fit.run(wild, TABLE, tmp_path, progress=Silent())


COLLAPSING: dict[str, Any] = {
    "steps": 200,
    "lr": 1e-2,
    "embedding_width": 32,
    "hidden_width": 32,
    "contrast_weight": 0.0,
    "momentum": 0.0,
    "predictor": "none",
    "alarm": "stop",
}


def test_alarms_stop_a_run_that_collapses_and_are_silent_on_a_good_one(tmp_path: Path) -> None:
    with pytest.raises(
        StageError, match=r"collapsing at step \d+ \(.*cosine of unrelated videos.*raise fit.contrast_weight = 0"
    ):
        fit.run(replace(SETTINGS, **COLLAPSING), wide_table(), tmp_path / "bad", progress=Silent())
    listening = Listening()
    fit.run(replace(SETTINGS, **{**COLLAPSING, "alarm": "warn"}), wide_table(), tmp_path / "warned", progress=listening)
    assert any("collapsing" in note for note in listening.notes)
    good = Listening()
    fit.run(replace(SETTINGS, alarm="stop"), wide_table(), tmp_path / "good", progress=good)
    assert not good.notes
    assert set(good.figures) == {"loss", "cosine", "rank", "skill"}


def test_the_run_is_looked_at_on_videos_held_out_by_whole_groups(tmp_path: Path) -> None:
    settings = replace(SETTINGS, holdout=0.3, steps=100, validations=4)
    groups = ["a", "a", "b", "b", "c", "c", "d", "d", "e", None]
    result = fit.run(settings, TABLE, tmp_path, progress=Silent(), groups=groups)
    assert (result.videos, result.held_out) in {(8, 2), (7, 3)}
    looks = [json.loads(line) for line in (tmp_path / fit.VALIDATIONS).read_text().splitlines()]
    assert [look["step"] for look in looks] == [0, 25, 50, 75, 100]
    for look in looks:
        assert look["seen"] is False
        assert look["videos"] == result.held_out
        assert set(look["forecast"]["all"]) >= {"cosine", "r2", "skill", "persistence", "climatology", "chance"}
        assert set(look["health"]) >= {"effective_rank", "sd_mean", "uniformity", "unrelated_cosine"}
        assert look["alignment"] > 0
        assert look["teacher_drift"] >= 0


def test_the_best_step_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    settings = replace(SETTINGS, keep="best", holdout=0.3, lr=0.3)  # so large that the last step is not the best
    result = fit.run(settings, TABLE, tmp_path, progress=Silent())
    looks = [json.loads(line) for line in (tmp_path / fit.VALIDATIONS).read_text().splitlines()][1:]
    best = min((look for look in looks if not look["alarms"]), key=lambda look: look["alignment"])
    assert result.kept_step == best["step"] == json.loads((tmp_path / DESCRIPTION).read_text())["kept_step"]


def test_videos_that_hold_no_pair_are_left_out_and_counted(tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=5, gap_min=3, gap_max=3)
    result = fit.run(settings, table([4, 20, 30, 2]), tmp_path, progress=Silent())
    assert (result.videos, result.too_short) == (2, 2)
    with pytest.raises(
        StageError, match=r"at least 2 .* of 2 there are 1 \(0 held out\).*shorter clips and gaps: --set fit\."
    ):
        fit.run(settings, table([4, 20]), tmp_path / "one", progress=Silent())
    with pytest.raises(StageError, match=r"of 1 there are 1 .*more videos on the training side"):
        fit.run(settings, table([20]), tmp_path / "one", progress=Silent())
    with pytest.raises(StageError, match=r"of 2 there are 1 \(1 held out\).*a smaller fit\.holdout"):
        fit.run(replace(settings, holdout=0.5), table([20, 20]), tmp_path / "one", progress=Silent())


def test_a_model_says_how_it_was_made(tmp_path: Path) -> None:
    fit.run(replace(SETTINGS, steps=5), TABLE, tmp_path, progress=Silent())
    described = json.loads((tmp_path / DESCRIPTION).read_text())
    assert described["settings"]["momentum"] == 0.7
    assert described["training"] == {"videos": 10, "held_out": 0, "too_short": 0, "frames": len(TABLE.features_ND)}
