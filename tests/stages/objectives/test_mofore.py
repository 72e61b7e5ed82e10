from pathlib import Path

import torch

from mofore.data.fit_settings import FitSettings
from mofore.stages.fit.objective_learner import ObjectiveLearner
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.frames.sampler import Batch, make_sampler
from mofore.stages.model.forecaster import make_forecaster
from mofore.stages.objectives.catalog import make_objective
from mofore.stages.objectives.contract import ClipBatch

from .trained import motions, settings_of, training_of

CPU = torch.device("cpu")


def as_clips(batch: Batch) -> ClipBatch:
    """The same pairs as an objective sees them."""
    both_RD = torch.stack([batch.context.features, batch.target.features], dim=1).flatten(0, 1)
    clips = type(batch.context)(both_RD)
    return ClipBatch(clips, 2, torch.arange(len(batch.context)), {"gap": batch.gap_BH[:, 0]})


def test_the_contract_and_the_written_out_gradient_take_the_same_steps(tmp_path: Path) -> None:
    settings = settings_of("mofore", predictor="gap", contrast_weight=0.5, forecast_normalize=False)
    made = motions(range(1, 3))
    training = training_of(settings, made, tmp_path)
    forecaster = make_forecaster(64, settings)
    learner = ObjectiveLearner(forecaster, make_objective(settings), settings)
    sampler = make_sampler(settings, FrameTensors.of(made, CPU), torch.arange(len(made.ids)))
    for batch in sampler.batches(0, 5):
        with torch.no_grad():
            here = learner.step(as_clips(batch), 1e-3, 0.0, 0.1)
            there = training.learner.step(batch, 1e-3, 0.0, 0.1)
        torch.testing.assert_close(here[:4], there, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(learner.flat.trained, training.flat.trained, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(learner.flat.teacher, training.flat.teacher, rtol=1e-3, atol=1e-4)


def test_mofore_is_the_default_and_says_nothing_of_itself() -> None:
    assert make_objective(FitSettings()).written_out
    assert not {"objective", "options"} & FitSettings().identity().keys()
