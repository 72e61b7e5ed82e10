"""Mutual proximity against its definition, pair by pair."""

import math

import numpy as np
import pytest

from mofore.data.arrays import Float32, Float64
from mofore.stages.evaluate.classification import knn_accuracy
from mofore.stages.evaluate.mutual_proximity import MutualProximity
from mofore.stages.evaluate.ranking import Sides, rank
from mofore.stages.vectors.normalize import l2_normalize


def unit_vectors(count: int, seed: int, width: int = 5) -> Float32:
    return l2_normalize(np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32))


def normal(value: float) -> float:
    return 0.5 * math.erfc(-value / math.sqrt(2))


def slow(queries_QE: Float32, gallery_NE: Float32) -> Float64:
    """MP (Q, N): of each pair, how probable it is that a random item is farther from both."""
    found_QN = np.empty((len(queries_QE), len(gallery_NE)))
    for q, asked_E in enumerate(queries_QE.astype(np.float64)):
        from_query = [float(asked_E @ item_E) for item_E in gallery_NE]
        for n, item_E in enumerate(gallery_NE.astype(np.float64)):
            from_item = [float(item_E @ other_E) for m, other_E in enumerate(gallery_NE) if m != n]
            seen = [normal((from_query[n] - np.mean(of)) / np.std(of)) for of in (from_query, from_item)]
            found_QN[q, n] = seen[0] * seen[1]
    return found_QN


def test_logarithms_are_those_of_the_definition() -> None:
    queries_QE, gallery_NE = unit_vectors(6, 0), unit_vectors(15, 1)
    found_QN = MutualProximity.of(gallery_NE).logarithms(queries_QE, gallery_NE.T.astype(np.float64))
    assert np.exp(found_QN) == pytest.approx(slow(queries_QE, gallery_NE), rel=1e-5)


def test_a_ranking_by_mutual_proximity_is_sorted_by_it() -> None:
    queries_QE, gallery_NE = unit_vectors(6, 0), unit_vectors(15, 1)
    of_query, of_item = np.arange(6) % 3, np.arange(15) % 3
    by_mutual = Sides(queries_QE, gallery_NE, of_query, of_item, mutual=True)
    ranked = rank(by_mutual)
    assert np.array_equal(ranked.nearest_QK, np.argsort(-slow(queries_QE, gallery_NE), axis=1))
    assert not np.array_equal(ranked.nearest_QK, rank(Sides(queries_QE, gallery_NE, of_query, of_item)).nearest_QK)
    right_Q = of_item[ranked.nearest_QK[:, 0]] == of_query
    assert knn_accuracy(ranked, by_mutual, 1) == pytest.approx(100 * right_Q.mean())


def test_equal_items_stay_tied_and_near_certainties_apart() -> None:
    gallery_NE = np.concatenate([unit_vectors(300, 2, 64), unit_vectors(300, 2, 64)[:1]])
    ranked = rank(Sides(gallery_NE[:1], gallery_NE, np.zeros(1, np.int64), np.arange(301), mutual=True))
    first, second, third = ranked.similarity_QK[0, :3]
    assert sorted(ranked.nearest_QK[0, :2].tolist()) == [0, 300]
    assert first == second
    assert third < second < 0


def test_a_gallery_of_one_item_or_of_equal_ones_has_an_outcome() -> None:
    for gallery_NE in (unit_vectors(1, 0), np.repeat(unit_vectors(1, 0), 4, axis=0)):
        found_QN = MutualProximity.of(gallery_NE).logarithms(unit_vectors(2, 1), gallery_NE.T.astype(np.float64))
        assert np.isfinite(found_QN).all() or found_QN.max() <= 0
        assert not np.isnan(found_QN).any()
