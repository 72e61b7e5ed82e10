from itertools import pairwise

import numpy as np
import pytest

from mofore.stages.evaluate.ranking import Sides, rank
from mofore.stages.evaluate.retrieval import (
    confusions,
    hubness,
    per_class,
    purity_by_distance,
    retrieval_metrics,
    same_group_share,
)
from mofore.stages.vectors.normalize import center, l2_normalize


def vectors(count: int, seed: int) -> np.ndarray:
    return l2_normalize(np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32))


def by_definition(
    queries: np.ndarray, gallery: np.ndarray, q_labels: list[str], g_labels: list[str]
) -> dict[str, float]:
    """R@k and mAP with plain loops."""
    hits: dict[int, list[bool]] = {k: [] for k in (1, 5, 10, 20, 50)}
    precisions = []
    for query, label in zip(queries, q_labels, strict=True):
        order = sorted(range(len(gallery)), key=lambda item: -float(query @ gallery[item]))
        relevant = [g_labels[item] == label for item in order]
        for k in hits:
            hits[k].append(any(relevant[:k]))
        at_hits = [sum(relevant[: rank + 1]) / (rank + 1) for rank, hit in enumerate(relevant) if hit]
        precisions.append(sum(at_hits) / len(at_hits))
    return {**{f"R@{k}": 100 * float(np.mean(v)) for k, v in hits.items()}, "mAP": 100 * float(np.mean(precisions))}


@pytest.mark.parametrize("seed", range(3))
def test_metrics_equal_their_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries, gallery = vectors(40, seed), vectors(30, seed + 100)
    g_labels = [str(n) for n in np.arange(30) % 4]
    q_labels = [str(n) for n in rng.integers(0, 4, 40)]
    metrics = retrieval_metrics(queries, gallery, q_labels, g_labels)
    for name, value in by_definition(queries, gallery, q_labels, g_labels).items():
        assert metrics.as_json()[name] == pytest.approx(value), name
    assert metrics.queries == 40


def test_a_query_without_a_match_is_counted_and_left_out() -> None:
    metrics = retrieval_metrics(vectors(3, 0), vectors(2, 1), ["a", "b", "z"], ["a", "b"])
    assert (metrics.queries, metrics.queries_without_a_match) == (2, 1)
    assert metrics.r_at_50 == 100.0


def test_no_query_has_no_number() -> None:
    metrics = retrieval_metrics(vectors(1, 0), vectors(2, 1), ["z"], ["a", "b"])
    assert metrics.r_at_1 is None
    assert metrics.mean_ap is None


def test_ties_count_by_their_chance_whatever_their_order() -> None:
    same = np.tile(l2_normalize(np.ones((1, 6), np.float32)), (2, 1))
    for labels in (["a", "b"], ["b", "a"]):
        found = retrieval_metrics(same[:1], same, ["a"], labels)
        assert (found.r_at_1, found.r_at_5, found.mean_ap) == (50.0, 100.0, 75.0)
        assert found.queries_with_ties == 1
    assert retrieval_metrics(same[:1], same, ["a"], ["a", "a"]).queries_with_ties == 0, "either is right"


def test_centring_subtracts_the_mean_and_keeps_unit_length() -> None:
    rows = vectors(5, 0) + 3.0
    mean = rows.mean(axis=0)
    moved = center(rows, mean)
    assert np.allclose(np.linalg.norm(moved, axis=1), 1)
    assert np.allclose(moved, (rows - mean) / np.linalg.norm(rows - mean, axis=1, keepdims=True), atol=1e-6)


def labelled(seed: int = 0, queries: int = 40, items: int = 30) -> Sides:
    rng = np.random.default_rng(seed)
    codes = (rng.integers(0, 3, n) for n in (queries, items, queries, items))
    return Sides(vectors(queries, seed), vectors(items, seed + 9), *codes)


def test_classes_that_are_confused_are_those_of_the_nearest() -> None:
    sides = labelled()
    nearest = (sides.queries_QE @ sides.gallery_NE.T).argmax(axis=1)
    taken = sides.class_N[nearest]
    found = confusions(rank(sides), sides, ("a", "b", "c"))
    assert sum(row.queries for row in found) == int((taken != sides.class_Q).sum())
    for row in found:
        true, other = "abc".index(row.label), "abc".index(row.taken_for)
        assert row.queries == int(((sides.class_Q == true) & (taken == other)).sum())
        assert row.of == int((sides.class_Q == true).sum())
    rates = per_class({"x": rank(sides)}, sides, ("a", "b", "c"))
    assert rates["b"].r_at_1["x"] == pytest.approx(100 * float((taken == 1)[sides.class_Q == 1].mean()))


def test_purity_falls_apart_into_equally_many_queries() -> None:
    sides = labelled()
    bins = purity_by_distance(rank(sides))
    assert [row.queries for row in bins] == [8] * 5
    assert all(a.similarity.high <= b.similarity.low for a, b in pairwise(bins))
    whole = sum(row.queries * row.r_at_1 for row in bins) / 40
    assert whole == pytest.approx(
        retrieval_metrics(
            sides.queries_QE, sides.gallery_NE, list(map(str, sides.class_Q)), list(map(str, sides.class_N))
        ).r_at_1
    )


def test_the_leak_is_the_share_of_nearest_items_of_the_own_recording() -> None:
    sides = labelled()
    nearest = (sides.queries_QE @ sides.gallery_NE.T).argmax(axis=1)
    own = sides.group_N[nearest] == sides.group_Q  # type: ignore[index]
    assert same_group_share(rank(sides), sides) == pytest.approx(100 * float(own.mean()))
    nameless = Sides(sides.queries_QE, sides.gallery_NE, sides.class_Q, sides.class_N)
    assert same_group_share(rank(nameless), nameless) is None


def test_a_hub_shows_as_skew() -> None:
    even = Sides(np.eye(6, dtype=np.float32), np.eye(6, dtype=np.float32), *[np.zeros(6, np.int64)] * 2)
    assert hubness(rank(even), even, k=1) is None, "every item is nearest once: there is no spread"
    hub = Sides(
        l2_normalize(np.ones((12, 6), np.float32) + np.eye(12, 6, dtype=np.float32) * 0.1),
        vectors(11, 0),
        *(np.zeros(n, np.int64) for n in (12, 11)),
    )
    assert hubness(rank(hub), hub, k=1) == pytest.approx(2.846, abs=1e-3), "(n - 2) / sqrt(n - 1) of one item for all"
