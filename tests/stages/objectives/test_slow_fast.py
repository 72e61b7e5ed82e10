from pathlib import Path

import torch

from .steps import step_of
from .trained import learnt


def test_slow_and_fast_clips_of_a_video_find_each_other() -> None:
    found = learnt("slow_fast")
    assert found.after > 8 * found.chance
    assert found.before < 3 * found.chance


def test_the_loss_is_info_nce_both_ways(tmp_path: Path) -> None:
    objective, step = step_of("slow_fast", tmp_path, temperature=0.3)
    loss, _ = objective.loss(step)
    dense_BW, sparse_BW = (
        torch.nn.functional.normalize(head(z_BE), dim=1)
        for head, z_BE in zip(step.heads, step.student().unbind(1), strict=True)
    )
    cosines_BB = dense_BW @ sparse_BW.T / 0.3
    there, back = (-torch.log_softmax(cosines, dim=1).diagonal().mean() for cosines in (cosines_BB, cosines_BB.T))
    torch.testing.assert_close(loss, (there + back) / 2)
