"""Fitted forecasts against numpy's least squares, and what they see against means of frames."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mofore.data.clips import Windows
from mofore.data.fit_settings import FitSettings
from mofore.stages.evaluate.forecast_skill import References, climatology, fitted_scalars, forecast_metrics
from mofore.stages.evaluate.trivial_forecasts import Scalars, Seen, least_squares, recording_means
from mofore.stages.frames.memory import Clips, FrameTensors
from mofore.stages.model.forecaster import make_forecaster

from ..memory import table

SETTINGS = FitSettings(clip_length=4, gap_min=0, gap_max=8, embedding_width=6, hidden_width=6)


class MeanOfFrames(nn.Module):
    def forward(self, clips: Clips | Tensor, _gap_BH: Tensor | None = None) -> Tensor:
        return clips.features if isinstance(clips, Clips) else clips


def memory() -> FrameTensors:
    return FrameTensors.of(table([30, 40, 22, 60]), torch.device("cpu"))


def drawn(count: int, seed: int) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))


def test_scalars_are_those_of_least_squares() -> None:
    seen, target_BE, climate_E = Seen(*(drawn(20, n) for n in range(4))), drawn(20, 4), drawn(1, 5)[0]
    deviations = [part - climate_E for part in (seen.this_BE, seen.all_BE, seen.trend_BE, seen.before_BE)]
    deviations[2] = seen.trend_BE
    columns = np.stack([part.double().numpy().ravel() for part in deviations], axis=1)
    wanted = (target_BE - climate_E).double().numpy().ravel()
    found = Scalars.fit(seen, target_BE, climate_E)
    assert found.four == pytest.approx(np.linalg.lstsq(columns, wanted)[0], rel=1e-5)
    assert found.damping == pytest.approx(np.linalg.lstsq(columns[:, :1], wanted)[0][0], rel=1e-5)
    combined = climate_E.numpy() + (columns @ np.array(found.four)).reshape(20, 6)
    assert found.combined(seen, climate_E).numpy() == pytest.approx(combined, abs=1e-5)
    damped = climate_E.numpy() + found.damping * columns[:, 0].reshape(20, 6)
    assert found.damped(seen, climate_E).numpy() == pytest.approx(damped, abs=1e-5)


def test_parts_that_are_equal_share_their_factor() -> None:
    part_BE = drawn(9, 0)
    assert least_squares([part_BE, part_BE], part_BE) == pytest.approx((0.5, 0.5))


def test_what_is_seen_lies_before_the_future() -> None:
    """The second video begins at row 30; the clip at 10 spans 4 frames."""
    features_ND = torch.from_numpy(table([30, 40, 22, 60]).features_ND).float()
    context = Windows(torch.tensor([10]), torch.tensor([4]))
    seen = Seen.of(MeanOfFrames(), memory(), torch.tensor([1]), context, SETTINGS)

    def clip(start: int, length: int) -> Tensor:
        return functional.normalize(features_ND[30 + start : 30 + start + length].mean(dim=0), dim=0)

    assert torch.allclose(seen.this_BE[0], clip(10, 4), atol=1e-5)
    assert torch.allclose(seen.all_BE[0], (clip(0, 4) + clip(5, 4) + clip(10, 4)) / 3, atol=1e-5)
    assert torch.allclose(seen.trend_BE[0], clip(13, 1) - clip(10, 4), atol=1e-5)
    assert torch.allclose(seen.before_BE[0], clip(6, 4), atol=1e-5)


def test_on_the_videos_that_they_are_fitted_on_they_beat_persistence() -> None:
    forecaster = make_forecaster(6, SETTINGS)
    forecaster.student = forecaster.teacher = forecaster.predictor = MeanOfFrames()  # type: ignore[assignment]
    climate_E = climatology(forecaster, memory(), SETTINGS, views=5)
    scalars = fitted_scalars(forecaster.teacher, memory(), SETTINGS, climate_E)
    groups = np.array([0, 0, 1, 1])
    found = forecast_metrics(forecaster, memory(), SETTINGS, References(climate_E, scalars, None, groups, 50))
    for row in found.gaps.values():
        assert row.four_scalars is not None
        assert row.damped is not None
        assert row.four_scalars.mse <= row.damped.mse <= row.persistence.mse
        assert row.damped.skill == pytest.approx(1 - row.damped.mse / row.persistence.mse)
        assert row.against_best is None
    whole = found.whole
    assert whole is not None
    assert whole.against_best is not None
    assert whole.against_best.best == "four_scalars"
    assert whole.against_best.skill.difference == pytest.approx(-whole.skills()["four_scalars"]), "its own skill is 0"
    assert whole.against_best.skill.n == whole.n


def test_without_training_videos_nothing_is_fitted() -> None:
    none = memory().some(torch.empty(0, dtype=torch.int64))
    assert fitted_scalars(MeanOfFrames(), none, SETTINGS, torch.zeros(6)) == {}


def test_a_recordings_mean_is_of_its_other_videos() -> None:
    mean_VE, climate_E = drawn(5, 0), torch.zeros(6)
    found = recording_means(mean_VE, torch.tensor([0, 1, 0, 2, 0]), climate_E)
    assert torch.allclose(found[0], (mean_VE[2] + mean_VE[4]) / 2, atol=1e-6)
    assert torch.equal(found[[1, 3]], torch.zeros(2, 6)), "alone: the climatology"


def test_in_seconds_the_same_frames_are_seen() -> None:
    """25 frames a second: the clip at 0.4 s lasts 0.16 s."""
    frames = Windows(torch.tensor([10]), torch.tensor([4]))
    seconds = Windows(torch.tensor([0.4], dtype=torch.float64), torch.tensor([0.16], dtype=torch.float64))
    by_frames = Seen.of(MeanOfFrames(), memory(), torch.tensor([1]), frames, SETTINGS)
    by_seconds = Seen.of(
        MeanOfFrames(), memory(), torch.tensor([1]), seconds, replace(SETTINGS, unit="seconds", clip_stride=0.04)
    )
    for name in ("this_BE", "all_BE", "trend_BE", "before_BE"):
        assert torch.allclose(getattr(by_seconds, name), getattr(by_frames, name), atol=1e-6), name
