from pathlib import Path

import torch

from mofore.stages.objectives.swav import sinkhorn

from .packages import lightly_loss
from .steps import loss_of, step_of, unit
from .trained import learnt

SMALL = {
    "aggregator": "conv",
    "projection": "linear",
    "options": {"prototypes": 64, "queue": 128, "projector": 32},
}


def test_clips_name_the_prototype_of_the_other_clip() -> None:
    found = learnt("swav", **SMALL)
    assert found.after > 2 * found.chance
    assert found.after > found.before + 0.1


def test_assignments_share_the_prototypes_out_evenly() -> None:
    cosine_RC = torch.rand(12, 4, generator=torch.manual_seed(0))
    code_RC = sinkhorn(cosine_RC, 0.5, 50)
    torch.testing.assert_close(code_RC.sum(dim=1), torch.ones(12))
    torch.testing.assert_close(code_RC.sum(dim=0), torch.full((4,), 3.0))


def test_the_loss_is_that_of_lightly(tmp_path: Path) -> None:
    swav, step = step_of("swav", tmp_path, temperature=0.1, **SMALL)
    losses, heads = lightly_loss(), step.heads
    with torch.no_grad():
        z_KBP = unit(heads.projection(step.student().flatten(0, 1))).view(8, 2, -1).transpose(0, 1)
        scores_KBC, earlier_QC = z_KBP @ heads.prototype_CP.T, heads.queue.key_QE[:32] @ heads.prototype_CP.T
    assert int(heads.queue.pushed) == 32
    theirs = losses.SwaVLoss()(list(scores_KBC), [], [earlier_QC, earlier_QC])
    torch.testing.assert_close(loss_of(swav, step), theirs[0])
    torch.testing.assert_close(sinkhorn(scores_KBC[0], 0.05, 3), losses.swav_loss.sinkhorn(scores_KBC[0]))


def test_prototypes_stay_unit(tmp_path: Path) -> None:
    _, step = step_of("swav", tmp_path, **SMALL)
    torch.testing.assert_close(step.heads.prototype_CP.norm(dim=1), torch.ones(64))
