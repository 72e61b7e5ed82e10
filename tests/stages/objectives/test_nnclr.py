from pathlib import Path

import torch

from mofore.stages.objectives.nnclr import nearest

from .steps import loss_of, step_of, unit
from .trained import learnt

SMALL = {"aggregator": "conv", "projection": "linear", "options": {"queue": 256, "projector": 32}}


def test_clips_of_a_video_find_each_other() -> None:
    found = learnt("nnclr", **SMALL)
    assert found.after > 6 * found.chance
    assert found.after > found.before + 0.15


def test_the_loss_is_that_of_the_equation(tmp_path: Path) -> None:
    nnclr, step = step_of("nnclr", tmp_path, temperature=0.2, **SMALL)
    heads, key_QE = step.heads, step.heads.queue.key_QE
    with torch.no_grad():
        z_RP = unit(heads.projection(step.student().flatten(0, 1)))
        told_BKP, z_BKP = unit(heads.predictor(z_RP)).view(8, 2, -1), z_RP.view(8, 2, -1)
    terms = []
    for k in range(2):
        for i in range(8):
            near_P = max(key_QE, key=lambda key_P, z_P=z_BKP[i, k]: float(z_P @ key_P))
            logits_B = told_BKP[:, 1 - k] @ near_P / 0.2
            terms.append(-logits_B[i] + logits_B.exp().sum().log())
    torch.testing.assert_close(loss_of(nnclr, step), torch.stack(terms).mean(), rtol=1e-4, atol=1e-5)


def test_the_nearest_is_taken_by_cosine() -> None:
    key_QE = unit(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    found_11E = nearest(unit(torch.tensor([[[0.9, 1.0]]])), key_QE)
    torch.testing.assert_close(found_11E[0, 0], key_QE[2])
