from pathlib import Path

import torch

from mofore.stages.objectives.cycle import cycled

from .steps import step_of, unit
from .trained import learnt


def test_frames_come_home() -> None:
    found = learnt("cycle", aggregator="conv", projection="linear", options={"projector": 32})
    assert found.after > 6 * found.chance
    assert found.after > found.before + 0.1


def test_a_frame_is_a_clip_that_stands_still(tmp_path: Path) -> None:
    _, step = step_of("cycle", tmp_path, steps=0, aggregator="conv", options={"frames": 3})
    frames_BKLD = step.batch.frames
    assert frames_BKLD.shape[1] == 4
    assert torch.equal(frames_BKLD[:, :3], frames_BKLD[:, :3, :1].expand(-1, -1, 6, -1))
    assert (frames_BKLD[:, 3].diff(dim=1).abs().sum(dim=(1, 2)) > 0).all()


def test_a_cycle_is_two_soft_nearest_neighbours() -> None:
    start_RP, there_SP = unit(torch.randn(8, 4, generator=torch.manual_seed(0))).split([5, 3])
    for row, start_P in enumerate(start_RP):
        weights = [(start_P @ there_P / 0.2).exp() for there_P in there_SP]
        near_P = sum(w * there_P for w, there_P in zip(weights, there_SP, strict=True)) / sum(weights)
        back = torch.stack([(unit(near_P) @ other_P / 0.2).exp() for other_P in start_RP])
        torch.testing.assert_close(cycled(start_RP, there_SP, 0.2)[row], back / back.sum())


def test_the_loss_is_what_it_costs_to_come_home(tmp_path: Path) -> None:
    cycle, step = step_of("cycle", tmp_path, temperature=0.2, options={"frames": 3})
    with torch.no_grad():
        loss, home = cycle.loss(step)
        z_BKP = unit(step.heads(step.student().flatten(0, 1))).view(8, 4, -1)
    frame_RP, video_BP = z_BKP[:, :3].flatten(0, 1), z_BKP[:, 3]
    end_RB, end_BB = cycled(frame_RP, video_BP, 0.2).view(24, 8, 3).sum(dim=2), cycled(video_BP, frame_RP, 0.2)
    out = [-end_RB[row, row // 3].log() for row in range(24)]
    torch.testing.assert_close(loss, torch.stack(out).mean() - end_BB.diagonal().log().mean())
    right = [int(end_RB[row].argmax()) == row // 3 for row in range(24)]
    torch.testing.assert_close(home, torch.tensor(right).float().mean())
