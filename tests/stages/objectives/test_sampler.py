import pytest
import torch

from mofore.stages.frames.memory import FrameTensors
from mofore.stages.frames.sampler import Sampler
from mofore.stages.objectives.catalog import make_objective
from mofore.stages.objectives.sampler import ClipSampler

from .trained import motions, settings_of


@pytest.mark.parametrize("name", ["simclr", "dino", "lsmcl", "cycle", "iic"])
def test_means_are_those_of_the_frames_shown_with_and_without_prefix_sums(name: str) -> None:
    settings = settings_of(name, aggregator="mean", inputs="plain")
    plain = FrameTensors.of(motions(range(1, 2)), torch.device("cpu"))
    means = []
    for memory in (plain, plain.with_prefix_sums()):
        sampler = ClipSampler(Sampler(settings, memory, torch.arange(len(memory.frames_V))), make_objective(settings))
        _, drawn = sampler._round(0)
        means.append(next(sampler.batches(0, 1)).means)
    assert torch.equal(*means)
    for rows_KL, shown_KD in zip(drawn.rows_PKL, means[0], strict=False):
        for rows_L, shown_D in zip(rows_KL, shown_KD, strict=True):
            torch.testing.assert_close(plain.clips(rows_L.unique()[None]).features[0].mean(dim=0), shown_D)
