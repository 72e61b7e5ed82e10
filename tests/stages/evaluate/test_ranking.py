import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from mofore.stages.evaluate import ranking
from mofore.stages.evaluate.ranking import Sides, average_precision, order, rank
from mofore.stages.vectors.normalize import l2_normalize


def vectors(count: int, seed: int) -> np.ndarray:
    return l2_normalize(np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32))


def sides(seed: int = 0, queries: int = 23, items: int = 31) -> Sides:
    rng = np.random.default_rng(seed)
    codes = (rng.integers(0, 4, n) for n in (queries, items, queries, items))
    return Sides(vectors(queries, seed), vectors(items, seed + 50), *codes)


@pytest.mark.parametrize("seed", range(5))
def test_order_is_that_of_a_stable_sort(seed: int) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.choice(np.array([-1, -0.25, -0.0, 0.0, 1e-30, -1e-30, 0.5, 1, -np.inf], np.float32), (9, 40))
    assert np.array_equal(order(similarity), np.argsort(-similarity, axis=1, kind="stable"))


def test_average_precision_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    relevant = rng.random((30, 20)) < 0.3
    relevant[:, 7] = True
    relevant[4] = False
    scores = -np.arange(20.0)
    found = average_precision(relevant)
    assert np.isnan(found[4])
    for row in np.delete(np.arange(30), 4):
        assert found[row] == pytest.approx(average_precision_score(relevant[row], scores))


def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rank(sides())
    monkeypatch.setattr(ranking, "BLOCK_BYTES", 8 * 31 * 4)
    parts = rank(sides())
    assert len(list(sides().blocks())) == 6
    assert np.array_equal(whole.first.nearer_Q, parts.first.nearer_Q)
    assert np.array_equal(whole.nearest_QK, parts.nearest_QK)
    assert np.array_equal(whole.precision_Q, parts.precision_Q, equal_nan=True)


def test_what_is_kept_are_the_nearest_with_their_cosines() -> None:
    given = sides()
    found = rank(given)
    cosines = given.queries_QE @ given.gallery_NE.T
    assert found.nearest_QK.shape == (23, 31), "the gallery is smaller than what would be kept"
    assert np.array_equal(found.nearest_QK, np.argsort(-cosines, axis=1, kind="stable"))
    assert np.allclose(found.similarity_QK, np.sort(cosines, axis=1)[:, ::-1])


def test_without_its_own_recording_a_query_finds_the_others() -> None:
    given = sides()
    alone = rank(given, same_group=False)
    cosines = given.queries_QE @ given.gallery_NE.T
    for query in range(23):
        others = np.flatnonzero(given.group_N != given.group_Q[query])
        ranked = others[np.argsort(-cosines[query, others], kind="stable")]
        hits = np.flatnonzero(given.class_N[ranked] == given.class_Q[query])
        assert alone.first.nearer_Q[query] == (hits[0] if len(hits) else -1)
        if len(hits):
            assert alone.precision_Q[query] == pytest.approx(np.mean(np.arange(1, len(hits) + 1) / (hits + 1)))


@pytest.mark.parametrize("width", [37, 384])
def test_a_video_and_its_copy_are_equally_near_wherever_they_are(width: int) -> None:
    rng = np.random.default_rng(0)
    gallery = l2_normalize(rng.standard_normal((301, width)).astype(np.float32))
    gallery[-1] = gallery[5]
    queries = l2_normalize(rng.standard_normal((200, width)).astype(np.float32) + 40 * gallery[5])
    labels = np.zeros(301, np.int64)
    labels[5] = 1
    found = rank(Sides(queries, gallery, np.ones(200, np.int64), labels))
    assert (found.nearest_QK[:, :2] == [5, 300]).all()
    assert (found.hits(1) == 0.5).all()
    assert found.precision_Q == pytest.approx(np.full(200, 0.75)), "first or second, alike likely"


@pytest.mark.parametrize(("queries", "items"), [(0, 5), (5, 0), (0, 0)])
def test_an_empty_side_has_an_outcome(queries: int, items: int) -> None:
    found = rank(sides(0, queries, items))
    assert found.first.nearer_Q.tolist() == [-1] * queries if not items else len(found.hits(1)) == queries
    assert found.nearest_QK.shape == (queries, items)
