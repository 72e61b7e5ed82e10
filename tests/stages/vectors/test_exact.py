"""Candidates may come in any order and with any rounding: what is found does not depend on it."""

import numpy as np
import pytest
import torch

from mofore.stages.vectors.exact import Found, inner_products, nearest, scan
from mofore.stages.vectors.faiss_library import faiss

from ..drawn_vectors import brute_force, clustered


def flat(vectors: np.ndarray) -> object:
    index = faiss().IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return index


@pytest.mark.parametrize("k", [1, 10, 50, 300])
def test_exact_search_equals_brute_force(k: int) -> None:
    vectors = clustered(300)
    found = nearest(flat(vectors).search, vectors.__getitem__, vectors[:20], k, 300)  # type: ignore[attr-defined]
    expected = brute_force(vectors[:20], vectors, k)
    assert np.array_equal(found[1], expected[1])
    assert np.array_equal(found[0], expected[0])


@pytest.mark.parametrize("k", [1, 10, 50, 300])
def test_the_order_is_exact_where_no_more_is_asked_for(k: int) -> None:
    vectors = np.concatenate([clustered(200), clustered(100)])  # the second hundred is the first again
    propose = flat(vectors).search  # type: ignore[attr-defined]
    found = nearest(propose, vectors.__getitem__, vectors[:20], k, 300, values=False)
    expected = brute_force(vectors[:20], vectors, k)
    assert np.array_equal(found[1], expected[1])
    assert np.allclose(found[0], expected[0], atol=1e-6)


@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize("k", [1, 3, 40, 199])
def test_ties_go_by_row_also_where_the_nearest_end(k: int, values: bool) -> None:
    vectors = np.repeat(clustered(4), 50, axis=0)[np.random.default_rng(0).permutation(200)]
    propose = flat(vectors).search  # type: ignore[attr-defined]
    found = nearest(propose, vectors.__getitem__, vectors[:5], k, 200, values=values)
    assert np.array_equal(found[1], brute_force(vectors[:5], vectors, k)[1])


def test_torch_proposes_as_well_as_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mofore.stages.vectors.exact.BLOCK_ROWS", 64)
    vectors = np.concatenate([clustered(150), clustered(150)])

    def propose(queries: np.ndarray, asked: int) -> Found:
        return scan(lambda rows: torch.from_numpy(vectors[rows]), np.arange(300), queries, asked)

    found = nearest(propose, vectors.__getitem__, vectors[:20], 7, 300)
    assert np.array_equal(found[1], brute_force(vectors[:20], vectors, 7)[1])


def test_a_sloppy_proposer_changes_nothing() -> None:
    vectors = clustered(200)
    rng = np.random.default_rng(0)

    def propose(queries: np.ndarray, asked: int) -> Found:
        noisy = queries @ vectors.T + rng.uniform(-1, 1, (len(queries), 200)).astype(np.float32) * 1e-6
        order = np.argsort(-noisy, axis=1)[:, :asked]
        return np.take_along_axis(noisy, order, 1), order

    found = nearest(propose, vectors.__getitem__, vectors[:9], 20, 200)
    assert np.array_equal(found[1], brute_force(vectors[:9], vectors, 20)[1])


def test_similarity_depends_on_the_two_vectors_alone() -> None:
    vectors = np.tile(clustered(1, width=509), (5000, 1))
    similarity = inner_products(vectors.__getitem__, vectors[:2], np.tile(np.arange(5000), (2, 1)))
    assert len(np.unique(similarity)) == 1


def test_no_row_is_infinitely_far() -> None:
    vectors = clustered(3)
    assert inner_products(vectors.__getitem__, vectors[:1], np.array([[2, -1]]))[0, 1] == -np.inf


def test_answers_of_two_halves_are_the_answer_of_the_whole() -> None:
    vectors = np.concatenate([clustered(60), clustered(60)])
    parts = []
    for first in (0, 60):
        some = vectors[first : first + 60]
        similarity, row = nearest(flat(some).search, some.__getitem__, vectors[:9], 15, 60)  # type: ignore[attr-defined]
        parts.append((similarity, row + first))
    similarity, row = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
    order = np.lexsort((row, -similarity), axis=1)[:, :15]
    assert np.array_equal(np.take_along_axis(row, order, 1), brute_force(vectors[:9], vectors, 15)[1])
