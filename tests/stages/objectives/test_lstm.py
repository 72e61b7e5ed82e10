from pathlib import Path

import torch

from .steps import step_of
from .trained import learnt


def test_clips_are_played_back_and_foretold() -> None:
    found = learnt("lstm")
    assert found.after > 0.3
    assert found.before < 0.05


def test_the_loss_is_the_mean_squared_error_of_the_reversed_clip_and_of_its_future(tmp_path: Path) -> None:
    objective, step = step_of("lstm", tmp_path)
    loss, reconstruction, prediction, _ = objective.loss(step)
    z_BE = step.networks.student(step.batch.clip(0))
    seen_BLD, coming_BLD = step.batch.frames.unbind(1)
    mean_B1D = seen_BLD.mean(dim=1, keepdim=True)
    backwards, onwards = (decoder(z_BE, 6) + mean_B1D for decoder in step.heads)
    torch.testing.assert_close(reconstruction, torch.nn.functional.mse_loss(backwards.flip(1), seen_BLD))
    torch.testing.assert_close(prediction, torch.nn.functional.mse_loss(onwards, coming_BLD))
    torch.testing.assert_close(loss, reconstruction + prediction)
