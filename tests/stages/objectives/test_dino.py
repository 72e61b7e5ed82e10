from pathlib import Path

import torch
from torch import Tensor

from mofore.stages.objectives.contract import Step

from .packages import lightly_loss
from .steps import loss_of, step_of
from .trained import learnt

SMALL = {"aggregator": "conv", "projection": "linear", "options": {"prototypes": 64}, "momentum": 0.9}


def test_clips_name_the_prototype_that_the_teacher_names() -> None:
    found = learnt("dino", **SMALL)
    assert found.after > 1.4 * found.chance
    assert found.after > found.before + 0.15


def logits(step: Step) -> tuple[Tensor, Tensor]:
    """Of the student (6, B, C) and the teacher (2, B, C)."""
    with torch.no_grad():
        said_KBC = step.heads.student(step.student().flatten(0, 1)).unflatten(0, (8, -1)).transpose(0, 1)
        seen_TBC = step.heads.teacher(step.teacher()[:, :2].flatten(0, 1)).unflatten(0, (8, 2)).transpose(0, 1)
    return said_KBC, seen_TBC


def test_the_loss_is_that_of_lightly(tmp_path: Path) -> None:
    dino, step = step_of("dino", tmp_path, **SMALL)
    theirs = lightly_loss().DINOLoss(64)
    theirs.center = step.heads.center_C.clone()[None, None]
    assert step.heads.center_C.abs().max() > 0
    said_KBC, seen_TBC = logits(step)
    torch.testing.assert_close(loss_of(dino, step), theirs(list(seen_TBC), list(said_KBC)), rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_cross_entropy_of_different_clips(tmp_path: Path) -> None:
    dino, step = step_of("dino", tmp_path, **SMALL)
    said_KBC, seen_TBC = logits(step)
    terms = []
    for t in range(2):
        target_BC = ((seen_TBC[t] - step.heads.center_C) / 0.04).softmax(dim=1)
        terms += [-(target_BC * (said_KBC[k] / 0.1).log_softmax(dim=1)).sum(dim=1).mean() for k in range(6) if k != t]
    torch.testing.assert_close(loss_of(dino, step), torch.stack(terms).mean(), rtol=1e-4, atol=1e-5)


def test_the_centre_is_the_moving_mean_of_the_teachers_outputs(tmp_path: Path) -> None:
    dino, step = step_of("dino", tmp_path, steps=1, **SMALL)
    before_C = step.heads.center_C.clone()
    dino.after(step)
    torch.testing.assert_close(step.heads.center_C, 0.9 * before_C + 0.1 * logits(step)[1].mean(dim=(0, 1)))
