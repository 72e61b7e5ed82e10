from pathlib import Path

import torch

from mofore.stages.frames.memory import Clips
from mofore.stages.objectives.losses import covariance, variance
from mofore.stages.objectives.vididi import PAIRS, differenced

from .steps import step_of
from .trained import learnt


def test_a_clip_finds_the_difference_of_another_of_its_video() -> None:
    found = learnt("vididi", options={"expander": 64}, batch_size=80, clip_length=10)
    assert found.after > 5 * found.chance
    assert found.after > found.before + 0.05
    assert found.losses[-1] < 0.8 * found.losses[0]


def test_differences_are_as_large_as_deviations_from_the_mean() -> None:
    torch.manual_seed(0)
    clips = Clips(torch.randn(3, 6, 4), torch.arange(6.0).expand(3, -1))
    deviation = (clips.features - clips.features.mean(dim=1, keepdim=True)).norm() / 72**0.5
    for order in (1, 2):
        made = differenced(clips, order)
        plain_BLD = clips.features[:, 1:] - clips.features[:, :-1]
        if order == 2:
            plain_BLD = plain_BLD[:, 1:] - plain_BLD[:, :-1]
        factor = (made.features / plain_BLD).flatten()
        torch.testing.assert_close(factor, factor[:1].expand_as(factor), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(made.features.square().mean().sqrt(), deviation, rtol=1e-4, atol=1e-5)
        assert made.times_s_BL is not None
        assert made.times_s_BL.shape == made.features.shape[:2]


def test_pairs_of_orders_take_turns(tmp_path: Path) -> None:
    for steps, (first, second) in enumerate(PAIRS):
        objective, step = step_of("vididi", tmp_path / str(steps), steps=steps, options={"expander": 16})
        one_BP = step.heads(step.networks.student(differenced(step.batch.clip(0), first)))
        other_BP = step.heads(step.networks.student(differenced(step.batch.clip(1), second)))
        apart = (one_BP - other_BP).square().mean()
        wanted = 25 * apart + 25 * (variance(one_BP) + variance(other_BP)) + covariance(one_BP) + covariance(other_BP)
        torch.testing.assert_close(objective.loss(step)[0], wanted, rtol=1e-4, atol=1e-4)
