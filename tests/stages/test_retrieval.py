import numpy as np
import pytest
from mofore.stages.embed import center, unit
from mofore.stages.retrieval import retrieval_metrics


def vectors(count: int, seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32))


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
        assert metrics[name] == pytest.approx(value), name
    assert metrics["queries"] == 40


def test_a_query_without_a_match_is_counted_and_left_out() -> None:
    metrics = retrieval_metrics(vectors(3, 0), vectors(2, 1), ["a", "b", "z"], ["a", "b"])
    assert (metrics["queries"], metrics["queries_without_a_match"]) == (2, 1)
    assert metrics["R@50"] == 100.0


def test_no_query_has_no_number() -> None:
    metrics = retrieval_metrics(vectors(1, 0), vectors(2, 1), ["z"], ["a", "b"])
    assert metrics["R@1"] is None
    assert metrics["mAP"] is None


def test_ties_go_by_the_gallerys_order() -> None:
    same = np.tile(unit(np.ones((1, 6), np.float32)), (2, 1))
    assert retrieval_metrics(same[:1], same, ["a"], ["a", "b"])["R@1"] == 100.0
    assert retrieval_metrics(same[:1], same, ["a"], ["b", "a"])["R@1"] == 0.0


def test_centring_subtracts_the_mean_and_keeps_unit_length() -> None:
    rows = vectors(5, 0) + 3.0
    mean = rows.mean(axis=0)
    moved = center(rows, mean)
    assert np.allclose(np.linalg.norm(moved, axis=1), 1)
    assert np.allclose(moved, (rows - mean) / np.linalg.norm(rows - mean, axis=1, keepdims=True), atol=1e-6)
