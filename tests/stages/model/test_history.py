from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from mofore.data.clips import spread_views
from mofore.data.errors import ConfigError, StageError
from mofore.data.fit_settings import FitSettings
from mofore.data.presets import PRESETS
from mofore.stages.frames.memory import Clips, FrameTensors
from mofore.stages.frames.seen import Seen
from mofore.stages.model.embedding import embed_clips, embed_videos, outputs, take_contexts
from mofore.stages.model.forecaster import ForecastEmbedder, Forecaster, make_forecaster
from mofore.stages.model.history import HistoryPredictor
from mofore.stages.model.kernel_residual import NEARNESS, NOISE, KernelResidual

from ..memory import table

SETTINGS = FitSettings(clip_length=2, **{**PRESETS["forecast"], "hidden_width": 8})
WIDTH, GAPS = 6, torch.tensor([[0.0, 4.0]] * 3)


def contexts(history: float = 1.0) -> Clips:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(3, 5, WIDTH, generator=generator)
    frames[:, :3] *= history
    age, weight = torch.tensor([9.0, 6.0, 3.0, 1.0, 0.0]), torch.tensor([3.0, 3.0, 3.0, 1.0, 1.0])
    return Clips(frames[:, 3:].mean(dim=1), None, Seen(frames, age.expand(3, -1), weight.expand(3, -1)))


def moved() -> Forecaster:
    """A forecaster whose predictor has left its beginning."""
    forecaster = make_forecaster(WIDTH, SETTINGS)
    with torch.no_grad():
        for parameter in forecaster.predictor.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return forecaster


def predictor(forecaster: Forecaster) -> HistoryPredictor:
    assert isinstance(forecaster.predictor, HistoryPredictor)
    return forecaster.predictor


def test_it_begins_as_persistence_of_the_unit_embedding_at_every_gap() -> None:
    unit = functional.normalize(contexts().features, dim=1)
    assert torch.allclose(make_forecaster(WIDTH, SETTINGS).forecast(contexts(), GAPS), unit.repeat_interleave(2, dim=0))


def test_the_longest_average_is_the_mean_of_every_frame_up_to_now() -> None:
    seen = contexts().seen
    assert seen is not None
    mean = predictor(moved())._averages(seen.frames_BTD, seen.age_BT, seen.weight_BT)[:, -1]
    every = torch.cat([seen.frames_BTD[:, :3].repeat_interleave(3, dim=1), seen.frames_BTD[:, 3:]], dim=1)
    assert torch.allclose(mean, every.mean(dim=1), atol=1e-6)


def test_the_forecast_depends_on_the_history_and_on_the_gap() -> None:
    forecaster = moved()
    plain, other = (forecaster.forecast(contexts(history), GAPS).view(3, 2, WIDTH) for history in (1.0, 2.0))
    assert not torch.allclose(plain, other, atol=1e-4)
    assert not torch.allclose(plain[:, 0], plain[:, 1], atol=1e-4)


def test_the_scale_of_the_features_does_not_matter() -> None:
    given, forecaster = contexts(), moved()
    assert given.seen is not None
    larger = Clips(7 * given.features, None, replace(given.seen, frames_BTD=7 * given.seen.frames_BTD))
    assert torch.allclose(forecaster.forecast(given, GAPS), forecaster.forecast(larger, GAPS), atol=1e-5)


def test_a_context_without_a_history_stands_for_it() -> None:
    given, forecaster = contexts(), moved()
    frames = given.features[:, None].expand(-1, 5, -1)
    same = Clips(given.features, None, Seen(frames, *(torch.ones(3, 5),) * 2))
    assert torch.allclose(forecaster.forecast(Clips(given.features), GAPS), forecaster.forecast(same, GAPS), atol=1e-5)


def test_targets_are_unit_vectors_of_the_features() -> None:
    target = make_forecaster(WIDTH, SETTINGS).target(contexts())
    assert torch.allclose(target, functional.normalize(contexts().features, dim=1))


def test_the_residual_is_that_of_the_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    context, mean, residual = (torch.randn(7, WIDTH, generator=generator) for _ in range(3))
    gap = torch.arange(7.0)
    found = KernelResidual(WIDTH)
    found.fit(context, mean, gap, residual)
    sides = [functional.normalize(of - context.mean(dim=0), dim=1) for of in (context, mean)]
    cosine = (sides[0] @ sides[0].T + sides[1] @ sides[1].T) / 2
    scale = 0.5 + (1 + gap).log()
    kernel = torch.exp(NEARNESS * (cosine - 1)) * scale[:, None] * scale
    expected = kernel @ torch.linalg.inv(kernel + NOISE * torch.eye(7)) @ residual
    assert torch.allclose(found(context, mean, gap[:, None])[:, 0], expected, atol=1e-5)


def test_what_was_missed_on_pairs_is_recalled_and_survives_saving() -> None:
    forecaster, given = moved(), contexts()
    future = Clips(given.features.roll(1, dims=1))
    before = (forecaster.forecast(given, GAPS[:, :1]) - forecaster.target(future)).square().sum()
    forecaster.recall([(given, future, GAPS[:, :1])])
    after = (forecaster.forecast(given, GAPS[:, :1]) - forecaster.target(future)).square().sum()
    assert after < before
    again = make_forecaster(WIDTH, SETTINGS)
    again.load_state_dict(forecaster.state_dict())
    assert torch.equal(again.forecast(given, GAPS), forecaster.forecast(given, GAPS))


def test_clips_and_videos_are_embedded_by_forecasts_that_see_what_came_before() -> None:
    forecaster, memory = moved(), FrameTensors.of(table([20, 25]), torch.device("cpu"))
    foreseen = ForecastEmbedder(forecaster, 2.0)
    video, windows = spread_views(memory.extent_V("frames"), span=SETTINGS.span, views=3)
    contexts = take_contexts(memory, video, windows, SETTINGS)
    assert contexts.seen is not None
    said = forecaster.forecast(contexts, torch.full((6, 1), 2.0))
    assert torch.equal(outputs(foreseen, memory, video, windows, SETTINGS), said)
    unit = functional.normalize(said, dim=1)
    assert torch.equal(embed_clips(foreseen, memory, video, windows, SETTINGS), unit)
    views = embed_videos({"teacher": forecaster.teacher, "predict": foreseen}, memory, SETTINGS, views=3)
    assert torch.allclose(views["predict"].mean_VE, unit.view(2, 3, -1).mean(dim=1))


@pytest.mark.parametrize("changes", [{"aggregator": "conv"}, {"target": "past"}])
def test_what_it_cannot_be_combined_with_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"fit\.aggregator = \"mean\" and fit\.target = \"future\""):
        replace(SETTINGS, **changes)  # type: ignore[arg-type]


def test_no_projection_leaves_the_width_and_something_to_train() -> None:
    with pytest.raises(StageError, match="set it to 6 or 0"):
        make_forecaster(WIDTH, replace(SETTINGS, embedding_width=4))
    with pytest.raises(ConfigError, match="nothing would be trained"):
        replace(SETTINGS, predictor="none")
