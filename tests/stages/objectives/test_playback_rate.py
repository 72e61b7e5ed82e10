import torch

from mofore.stages.frames.memory import FrameTensors
from mofore.stages.frames.sampler import Sampler
from mofore.stages.objectives.catalog import make_objective
from mofore.stages.objectives.playback_rate import RATES
from mofore.stages.objectives.sampler import ClipSampler

from .trained import learnt, motions, settings_of


def test_rates_are_told() -> None:
    found = learnt("playback_rate")
    assert found.after > 2.0 * found.chance
    assert found.before < 1.5 * found.chance


def test_rows_are_as_far_apart_as_the_rate_says_and_only_rates_that_fit_are_drawn() -> None:
    settings = settings_of("playback_rate", clip_length=8)  # of 48 frames: stride 8 does not fit
    memory = FrameTensors.of(motions(range(1, 2)), torch.device("cpu"))
    sampler = ClipSampler(Sampler(settings, memory, torch.arange(20)), make_objective(settings))
    _, drawn = sampler._round(0)
    rate_P = torch.tensor(RATES)[drawn.labels["rate"]]
    assert bool((drawn.rows_PKL[:, 0].diff(dim=1) == rate_P[:, None]).all())
    assert rate_P.unique().tolist() == [1, 2, 4]
    assert bool((drawn.labels["fit"] == 3).all())
