import numpy as np

from mofore.data.metrics import QueryFigures
from mofore.stages.report.neighbours import KEPT, SpaceVectors, _without_itself, examples


def space(similarity_VK: list[list[float]]) -> SpaceVectors:
    values = np.array(similarity_VK, np.float32)
    return SpaceVectors("mofore", values, values, np.zeros(values.shape, np.int64), values)


def figures(precision: list[float | None]) -> QueryFigures:
    return QueryFigures(first_hit=tuple(1.0 for _ in precision), average_precision=tuple(precision))


def test_a_video_is_not_its_own_neighbour() -> None:
    near_VK = np.array([[0, 1, 2], [2, 1, 0], [0, 1, 3]])
    similarity_VK = np.array([[1.0, 0.5, 0.4], [0.9, 1.0, 0.3], [0.8, 0.7, 0.6]], np.float32)
    near_VK, similarity_VK = _without_itself(near_VK, similarity_VK)
    assert near_VK.tolist() == [[1, 2, -1], [2, 0, -1], [0, 1, 3]]
    assert np.allclose(similarity_VK[:2, :2], [[0.5, 0.4], [0.9, 0.3]])


def test_no_more_than_are_shown_are_kept() -> None:
    near_VK = np.tile(np.arange(1, KEPT + 2), (1, 1))
    assert _without_itself(near_VK, near_VK.astype(np.float32))[0].shape == (1, KEPT)


def test_best_typical_and_worst_go_by_average_precision_one_of_each_class() -> None:
    precision = [0.9, 0.8, 0.5, 0.1, 0.2, 0.4]
    shown = examples(figures([*precision]), range(6), ["a", "a", "b", "b", "c", "c"], space([[0.0]] * 6))
    assert "average precision" in shown.rule
    assert shown.kinds["best"] == [0, 2, 5], "the second of class a is passed over"
    assert shown.kinds["worst"] == [3, 4, 1]
    assert shown.kinds["typical"][0] in (2, 5)


def test_with_fewer_classes_than_examples_the_rest_is_filled_up() -> None:
    shown = examples(figures([0.9, 0.8, 0.7, 0.6]), range(4), ["a"] * 4, space([[0.0]] * 4))
    assert shown.kinds["best"] == [0, 1, 2]


def test_without_classes_similarity_decides() -> None:
    shown = examples(figures([None, None, None]), [0, 1, 2], [None] * 3, space([[0.3], [0.9], [0.5]]))
    assert "nearest video" in shown.rule
    assert shown.kinds["best"][0] == 1
    assert shown.kinds["worst"][0] == 0


def test_of_nothing_nothing_is_shown() -> None:
    assert examples(None, [], [], None).kinds == {}
