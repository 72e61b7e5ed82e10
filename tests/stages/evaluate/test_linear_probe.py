import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from mofore.stages.evaluate.linear_probe import GRID, logistic_regression, probe
from mofore.stages.evaluate.ranking import Sides

from .test_classification import clustered, sides


@pytest.mark.parametrize("c", [1.0, 100.0])
def test_logistic_regression_is_scikit_learns(c: float) -> None:
    vectors, labels = clustered(200, 0)
    found = logistic_regression(torch.from_numpy(vectors), labels, c)
    reference = LogisticRegression(C=c, max_iter=5000, tol=1e-8).fit(vectors.astype(np.float64), labels)
    # Intercepts are free up to a constant that all classes share.
    bias = found.bias_C.numpy()
    assert np.allclose(found.weight_CE.numpy(), reference.coef_, atol=2e-2 * np.abs(reference.coef_).max())
    assert np.allclose(bias - bias.mean(), reference.intercept_ - reference.intercept_.mean(), atol=0.05)
    others, _ = clustered(100, 3)
    assert found.is_right(torch.from_numpy(others), reference.predict(others)).mean() > 0.98


def test_c_is_chosen_without_looking_at_the_queries() -> None:
    given = sides()
    swapped = Sides(given.queries_QE[::-1].copy(), given.gallery_NE, given.class_Q, given.class_N)
    first, second = probe(given, 0), probe(swapped, 0)
    assert first.c == second.c
    assert first.c in GRID
    assert first.accuracy == pytest.approx(100 * first.right_Q.mean())
    assert 100 * first.right_Q.mean() > 60 > 100 * second.right_Q.mean()


def test_recordings_are_held_out_whole() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 5)
    # Within a recording all clips are the same: C would look perfect if a recording were on both sides.
    vectors = rng.standard_normal((20, 64)).astype(np.float32)[group]
    labels = (np.arange(20) % 2)[group]
    given = Sides(vectors[:4], vectors, labels[:4], labels, group[:4], group)
    assert (probe(given, 0).accuracy_held_out or 100) < 90
    mixed = Sides(vectors[:4], vectors, labels[:4], labels)
    assert (probe(mixed, 0).accuracy_held_out or 0) > 95


def test_one_class_has_no_probe() -> None:
    given = sides()
    single = Sides(given.queries_QE, given.gallery_NE, given.class_Q, np.zeros_like(given.class_N))
    found = probe(single, 0)
    assert found.accuracy is None
    assert np.isnan(found.right_Q).all()
