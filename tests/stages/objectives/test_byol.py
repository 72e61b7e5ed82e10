from pathlib import Path

import torch

from .packages import lightly_loss
from .steps import loss_of, step_of, unit
from .trained import learnt

SMALL = {"aggregator": "conv", "projection": "linear", "options": {"projector": 32}, "momentum": 0.9}


def test_clips_of_a_video_find_each_other() -> None:
    found = learnt("byol", **SMALL)
    assert found.after > 4 * found.chance
    assert found.after > found.before + 0.1


def test_the_loss_is_the_distance_of_unit_vectors_both_ways(tmp_path: Path) -> None:
    byol, step = step_of("byol", tmp_path, **SMALL)
    heads = step.heads
    with torch.no_grad():
        told_BKP = heads.predictor(heads.projection.student(step.student().flatten(0, 1))).view(8, 2, -1)
        aim_BKP = heads.projection.teacher(step.teacher().flatten(0, 1)).view(8, 2, -1)
    ways = [(unit(told_BKP[:, k]) - unit(aim_BKP[:, 1 - k])).square().sum(dim=1).mean() for k in range(2)]
    torch.testing.assert_close(loss_of(byol, step), ways[0] + ways[1])
    cosine = lightly_loss().NegativeCosineSimilarity()
    theirs = cosine(told_BKP[:, 0], aim_BKP[:, 1]) + cosine(told_BKP[:, 1], aim_BKP[:, 0])
    torch.testing.assert_close(loss_of(byol, step), 4.0 + 2.0 * theirs)
