from mofore.stages.objectives.odd_one_out import CLIPS

from .trained import first_step, learnt


def test_the_odd_one_is_found() -> None:
    found = learnt("odd_one_out")
    assert found.after > 4 * found.chance
    assert found.before < 1.5 * found.chance


def test_the_odd_one_alone_is_out_of_order() -> None:
    _, step = first_step("odd_one_out", batch_size=16)
    path_BK = step.batch.frames.diff(dim=2).norm(dim=3).sum(dim=2)  # a shuffled clip goes to and fro
    assert step.batch.number == CLIPS
    assert (path_BK.argmax(dim=1) == step.batch.labels["odd"]).float().mean() > 0.7
