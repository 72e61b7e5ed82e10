from pathlib import Path

import torch

from mofore.stages.objectives.losses import covariance, variance

from .packages import lightly_loss
from .steps import step_of
from .trained import learnt


def test_clips_of_a_video_find_each_other() -> None:
    found = learnt("vicreg", aggregator="mean_sd", steps=500, options={"expander": 64})
    assert found.after > 12 * found.chance
    assert found.after > found.before + 0.1
    assert found.losses[-1] < 0.4 * found.losses[0]


def test_variance_and_covariance_are_those_of_the_equations() -> None:
    z_BE = torch.tensor([[1.0, 2.0], [3.0, 2.5], [5.0, 3.0]])
    short = 1.0 - (0.25 + 1e-4) ** 0.5  # of the second dimension; the first varies by more than 1
    torch.testing.assert_close(variance(z_BE), torch.tensor(short / 2))
    torch.testing.assert_close(covariance(z_BE), torch.tensor((1.0**2 + 1.0**2) / 2))


def test_the_loss_is_the_weighted_sum_of_the_terms(tmp_path: Path) -> None:
    weights = {"invariance": 3.0, "variance": 5.0, "covariance": 7.0}
    objective, step = step_of("vicreg", tmp_path, options={"expander": 16, **weights})
    with torch.no_grad():
        loss, agree, vary, covary, _ = objective.loss(step)
        one_BP, other_BP = (step.heads(z_BE) for z_BE in step.student().unbind(dim=1))
    torch.testing.assert_close(agree, (one_BP - other_BP).square().mean())
    torch.testing.assert_close(loss, 3 * agree + 5 * vary + 7 * covary)


def test_the_terms_are_those_of_lightly(tmp_path: Path) -> None:
    objective, step = step_of("vicreg", tmp_path, options={"expander": 16})
    with torch.no_grad():
        _, agree, vary, covary, _ = objective.loss(step)
        theirs = lightly_loss().VICRegLoss()(*(step.heads(z_BE) for z_BE in step.student().unbind(dim=1)))
    torch.testing.assert_close(25 * agree + 25 * vary / 2 + covary, theirs)  # which takes the mean of both variances
