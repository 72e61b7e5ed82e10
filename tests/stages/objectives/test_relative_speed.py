from pathlib import Path

import torch

from .steps import step_of
from .trained import learnt


def test_like_pace_is_nearer() -> None:
    found = learnt("relative_speed")
    assert found.after > 0.8
    assert found.after > found.before + 0.06


def test_the_loss_is_that_of_rspnet(tmp_path: Path) -> None:
    objective, step = step_of("relative_speed", tmp_path, options={"margin": 0.3, "instance": 0.5}, temperature=0.2)
    loss, ranking, instance, _ = objective.loss(step)
    pace_B3W, look_B3W = (torch.nn.functional.normalize(head(step.student()), dim=2) for head in step.heads)
    like_B = (pace_B3W[:, 0] * pace_B3W[:, 1]).sum(dim=1)
    unlike_B = (pace_B3W[:, 0] * pace_B3W[:, 2]).sum(dim=1)
    torch.testing.assert_close(ranking, torch.relu(0.3 - like_B + unlike_B).mean())
    logits_BB = look_B3W[:, 0] @ look_B3W[:, 2].T / 0.2
    torch.testing.assert_close(instance, -torch.log_softmax(logits_BB, dim=1).diagonal().mean())
    torch.testing.assert_close(loss, ranking + 0.5 * instance)
