import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mofore.data.errors import ConfigError
from mofore.stages.evaluate.mveb import (
    CLUSTERED,
    DRAWS,
    EXAMPLES,
    check_scikit_learn,
    examples,
    mveb,
    right_draws,
    v_measures,
)
from mofore.stages.evaluate.ranking import Sides
from mofore.stages.evaluate.resampling import Resampling

from ...mteb_tasks import tasks
from .test_classification import clustered

VIDEOS = Resampling(50, 0)


def given(noise: float = 0.35, count: int = 260) -> tuple[Sides, np.ndarray[Any, Any]]:
    """Sides of overlapping classes of unequal size, and which videos are the gallery."""
    rng = np.random.default_rng(1)
    label_V = rng.choice(5, count, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    vectors_VE = (np.eye(5, 24)[label_V] * 0.5 + noise * rng.standard_normal((count, 24))).astype(np.float32)
    vectors_VE /= np.linalg.norm(vectors_VE, axis=1, keepdims=True)
    train_V = rng.random(count) < 0.6
    return Sides(vectors_VE[~train_V], vectors_VE[train_V], label_V[~train_V], label_V[train_V]), train_V


def test_examples_are_few_of_each_class_and_other_ones_each_time() -> None:
    class_N = np.repeat([0, 1, 2], [30, 5, 40])
    draws = list(examples(class_N))
    assert len(draws) == DRAWS
    assert all(np.bincount(class_N[drawn]).tolist() == [EXAMPLES, 5, EXAMPLES] for drawn in draws)
    assert len({tuple(sorted(drawn)) for drawn in draws}) == DRAWS


def test_classes_that_lie_apart_are_told_apart_and_noise_is_not() -> None:
    vectors, labels = clustered(200, 0)
    other, asked = clustered(100, 1)
    found = mveb(Sides(other, vectors, asked, labels), VIDEOS, None)
    assert found.classification is not None
    assert found.clustering is not None
    assert found.classification.accuracy > 70
    assert found.classification.intervals.interval is not None
    assert found.classification.chance == pytest.approx(100 / len(np.unique(labels)))
    assert found.clustering.v_measure > 5 * found.clustering.chance > 0
    rng = np.random.default_rng(0)
    noise = mveb(Sides(rng.permutation(other), rng.permutation(vectors), asked, labels), VIDEOS, None)
    assert noise.classification is not None
    assert noise.clustering is not None
    assert abs(noise.classification.accuracy - noise.classification.chance) < 12
    assert noise.clustering.v_measure < 3 * noise.clustering.chance


def test_one_class_has_no_figure() -> None:
    vectors, labels = clustered(20, 0)
    found = mveb(Sides(vectors, vectors, labels * 0, labels * 0), VIDEOS, None)
    assert (found.classification, found.clustering) == (None, None)


def test_without_scikit_learn_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(ConfigError, match=r"evaluate\.mveb = true needs scikit-learn: pip install scikit-learn"):
        check_scikit_learn()


@pytest.mark.filterwarnings("ignore")
def test_both_figures_are_those_of_mteb(tmp_path: Path) -> None:
    """Accuracy of each of the 10 draws, and V-measure of each of the 10, without any tolerance."""
    pytest.importorskip("mteb")
    sides, train_V = given()
    label_V = np.empty(len(train_V), np.int64)
    label_V[train_V], label_V[~train_V] = sides.class_N, sides.class_Q
    vector_of = dict(zip(np.flatnonzero(train_V), sides.gallery_NE, strict=True))
    vector_of |= dict(zip(np.flatnonzero(~train_V), sides.queries_QE, strict=True))

    class Known:
        """An encoder of `mteb` that looks vectors up."""

        mteb_model_meta = None

        def encode(self, inputs: Any, **_: Any) -> np.ndarray[Any, Any]:
            return np.stack([vector_of[int(video)] for batch in inputs for video in batch["video"]])

        def similarity(self, *_: Any) -> None: ...

        def similarity_pairwise(self, *_: Any) -> None: ...

    classification, clustering = tasks([str(n) for n in range(len(label_V))], label_V.tolist(), train_V)
    theirs = classification.evaluate(Known(), "test", encode_kwargs={})["default"]
    ours = right_draws(sides).mean(axis=1)
    assert ours.tolist() == [each["accuracy"] for each in theirs["scores_per_experiment"]]
    assert len(set(ours)) > 1, "draws differ"
    assert float(np.mean(ours)) == pytest.approx(theirs["main_score"], abs=1e-15)
    theirs = clustering.evaluate(Known(), "test", encode_kwargs={})["default"]
    found, _ = v_measures(sides.queries_QE, sides.class_Q, sides.class_Q)
    assert found.tolist() == theirs["v_measures"]["Level 0"]
    from mteb.tasks.classification.eng.ucf101_classification import UCF101VideoClassification
    from mteb.tasks.clustering.eng.ucf101_clustering import UCF101VideoClustering

    official, clusters = UCF101VideoClassification, UCF101VideoClustering
    assert (official.samples_per_label, official.n_experiments) == (EXAMPLES, DRAWS)
    assert (clusters.n_clusters, clusters.max_documents_per_cluster) == (DRAWS, CLUSTERED)
    assert clusters.max_fraction_of_documents_to_embed is None
