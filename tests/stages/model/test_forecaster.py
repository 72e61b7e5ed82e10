from dataclasses import replace

import pytest
import torch

from mofore.data.errors import ConfigError, StageError
from mofore.data.fit_settings import FitSettings
from mofore.stages.frames.memory import Clips
from mofore.stages.model.aggregators import time_positions
from mofore.stages.model.forecaster import ForecastEmbedder, make_forecaster

SETTINGS = FitSettings(embedding_width=6, hidden_width=8)
AGGREGATORS = ("mean", "mean_sd", "attention", "conv", "gru", "transformer", "static_dynamic")
GAP = torch.zeros(3, 1)


def clips(width: int = 4, length: int = 8) -> Clips:
    torch.manual_seed(0)
    return Clips(torch.randn(3, length, width), torch.arange(length).expand(3, -1) / 25)


def reversed_in_time(given: Clips) -> Clips:
    return Clips(given.features.flip(1), given.times_s_BL)


def test_the_teacher_starts_as_the_student_and_is_not_trained() -> None:
    forecaster = make_forecaster(4, SETTINGS)
    for student, teacher in zip(forecaster.student.parameters(), forecaster.teacher.parameters(), strict=True):
        assert torch.equal(student, teacher)
    assert not any(parameter.requires_grad for parameter in forecaster.teacher.parameters())


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = make_forecaster(4, SETTINGS).state_dict()
    torch.manual_seed(2)
    again = make_forecaster(4, SETTINGS).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_only_order_sensitive_aggregators_see_the_order_of_frames(aggregator: str) -> None:
    embed = make_forecaster(4, replace(SETTINGS, aggregator=aggregator)).student
    same = torch.allclose(embed(clips()), embed(reversed_in_time(clips())), atol=1e-5)
    assert same == (aggregator in ("mean", "mean_sd", "attention"))


@pytest.mark.parametrize("aggregator", AGGREGATORS)
@pytest.mark.parametrize("predictor", ["mlp", "gap", "horizons", "none"])
def test_every_aggregator_goes_with_every_predictor(aggregator: str, predictor: str) -> None:
    forecaster = make_forecaster(4, replace(SETTINGS, aggregator=aggregator, predictor=predictor))
    forecast = forecaster.forecast(clips(), torch.tensor([[0.0, 8.0, 16.0]]).expand(3, 3))
    assert forecast.shape == (9, 6)
    assert torch.isfinite(forecast).all()
    assert forecaster.target(clips()).shape == (3, 6)


def test_attention_begins_as_the_mean() -> None:
    attention, mean = (
        make_forecaster(4, replace(SETTINGS, aggregator=a)).student.aggregator for a in ("attention", "mean")
    )
    assert torch.allclose(attention(clips().features, GAP), mean(clips().features, GAP), atol=1e-6)


def test_a_residual_projection_begins_as_the_identity() -> None:
    settings = replace(SETTINGS, projection="residual", embedding_width=0)
    assert torch.allclose(make_forecaster(4, settings).student(clips()), clips().features.mean(dim=1))
    with pytest.raises(StageError, match=r"identity on 4 dimensions.* 6: set it to 4 or 0"):
        make_forecaster(4, replace(settings, embedding_width=6))


@pytest.mark.parametrize("inputs", ["centered", "differenced"])
def test_appearance_is_taken_away_from_the_input(inputs: str) -> None:
    embed = make_forecaster(4, replace(SETTINGS, aggregator="gru", inputs=inputs)).student
    moved = Clips(clips().features + 3.0, clips().times_s_BL)
    assert torch.allclose(embed(clips()), embed(moved), atol=1e-5)
    with pytest.raises(ConfigError, match=r"fit\.inputs.*mean"):
        replace(SETTINGS, inputs=inputs)


def test_only_some_predictors_see_the_gap() -> None:
    for predictor, sees in (("mlp", False), ("none", False), ("gap", True), ("horizons", True)):
        forecaster = make_forecaster(4, replace(SETTINGS, predictor=predictor))
        near, far = (ForecastEmbedder(forecaster, gap)(clips()) for gap in (0.0, 16.0))
        assert torch.equal(near, far) != sees, predictor


@pytest.mark.parametrize("predictor", ["mlp", "gap", "horizons"])
def test_with_a_skip_the_forecast_begins_as_persistence(predictor: str) -> None:
    forecaster = make_forecaster(4, replace(SETTINGS, predictor=predictor, predictor_skip=True))
    forecast = forecaster.forecast(clips(), torch.tensor([[0.0, 16.0]]).expand(3, 2))
    assert torch.allclose(forecast, forecaster.target(clips()).repeat_interleave(2, dim=0))


def test_the_nearest_horizon_answers() -> None:
    forecaster = make_forecaster(4, replace(SETTINGS, predictor="horizons", horizons=3))
    at = {gap: ForecastEmbedder(forecaster, gap)(clips()) for gap in (0.0, 3.0, 5.0, 8.0, 100.0, 16.0)}
    assert torch.equal(at[0.0], at[3.0])
    assert torch.equal(at[5.0], at[8.0])
    assert torch.equal(at[100.0], at[16.0])
    assert not torch.equal(at[0.0], at[8.0])


def test_time_positions_depend_on_seconds_not_on_frames() -> None:
    slow, fast = torch.arange(8)[None] / 25, torch.arange(16)[None] / 50
    assert torch.allclose(time_positions(slow, 10), time_positions(fast, 10)[:, ::2], atol=1e-5)
    assert time_positions(slow, 7).shape == (1, 8, 7)
