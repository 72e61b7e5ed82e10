from pathlib import Path

import torch

from mofore.stages.frames.memory import FrameTensors
from mofore.stages.frames.sampler import Sampler
from mofore.stages.objectives.catalog import make_objective
from mofore.stages.objectives.sampler import ClipSampler

from .steps import step_of
from .trained import learnt, motions, settings_of


def test_cuts_are_found() -> None:
    found = learnt("continuity")
    assert found.after > 1.8 * found.chance
    assert found.before < 1.5 * found.chance


def test_a_cut_is_where_the_label_says() -> None:
    settings = settings_of("continuity")
    memory = FrameTensors.of(motions(range(1, 2)), torch.device("cpu"))
    sampler = ClipSampler(Sampler(settings, memory, torch.arange(20)), make_objective(settings))
    _, drawn = sampler._round(0)
    steps_PL, missing_P = drawn.rows_PKL[:, 0].diff(dim=1), drawn.labels["missing"].bool()
    assert bool((steps_PL[~missing_P] == 1).all())
    assert bool((steps_PL[missing_P].argmax(dim=1) == drawn.labels["cut"][missing_P]).all())
    assert bool((steps_PL[missing_P].sum(dim=1) == 5 + 6).all())


def test_the_loss_asks_for_the_place_of_clips_with_a_cut_alone(tmp_path: Path) -> None:
    objective, step = step_of("continuity", tmp_path, batch_size=16)
    loss, _, _ = objective.loss(step)
    logits_BC, labels = step.heads(step.student()[:, 0]), step.batch.labels
    cut = labels["missing"].bool()
    cross_entropy = torch.nn.functional.cross_entropy
    where = cross_entropy(logits_BC[cut, 2:], labels["cut"][cut])
    torch.testing.assert_close(loss, cross_entropy(logits_BC[:, :2], labels["missing"]) + where)
