import torch

from mofore.stages.frames.memory import FrameTensors
from mofore.stages.frames.sampler import Sampler
from mofore.stages.objectives.catalog import make_objective
from mofore.stages.objectives.sampler import ClipSampler

from .trained import learnt, motions, settings_of


def test_transformations_are_recognised() -> None:
    found = learnt("transformations")
    assert found.after > 1.6 * found.chance
    assert found.before < 1.3 * found.chance


def test_each_kind_is_what_it_says() -> None:
    settings = settings_of("transformations")
    memory = FrameTensors.of(motions(range(1, 2)), torch.device("cpu"))
    sampler = ClipSampler(Sampler(settings, memory, torch.arange(20)), make_objective(settings))
    _, drawn = sampler._round(0)
    steps_PL = drawn.rows_PKL[:, 0].diff(dim=1)
    plain, back, random, even = (steps_PL[drawn.labels["kind"] == kind] for kind in range(4))
    assert bool((plain == 1).all())
    assert bool((back == torch.tensor([1, 1, 0, -1, -1])).all())
    assert bool((random >= 1).all())
    assert len(random.unique()) > 4
    assert bool((even == 4).all())
