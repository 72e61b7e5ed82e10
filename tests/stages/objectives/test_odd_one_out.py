from pathlib import Path

from mofore.stages.objectives.odd_one_out import CLIPS

from .steps import step_of
from .trained import learnt


def test_the_odd_one_is_found() -> None:
    found = learnt("odd_one_out")
    assert found.after > 4 * found.chance
    assert found.before < 1.5 * found.chance


def test_the_odd_one_alone_is_out_of_order(tmp_path: Path) -> None:
    _, step = step_of("odd_one_out", tmp_path, batch_size=16)
    path_BK = step.batch.frames.diff(dim=2).norm(dim=3).sum(dim=2)  # a shuffled clip goes to and fro
    assert step.batch.number == CLIPS
    assert (path_BK.argmax(dim=1) == step.batch.labels["odd"]).float().mean() > 0.7
