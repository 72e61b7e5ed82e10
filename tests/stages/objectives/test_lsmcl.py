from pathlib import Path

import torch

from .steps import loss_of, step_of, unit
from .trained import learnt

SMALL = {"aggregator": "conv", "projection": "linear", "momentum": 0.9}


def test_a_short_clip_finds_the_long_one_of_its_video() -> None:
    found = learnt("lsmcl", **SMALL)
    assert found.after > 8 * found.chance
    assert found.after > found.before + 0.1


def test_the_long_clip_is_so_much_longer(tmp_path: Path) -> None:
    _, step = step_of("lsmcl", tmp_path, steps=0, **SMALL)
    short, long = step.batch.clip(0), step.batch.clip(1)
    assert short.times_s_BL is not None
    assert long.times_s_BL is not None
    torch.testing.assert_close(long.times_s_BL, 4 * short.times_s_BL)


def test_the_loss_is_that_of_the_equation(tmp_path: Path) -> None:
    lsmcl, step = step_of("lsmcl", tmp_path, temperature=0.2, **SMALL)
    with torch.no_grad():
        told_BE = unit(step.networks.forecast(step.batch.clip(0), torch.zeros(8, 1)))
        logits_BB = told_BE @ unit(step.networks.target(step.batch.clip(1))).T / 0.2
    terms = [-logits_BB[i, i] + logits_BB[i].exp().sum().log() for i in range(8)]
    torch.testing.assert_close(loss_of(lsmcl, step), 2 * 0.2 * torch.stack(terms).mean())
