from pathlib import Path

import torch

from .steps import loss_of, step_of, unit
from .trained import learnt

SMALL = {"aggregator": "conv", "projection": "linear", "options": {"queue": 256, "projector": 32}, "momentum": 0.9}


def test_clips_of_a_video_find_each_other() -> None:
    found = learnt("rho_moco", steps=100, **SMALL)
    assert found.after > 8 * found.chance
    assert found.after > found.before + 0.1


def test_every_clip_is_held_against_the_keys_of_all_the_others(tmp_path: Path) -> None:
    rho, step = step_of("rho_moco", tmp_path, **SMALL)
    assert step.batch.number == 3
    with torch.no_grad():
        query_BKP = unit(step.heads.projection.student(step.student().flatten(0, 1))).view(8, 3, -1)
        key_BKP = unit(step.heads.projection.teacher(step.teacher().flatten(0, 1))).view(8, 3, -1)
        pairs = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
        losses = [rho.contrast(query_BKP[:, i], key_BKP[:, j], step) for i, j in pairs]
    torch.testing.assert_close(loss_of(rho, step), torch.stack(losses).mean())
