from pathlib import Path

import torch

from .steps import step_of
from .trained import learnt


def test_the_future_is_forecast_better_than_by_persistence() -> None:
    found = learnt("salt", lr=0.01)
    assert found.before < 0
    assert found.after > 0.1


def test_the_target_is_the_frozen_feature_itself(tmp_path: Path) -> None:
    salt, step = step_of("salt", tmp_path, aggregator="conv")
    frames_BKLD, gap_B1 = step.batch.frames, step.batch.labels["gap"][:, None]
    with torch.no_grad():
        loss, skill = salt.loss(step)
        told_BD = step.heads(step.networks.forecast(step.batch.clip(0), gap_B1))
    now_BD, future_BD = frames_BKLD.mean(dim=2).unbind(dim=1)
    error, stays = (told_BD - future_BD).abs().mean(), (now_BD - future_BD).abs().mean()
    torch.testing.assert_close(loss, error)
    torch.testing.assert_close(skill, 1 - error / stays)
