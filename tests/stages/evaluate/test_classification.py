import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from mofore.stages.evaluate.classification import few_shot, knn_accuracy
from mofore.stages.evaluate.ranking import Sides, rank
from mofore.stages.vectors.normalize import l2_normalize


def clustered(count: int, seed: int, spread: float = 0.45) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 5
    return l2_normalize((np.eye(8)[labels] + spread * rng.standard_normal((count, 8))).astype(np.float32)), labels


def sides(spread: float = 0.45) -> Sides:
    (queries, of_query), (gallery, of_item) = clustered(60, 0, spread), clustered(90, 1, spread)
    return Sides(queries, gallery, of_query, of_item)


@pytest.mark.parametrize("k", [1, 20])
def test_knn_is_scikit_learns(k: int) -> None:
    given = sides()

    def weights(distance: np.ndarray) -> np.ndarray:
        return np.exp((1 - distance**2 / 2) / 0.07)  # of unit vectors the squared distance is 2 - 2 cos

    reference = KNeighborsClassifier(k, weights=weights, algorithm="brute")
    reference.fit(given.gallery_NE.astype(np.float64), given.class_N)
    expected = 100 * reference.score(given.queries_QE.astype(np.float64), given.class_Q)
    assert knn_accuracy(rank(given), given, k) == pytest.approx(expected)
    assert 40 < expected < 100


def test_few_shots_are_the_nearest_mean_of_as_many_examples() -> None:
    easy, hard = few_shot(sides(0.01), 0), few_shot(sides(), 0)
    assert list(hard) == ["1", "2", "4", "8", "16"]
    assert easy["1"].mean == 100
    assert hard["16"].mean > hard["1"].mean + 5
    given = sides()
    few = Sides(given.queries_QE, given.gallery_NE[:10], given.class_Q, given.class_N[:10])
    means = l2_normalize(np.stack([few.gallery_NE[few.class_N == c].mean(axis=0) for c in range(5)]))
    expected = 100 * float(((few.queries_QE @ means.T).argmax(axis=1) == few.class_Q).mean())
    two = few_shot(few, 0)["2"]
    assert (two.mean, two.sd, two.draws) == (pytest.approx(expected), 0.0, 5), "all there are: no chance"
    assert "4" not in few_shot(few, 0)


def test_without_a_gallery_there_is_no_accuracy() -> None:
    given = sides()
    empty = Sides(given.queries_QE, given.gallery_NE[:0], given.class_Q, given.class_N[:0])
    assert knn_accuracy(rank(empty), empty) is None
    assert few_shot(empty, 0) == {}
