from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mofore.data.arrays import Float32
from mofore.stages.search.rerank import METHODS, WEIGHT, aligned, changes, dtw, rerank


def sequences(seed: int, *shape: int) -> Float32:
    drawn = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)


def dtw_by_definition(a_SE: Float32, b_SE: Float32) -> float:
    """The cheapest path from (0, 0) to (S, S), written as the recursion."""

    @cache
    def total(i: int, j: int) -> float:
        if i == j == 0:
            return 0.0
        if i == 0 or j == 0:
            return np.inf
        here = 1 - float(a_SE[i - 1] @ b_SE[j - 1])
        return here + min(total(i - 1, j), total(i, j - 1), total(i - 1, j - 1))

    return total(len(a_SE), len(b_SE)) / len(a_SE)


@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(1, 6))
def test_dtw_is_that_of_its_definition(seed: int, steps: int, items: int) -> None:
    query_SE, items_KSE = sequences(seed, steps, 5), sequences(seed + 1, items, steps, 5)
    expected = [dtw_by_definition(query_SE, item_SE) for item_SE in items_KSE]
    assert dtw(query_SE, items_KSE) == pytest.approx(expected, abs=1e-5)


@given(st.integers(0, 10_000), st.integers(2, 9))
def test_warping_never_costs_more_than_the_straight_path(seed: int, steps: int) -> None:
    query_SE, items_KSE = sequences(seed, steps, 5), sequences(seed + 1, 4, steps, 5)
    assert (dtw(query_SE, items_KSE) <= aligned(query_SE, items_KSE) + 1e-5).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_sequence_is_nearest_to_itself(method: str) -> None:
    items_NSE = sequences(3, 20, 8, 16)
    ranked_QK = np.tile(np.arange(20), (20, 1))
    ranking_QK, distance_QK = rerank(items_NSE, items_NSE, ranked_QK, method)
    assert ranking_QK[:, 0].tolist() == list(range(20))
    assert distance_QK[:, 0] == pytest.approx(0, abs=1e-5)
    assert (np.diff(distance_QK, axis=1) >= 0).all()


def test_dtw_forgives_a_pause_that_alignment_does_not() -> None:
    shown = np.eye(6, dtype=np.float32)
    paused, other = shown[[0, 0, 0, 1, 2, 3]], shown[[0, 5, 2, 5, 4, 5]]
    ranked_QK = np.array([[0, 1]])
    query, items = shown[[0, 1, 2, 3, 3, 3]][None], np.stack([other, paused])
    assert rerank(query, items, ranked_QK, "dtw")[0].tolist() == [[1, 0]]
    assert rerank(query, items, ranked_QK, "aligned")[0].tolist() == [[0, 1]]


def test_a_reversal_is_far_though_its_mean_is_the_same() -> None:
    forward = sequences(0, 8, 16)
    items = np.stack([forward[::-1], forward])
    for method in METHODS:
        assert rerank(forward[None], items, np.array([[0, 1]]), method)[0].tolist() == [[1, 0]]


def test_neighbours_after_the_top_and_missing_ones_stay_where_they_are() -> None:
    items = sequences(1, 6, 4, 8)
    ranked_QK = np.array([[5, 4, 3, 2, 1, 0], [2, 0, -1, -1, -1, -1]])
    ranking_QK, distance_QK = rerank(items[[3, 0]], items, ranked_QK, "dtw", top=3)
    assert ranking_QK[0, 0] == 3
    assert ranking_QK[0, 3:].tolist() == [2, 1, 0]
    assert ranking_QK[1].tolist() == [0, 2, -1, -1, -1, -1]
    assert distance_QK.shape == (2, 3)
    assert np.isinf(distance_QK[1, 2])


def test_equal_distances_keep_their_order() -> None:
    one = sequences(2, 1, 4, 8)
    ranking_QK, _ = rerank(one, np.repeat(one, 5, axis=0), np.array([[4, 0, 3, 1, 2]]), "dtw")
    assert ranking_QK.tolist() == [[4, 0, 3, 1, 2]]


def test_changes_forget_what_a_video_looks_like() -> None:
    moving, look = sequences(4, 2, 8, 16), 5 * sequences(5, 2, 1, 16)
    assert changes(moving + look) == pytest.approx(changes(moving), abs=1e-5)
    assert np.linalg.norm(changes(moving), axis=-1) == pytest.approx(1)


def test_beside_a_similarity_the_order_is_that_of_both() -> None:
    items, query = sequences(6, 9, 4, 8), sequences(7, 1, 4, 8)
    similarity_QK = np.linspace(0.9, 0.1, 9, dtype=np.float32)[None]
    ranking_QK, distance_QK = rerank(query, items, np.arange(9)[None], "dtw", similarity_QK=similarity_QK)
    cost_K = WEIGHT * dtw(query[0], items) - similarity_QK[0]
    assert ranking_QK[0].tolist() == sorted(range(9), key=lambda row: cost_K[row])
    assert distance_QK[0] == pytest.approx(dtw(query[0], items)[ranking_QK[0]])
