from pathlib import Path

import torch

from mofore.stages.objectives.queue import Queue

from .steps import loss_of, step_of, unit
from .trained import learnt

SMALL = {"aggregator": "conv", "projection": "linear", "options": {"queue": 512, "projector": 32}, "momentum": 0.9}


def test_clips_of_a_video_find_each_other() -> None:
    found = learnt("moco", **SMALL)
    assert found.after > 8 * found.chance
    assert found.after > found.before + 0.05


def test_the_loss_is_that_of_the_equation(tmp_path: Path) -> None:
    moco, step = step_of("moco", tmp_path, **SMALL | {"temperature": 0.2})
    heads, queue = step.heads, step.heads.queue
    with torch.no_grad():
        query_BP = unit(heads.projection.student(step.student().flatten(0, 1)).view(8, 2, -1)[:, 0])
        key_BP = unit(heads.projection.teacher(step.teacher().flatten(0, 1)).view(8, 2, -1)[:, 1])
    assert int(queue.pushed) == 16
    terms = []
    for query_P, key_P, video in zip(query_BP, key_BP, step.batch.video_B, strict=True):
        others = [row for row, whose in zip(queue.key_QE, queue.video_Q, strict=True) if whose != video]
        logits = torch.stack([query_P @ key_P, *(query_P @ row for row in others)]) / 0.2
        terms.append(-logits[0] + logits.exp().sum().log())
    torch.testing.assert_close(loss_of(moco, step), torch.stack(terms).mean(), rtol=1e-4, atol=1e-5)


def test_the_keys_projector_follows_as_the_teacher_does(tmp_path: Path) -> None:
    _, before = step_of("moco", tmp_path, steps=0, **SMALL)
    first = [each.clone() for each in before.heads.projection.student.parameters()]
    _, after = step_of("moco", tmp_path, steps=1, **SMALL)
    averages, now = after.heads.projection.teacher.parameters(), after.heads.projection.student.parameters()
    for start, average, moved in zip(first, averages, now, strict=True):
        torch.testing.assert_close(average, 0.9 * start + 0.1 * moved)


def test_the_queue_forgets_the_oldest() -> None:
    queue, key_RE = Queue(4, 2), torch.eye(2).repeat(3, 1)
    queue.push(key_RE[:3], torch.tensor([1, 2, 3]))
    queue.push(key_RE[3:], torch.tensor([4, 5, 6]))
    assert queue.video_Q.tolist() == [5, 6, 3, 4]
    assert queue.cosines(torch.eye(2)[:1], torch.tensor([5])).tolist()[0][0] == float("-inf")
    queue.push(torch.eye(2).repeat(5, 1), torch.arange(10))
    assert sorted(queue.video_Q.tolist()) == [6, 7, 8, 9]
