from pathlib import Path

import torch

from mofore.stages.objectives.lift import straight

from .steps import step_of
from .trained import learnt


def test_frames_are_given_back_by_a_straight_line() -> None:
    found = learnt("lift")
    assert found.after > 0.3
    assert found.before < 0.0


def test_the_line_begins_at_the_static_half_and_ends_at_the_sum() -> None:
    torch.manual_seed(0)
    static_BW, dynamic_BW = torch.randn(3, 4), torch.randn(3, 4)
    line_BLW = straight(static_BW, dynamic_BW, 5)
    torch.testing.assert_close(line_BLW[:, 0], static_BW)
    torch.testing.assert_close(line_BLW[:, 1], static_BW + dynamic_BW / 4)
    torch.testing.assert_close(line_BLW[:, 4], static_BW + dynamic_BW)


def test_the_loss_is_the_squared_error_and_a_tenth_of_the_cosine(tmp_path: Path) -> None:
    objective, step = step_of("lift", tmp_path)
    loss, error, cosine, _, _ = objective.loss(step)
    z_BE, frames_BLD = step.student()[:, 0], step.batch.frames[:, 0]
    half = z_BE.shape[1] // 2
    static_BW, dynamic_BW = z_BE[:, :half], z_BE[:, half:]
    made_BLD = torch.stack([step.heads(static_BW + t / 5 * dynamic_BW) for t in range(6)], dim=1)
    torch.testing.assert_close(error, torch.nn.functional.mse_loss(made_BLD, frames_BLD))
    cosine_B = (static_BW * dynamic_BW).sum(dim=1) / (static_BW.norm(dim=1) * dynamic_BW.norm(dim=1))
    torch.testing.assert_close(cosine, cosine_B.abs().mean())
    torch.testing.assert_close(loss, error + 0.1 * cosine)
