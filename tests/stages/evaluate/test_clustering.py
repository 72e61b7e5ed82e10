import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score, silhouette_score

from mofore.data.retrieval_figures import Clusters
from mofore.stages.evaluate.clustering import clustering, kmeans, mutual_information, silhouette

from .test_classification import clustered


@pytest.mark.parametrize("seed", range(3))
def test_mutual_information_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 5, 100), rng.integers(3, 9, 100)
    assert mutual_information(first, second) == pytest.approx(normalized_mutual_info_score(first, second))
    assert mutual_information(first, first) == pytest.approx(1.0)


def test_silhouette_is_scikit_learns() -> None:
    vectors, labels = clustered(80, 0)
    expected = silhouette_score(vectors.astype(np.float64), labels, metric="cosine")
    assert silhouette(vectors, labels) == pytest.approx(expected, abs=1e-6)
    labels[0] = 77  # alone in its class
    expected = silhouette_score(vectors.astype(np.float64), labels, metric="cosine")
    assert silhouette(vectors, labels) == pytest.approx(expected, abs=1e-6)


def test_clear_clusters_are_found_and_the_same_each_time() -> None:
    vectors, labels = clustered(100, 0, spread=0.05)
    assert clustering(vectors, labels, 0).nmi == pytest.approx(1.0)
    noisy, labels = clustered(100, 0)
    assert np.array_equal(kmeans(noisy, 5, 3), kmeans(noisy, 5, 3))
    assert clustering(noisy, labels, 0) == clustering(noisy, labels, 0)


def test_one_class_or_too_few_videos_have_no_clusters() -> None:
    vectors, _ = clustered(10, 0)
    assert clustering(vectors, np.zeros(10, np.int64), 0) == Clusters(nmi=None, silhouette=None, clusters=1)
    assert clustering(vectors, np.arange(10), 0).nmi is None
