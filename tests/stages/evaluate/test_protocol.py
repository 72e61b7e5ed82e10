import numpy as np
import pytest

from mofore.data.retrieval_figures import Recalls, SplitRow
from mofore.data.types import Split, Video
from mofore.stages.evaluate.protocol import EvaluationSplit, mean_and_sd
from mofore.stages.vectors.normalize import l2_normalize


def video(name: str, label: str | None, group: str | None) -> Video:
    return Video(name, label, group, 1, 1)


VIDEOS = [
    video("a1", "A", "g01"),
    video("a2", "A", "g01"),
    video("b1", "B", "g01"),
    video("x", None, None),
    video("b2", "B", "g02"),
]
SPLIT = Split("random", frozenset({"a1", "b1", "x"}), frozenset({"a2", "b2"}))


def test_sides_are_of_the_videos_that_have_a_class() -> None:
    protocol = EvaluationSplit.of(SPLIT, VIDEOS)
    assert protocol.classes == ("A", "B")
    assert (protocol.queries.tolist(), protocol.gallery.tolist()) == ([1, 4], [0, 2])


def test_a_recording_is_of_one_class() -> None:
    group = EvaluationSplit.of(SPLIT, VIDEOS).group_V
    assert group is not None
    assert group[0] == group[1]
    assert len({*group.tolist()}) == 4, "g01 of A and g01 of B are two; a video without a group is its own"
    assert EvaluationSplit.of(SPLIT, [video("a", "A", None)]).group_V is None


def test_both_sides_are_centred_with_the_training_videos() -> None:
    vectors = l2_normalize(np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32) + 2)
    protocol = EvaluationSplit.of(SPLIT, VIDEOS)
    sides = protocol.sides(vectors, centered=True)
    mean = (vectors[0] + vectors[2] + vectors[3]) / 3  # of the training videos, with a class or without
    assert np.allclose(sides.queries_QE[0], l2_normalize((vectors[1] - mean)[None])[0], atol=1e-6)
    assert np.allclose(sides.gallery_NE[1], l2_normalize((vectors[2] - mean)[None])[0], atol=1e-6)
    assert np.array_equal(protocol.sides(vectors, centered=False).gallery_NE, vectors[[0, 2]])


def row(recall: float, mean_ap: float | None) -> SplitRow:
    found = Recalls(
        **dict.fromkeys(("r_at_1", "r_at_5", "r_at_10", "r_at_20", "r_at_50"), recall),
        mean_ap=mean_ap,
        queries=3,
        queries_without_a_match=0,
    )
    return SplitRow(recalls=found, nearest_of_same_group=None, without_same_group=None, queries_that_the_fit_saw=None)


def test_mean_and_sd_are_over_splits() -> None:
    found = mean_and_sd([row(80.0, 1.0), row(90.0, None)]).as_json()
    assert found["R@1"] == {"mean": 85.0, "sd": pytest.approx(7.0711, abs=1e-4)}
    assert set(found) == {"R@1", "R@5", "R@10", "R@20", "R@50"}, "figures that all of them have"
