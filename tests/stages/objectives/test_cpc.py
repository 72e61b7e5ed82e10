from pathlib import Path

import torch

from .steps import step_of
from .trained import learnt


def test_coming_frames_are_told_from_all_others() -> None:
    found = learnt("cpc", lr=1e-2)
    assert found.after > 10 * found.chance
    assert found.before < 4 * found.chance


def test_the_loss_is_info_nce_over_all_frames_of_the_batch(tmp_path: Path) -> None:
    objective, step = step_of("cpc", tmp_path, options={"horizons": 3, "code": 8})
    loss, pretext, when = objective.loss(step)
    context_BE = step.networks.student(step.batch.clip(0))
    coming_BHD = step.batch.frames[:, 1, :3]
    everyone_ND = torch.cat([coming_BHD.reshape(-1, 64), step.batch.frames[:, 0].reshape(-1, 64)])
    matrix_HCE = step.heads.foretell.weight.view(3, 8, -1)
    losses, right, right_when = [], [], []
    for b in range(len(step.batch)):
        for k in range(3):
            logits_N = step.heads.code(everyone_ND) @ (matrix_HCE[k] @ context_BE[b])
            losses.append(-torch.log_softmax(logits_N, dim=0)[3 * b + k])
            right.append(int(logits_N.argmax()) == 3 * b + k)
            right_when.append(int(logits_N[3 * b : 3 * b + 3].argmax()) == k)
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    torch.testing.assert_close(pretext, torch.tensor(right).float().mean())
    torch.testing.assert_close(when, torch.tensor(right_when).float().mean())


def test_the_second_clip_follows_the_first_at_once(tmp_path: Path) -> None:
    _, step = step_of("cpc", tmp_path)
    assert step.batch.frames.shape == (8, 2, 6, 64)
    both = step.batch.frames.flatten(1, 2)
    apart_BL = both.diff(dim=1).norm(dim=2)
    assert float(apart_BL[:, 5].mean()) < 2 * float(apart_BL.mean())  # no jump from the one to the other
