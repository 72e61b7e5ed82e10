"""Figures of rankings with ties against means over the orders of what is tied."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mofore.stages.evaluate.classification import few_shot, knn_accuracy
from mofore.stages.evaluate.embedding_health import group_probe
from mofore.stages.evaluate.linear_probe import probe
from mofore.stages.evaluate.nearest_neighbors import is_right, neighbours
from mofore.stages.evaluate.ranking import Sides, average_precision, rank
from mofore.stages.evaluate.retrieval import RANKS, confusions, hubness, purity_by_distance, recalls, same_group_share
from mofore.stages.vectors.normalize import l2_normalize

CLASSES = ("a", "b", "c")


def on_a_grid(seed: int, queries: int, items: int, places: int = 3) -> Sides:
    """Vectors of few places, so that many cosines are bit-equal; classes and recordings at random."""
    rng = np.random.default_rng(seed)
    grid = l2_normalize(np.random.default_rng(7).standard_normal((places, 5)).astype(np.float32))
    codes = (rng.integers(0, 3, n) for n in (queries, items, queries, items))
    return Sides(grid[rng.integers(0, places, queries)], grid[rng.integers(0, places, items)], *codes)


def reordered(sides: Sides, order: np.ndarray) -> Sides:
    assert sides.group_N is not None
    return replace(
        sides, gallery_NE=sides.gallery_NE[order], class_N=sides.class_N[order], group_N=sides.group_N[order]
    )


def in_this_order(sides: Sides) -> list[dict[str, float]]:
    """Of each query R@k, AP and rank of the first hit, ties taken as they lie."""
    found = []
    for query, number in zip(sides.queries_QE, sides.class_Q, strict=True):
        cosines = (query.astype(np.float64) @ sides.gallery_NE.T.astype(np.float64)).astype(np.float32)
        relevant = sides.class_N[np.argsort(-cosines, kind="stable")] == number
        hits = {f"R@{k}": float(relevant[:k].any()) for k in range(1, 8)}
        first = float(np.argmax(relevant)) + 1 if relevant.any() else np.nan
        found.append({**hits, "AP": float(average_precision(relevant[None])[0]), "first": first})
    return found


def check(sides: Sides, expected: list[dict[str, float]]) -> None:
    ranked = rank(sides)
    for row, of_query in enumerate(expected):
        if np.isnan(of_query["first"]):
            assert ranked.first.nearer_Q[row] == -1
            assert np.isnan(ranked.precision_Q[row])
            continue
        for k in range(1, 8):
            assert ranked.hits(k)[row] == pytest.approx(of_query[f"R@{k}"], abs=1e-12), k
        assert ranked.precision_Q[row] == pytest.approx(of_query["AP"], abs=1e-12)
        assert ranked.first.expected_rank()[row] == pytest.approx(of_query["first"], abs=1e-12)


def mean_over(orders: list[list[dict[str, float]]]) -> list[dict[str, float]]:
    return [
        {name: float(np.mean([o[row][name] for o in orders])) for name in orders[0][row]}
        for row in range(len(orders[0]))
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 4))
def test_figures_are_means_over_all_orders_of_the_gallery(seed: int, items: int, places: int) -> None:
    sides = on_a_grid(seed, 3, items, places)
    every = [in_this_order(reordered(sides, np.array(order))) for order in permutations(range(items))]
    check(sides, mean_over(every))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 30))
def test_the_order_of_the_gallery_and_of_the_classes_changes_nothing(seed: int, items: int, places: int) -> None:
    sides = on_a_grid(seed, 6, items, places)
    order = np.random.default_rng(seed).permutation(items)
    ranked, other = rank(sides), rank(reordered(sides, order))
    for k in RANKS:
        assert np.array_equal(ranked.hits(k), other.hits(k), equal_nan=True)
    assert np.allclose(ranked.precision_Q, other.precision_Q, atol=1e-14, equal_nan=True)
    for number, moved in ((1, reordered(sides, order)), (2, renamed(sides))):
        again = rank(moved)
        for k in (1, 5, 20):
            assert knn_accuracy(ranked, sides, k) == knn_accuracy(again, moved, k), number
        assert recalls(ranked).as_json() == pytest.approx(recalls(again).as_json()), number
        assert hubness(ranked, sides, 3) == pytest.approx(hubness(again, moved, 3)), number
        assert same_group_share(ranked, sides) == pytest.approx(same_group_share(again, moved)), number


def renamed(sides: Sides) -> Sides:
    """Other names whose order is the reverse."""
    return replace(sides, class_Q=2 - sides.class_Q, class_N=2 - sides.class_N)


def test_without_ties_figures_are_what_they_were_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    queries, gallery = (l2_normalize(rng.standard_normal((n, 16)).astype(np.float32)) for n in (50, 200))
    sides = Sides(queries, gallery, rng.integers(0, 3, 50), rng.integers(0, 3, 200))
    ranked = rank(sides)
    order = np.argsort(-(queries.astype(np.float64) @ gallery.T.astype(np.float64)), axis=1, kind="stable")
    relevant = sides.class_N[order] == sides.class_Q[:, None]
    assert not ranked.first.tied_Q.any()
    assert np.array_equal(ranked.precision_Q, average_precision(relevant))
    assert np.array_equal(ranked.first.expected_rank(), np.argmax(relevant, axis=1) + 1)
    assert recalls(ranked).queries_with_ties == 0


def test_all_alike_is_a_draw_from_the_gallery() -> None:
    """Sides of 24, 8 and 8 videos with one and the same feature."""
    same = np.tile(l2_normalize(np.ones((1, 4), np.float32)), (20, 1))
    labels = np.repeat([0, 1, 2], [12, 4, 4])
    sides = Sides(same, same, labels, labels)
    found = recalls(rank(sides))
    assert found.r_at_1 == pytest.approx(100 * (0.6 * 0.6 + 0.2 * 0.2 + 0.2 * 0.2))
    assert found.r_at_50 == 100
    assert found.queries_with_ties == 20
    assert knn_accuracy(rank(sides), sides, 20) == 60, "the largest class has the most weight"
    pairs = {(row.label, row.taken_for): row.queries for row in confusions(rank(sides), sides, CLASSES)}
    assert pairs == {
        ("a", "b"): 2.4,
        ("a", "c"): 2.4,
        ("b", "a"): 2.4,
        ("c", "a"): 2.4,
        ("b", "c"): 0.8,
        ("c", "b"): 0.8,
    }
    assert hubness(rank(sides), sides) is None, "nothing is nearer than the rest"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 8))
def test_shares_of_neighbours_are_means_over_orders(seed: int, items: int, k: int) -> None:
    sides = on_a_grid(seed, 4, items, 4)
    share = np.zeros((4, items))
    similarity = sides.queries_QE.astype(np.float64) @ sides.gallery_NE.T.astype(np.float64)
    for near in neighbours(rank(sides), sides, k):
        np.add.at(share, (near.query_P, near.item_P), near.share_P)
        assert np.allclose(near.similarity_P, similarity[near.query_P, near.item_P], atol=1e-6)
    assert share.sum(axis=1) == pytest.approx(np.full(4, min(k, items)))
    similarity = similarity.astype(np.float32)
    for query in range(4):
        for item in range(items):
            nearer, tied = (int(f(similarity[query], similarity[query, item]).sum()) for f in (np.greater, np.equal))
            assert share[query, item] == pytest.approx(np.clip((k - nearer) / tied, 0, 1))


def test_classes_of_equal_weight_win_by_chance_not_by_name() -> None:
    corner = np.eye(2, dtype=np.float32)
    gallery = l2_normalize(np.array([[1, 1], [1, 1]], np.float32))
    for labels in ([0, 1], [1, 0]):
        sides = Sides(corner, gallery, np.array([0, 1]), np.array(labels))
        assert knn_accuracy(rank(sides), sides, 2) == 50
        assert few_shot(sides, 0)["1"].mean == 50
    assert is_right(np.array([[1.0, 1.0, 0.0]] * 3), np.array([0, 1, 2])).tolist() == [0.5, 0.5, 0.0]


def test_the_probe_does_not_prefer_the_first_name() -> None:
    same = np.ones((8, 2), np.float32) / np.sqrt(np.float32(2))
    labels = np.array([0, 1] * 4)
    sides = Sides(same, same, labels, labels)
    found = probe(sides, 0)
    assert found.accuracy == 50
    assert (found.right_Q == 0.5).all()


def test_equally_similar_queries_share_what_a_bin_holds() -> None:
    axes = np.eye(2, dtype=np.float32)
    place = np.repeat([0, 1], 5)
    sides = Sides(
        axes[place], axes, np.zeros(10, np.int64), np.array([0, 1])
    )  # the first five are right, at cosine 1 too
    assert [row.r_at_1 for row in purity_by_distance(rank(sides))] == [50.0] * 5


def test_the_recording_among_equally_near_videos_counts_by_its_share() -> None:
    same = np.tile(l2_normalize(np.ones((1, 4), np.float32)), (6, 1))
    found = group_probe(same, np.zeros(6, np.int64), np.array([0, 0, 1, 1, 2, 2]))
    assert found.accuracy == pytest.approx(found.chance) == pytest.approx(20)
