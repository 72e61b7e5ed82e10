from pathlib import Path

import torch
from torch import Tensor

from mofore.stages.objectives.contract import Step

from .packages import lightly_loss
from .steps import loss_of, step_of, unit
from .trained import learnt

SMALL = {"aggregator": "conv", "projection": "linear", "options": {"projector": 32}, "momentum": 0.9}


def test_clips_of_a_video_find_each_other() -> None:
    found = learnt("byol", **SMALL)
    assert found.after > 4 * found.chance
    assert found.after > found.before + 0.1


def told_and_aim(step: Step) -> tuple[Tensor, Tensor]:
    """Predictions and targets (B, 2, P)."""
    heads = step.heads
    with torch.no_grad():
        told_RP = heads.predictor(heads.projection.student(step.student().flatten(0, 1)))
        aim_RP = heads.projection.teacher(step.teacher().flatten(0, 1))
    return told_RP.view(8, 2, -1), aim_RP.view(8, 2, -1)


def test_the_loss_is_the_distance_of_unit_vectors_both_ways(tmp_path: Path) -> None:
    byol, step = step_of("byol", tmp_path, **SMALL)
    told_BKP, aim_BKP = told_and_aim(step)
    ways = [(unit(told_BKP[:, k]) - unit(aim_BKP[:, 1 - k])).square().sum(dim=1).mean() for k in range(2)]
    torch.testing.assert_close(loss_of(byol, step), ways[0] + ways[1])


def test_the_loss_is_that_of_lightly(tmp_path: Path) -> None:
    byol, step = step_of("byol", tmp_path, **SMALL)
    (told_BKP, aim_BKP), cosine = told_and_aim(step), lightly_loss().NegativeCosineSimilarity()
    theirs = cosine(told_BKP[:, 0], aim_BKP[:, 1]) + cosine(told_BKP[:, 1], aim_BKP[:, 0])
    torch.testing.assert_close(loss_of(byol, step), 4.0 + 2.0 * theirs)
