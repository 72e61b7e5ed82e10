import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mofore.data.errors import StageError
from mofore.data.progress import Silent
from mofore.data.settings import FitSettings
from mofore.stages import fit

from .memory import table

SETTINGS = FitSettings(
    steps=250, clip_length=4, gap_max=4, embedding_width=8, hidden_width=8, lr=1e-2, checkpoint_seconds=0.0
)
TABLE = table([20, 25, 30, 18, 40, 22, 26, 35, 33, 9])


class KilledAt(Silent):
    """Dies once that many steps were reported."""

    def __init__(self, step: int) -> None:
        self.left = step

    def advance(self, done: int, **figures: float | str) -> None:
        self.left -= done
        if self.left <= 0:
            raise KeyboardInterrupt


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(fit.load_forecaster(folder)[0].state_dict())


def test_training_lowers_the_loss_and_raises_the_cosine(tmp_path: Path) -> None:
    fit.run(SETTINGS, TABLE, tmp_path, progress=Silent())
    rows = [json.loads(line) for line in (tmp_path / fit.LOG).read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 251))
    assert set(rows[0]) == {"step", "loss", "forecast", "contrast", "cosine", "lr", "teacher_drift"}
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
    assert (tmp_path / "a" / fit.MODEL).read_bytes() == (tmp_path / "b" / fit.MODEL).read_bytes()


@pytest.mark.parametrize("killed_at", [1, 150, 240])
def test_a_killed_run_resumes_to_the_same_bytes(tmp_path: Path, killed_at: int) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    fit.run(SETTINGS, TABLE, whole, progress=Silent())
    with pytest.raises(KeyboardInterrupt):
        fit.run(SETTINGS, TABLE, killed, progress=KilledAt(killed_at))
    result = fit.run(SETTINGS, TABLE, killed, progress=Silent())
    assert result.steps_run <= 250 - (killed_at // 100) * 100 + 100
    assert (killed / fit.MODEL).read_bytes() == (whole / fit.MODEL).read_bytes()
    assert (killed / fit.LOG).read_bytes() == (whole / fit.LOG).read_bytes()


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
    for name in (fit.MODEL, fit.DESCRIPTION, fit.LOG):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_loss_that_is_not_finite_stops_with_the_step_and_advice(tmp_path: Path) -> None:
    broken = table([20, 25, 30])
    broken.features_ND[7] = np.inf
    with pytest.raises(StageError, match=r"not finite at step \d+ .*lower fit\.lr"):
        fit.run(replace(SETTINGS, steps=20), broken, tmp_path, progress=Silent())
    assert not (tmp_path / fit.MODEL).exists()


def test_videos_that_hold_no_pair_are_left_out_and_counted(tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=5, gap_min=3, gap_max=3)
    result = fit.run(settings, table([4, 20, 30, 2]), tmp_path, progress=Silent())
    assert (result.videos, result.too_short) == (2, 2)
    with pytest.raises(StageError, match=r"1 of 2 training videos .*at least 2"):
        fit.run(settings, table([4, 20]), tmp_path / "one", progress=Silent())


def test_a_model_says_how_it_was_made(tmp_path: Path) -> None:
    fit.run(replace(SETTINGS, steps=5), TABLE, tmp_path, progress=Silent())
    described = json.loads((tmp_path / fit.DESCRIPTION).read_text())
    assert described["settings"]["momentum"] == 0.7
    assert described["training"] == {"videos": 10, "too_short": 0, "frames": len(TABLE.features_ND)}


def test_the_cosine_schedule_goes_from_lr_to_zero() -> None:
    settings = replace(SETTINGS, lr_schedule="cosine", steps=100, lr=1.0)
    assert [round(fit.learning_rate(step, settings), 3) for step in (0, 50, 100)] == [1.0, 0.5, 0.0]
    assert fit.learning_rate(50, replace(settings, lr_schedule="constant")) == 1.0
