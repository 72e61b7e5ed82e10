import numpy as np
import pytest

from mofore.data.errors import StageError
from mofore.data.index_settings import IndexSettings
from mofore.stages.vectors.build import build, check, training_rows
from mofore.stages.vectors.faiss_library import faiss
from mofore.stages.vectors.tuning import Trial, held_out, smallest

from ..drawn_vectors import agreement, brute_force, clustered, indexed

KINDS = ("ivf", "hnsw", "ivfpq", "SQ8", "IDMap,Flat", "PCA16,IVF16,Flat", "IVF16,PQ8x4fs,RFlat", "HNSW8,Flat")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_reaches_the_wished_agreement(kind: str) -> None:
    vectors = clustered(2000)
    index = indexed(vectors, kind, recall=0.9)
    queries = index.vectors(np.arange(0, 2000, 7))
    assert agreement(index, queries, 10) >= 0.88, "tuned on other queries, hence the margin"
    similarity, rows = index.search(queries[:5], 3)
    assert rows[:, 0].tolist() == [0, 7, 14, 21, 28]
    assert np.allclose(similarity[:, 0], 1, atol=1e-6), "true cosines, whatever the codes are"


def test_a_higher_agreement_costs_more_lists() -> None:
    low, high = (indexed(clustered(2000), "ivf", recall=recall).about.search["nprobe"] for recall in (0.5, 0.99))
    assert low < high


def test_an_agreement_out_of_reach_is_said() -> None:
    vectors = clustered(3000, width=64, clusters=1)
    why = build(vectors, IndexSettings(kind="IVF1,PQ1x4", recall=1.0)).why
    assert "and no more (wished: 1)" in why


@pytest.mark.parametrize("kind", ["ivf", "hnsw", "ivfpq"])
def test_the_same_seed_builds_the_same_bytes(kind: str) -> None:
    vectors = clustered(1000)
    one, other = (build(vectors, IndexSettings(kind=kind)) for _ in range(2))
    assert np.array_equal(faiss().serialize_index(one.index), faiss().serialize_index(other.index))
    assert one.search == other.search


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw", "ivfpq", "auto"])
@pytest.mark.parametrize("count", [0, 1, 2, 11])
def test_few_vectors_are_indexed_by_what_they_suffice_for(kind: str, count: int) -> None:
    vectors = clustered(count)
    query = clustered(1, seed=5)
    found = indexed(vectors, kind, center=False).search(query, 50)
    assert np.array_equal(found[1], brute_force(query, vectors, 50)[1])


def test_a_factory_string_with_too_few_vectors_says_what_to_do() -> None:
    with pytest.raises(StageError, match=r"'IVF64,Flat' cannot be trained on 20 vectors \(Number of training.*'auto'"):
        build(clustered(20), IndexSettings(kind="IVF64,Flat"))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("IVFx,Flat", r"width 32 \(could not parse index string IVFx,Flat\): take one of flat"),
        ("IVF4,PQ7", r"should be a multiple of the number of subquantizers"),
        ("NSG32", "cannot leave rows out of a search"),
        ("PQ8", "cannot leave rows out of a search"),
        ("LSH", "cannot be built"),
    ],
)
def test_a_bad_factory_string_is_refused_beforehand(kind: str, message: str) -> None:
    with pytest.raises(StageError, match=message):
        check(IndexSettings(kind=kind), 32)


def test_training_is_bounded_and_leaves_the_trial_out() -> None:
    rows = training_rows(200_000, 256, seed=3)
    assert len(rows) == 65_536
    assert not {*rows.tolist()} & {*held_out(200_000, 3).tolist()}


@pytest.mark.parametrize("least", [1, 2, 3, 17, 63, 64])
def test_the_smallest_that_reaches_is_found(least: int) -> None:
    assert smallest(1, 64, lambda value: value >= least) == least


def test_nothing_that_reaches_is_none() -> None:
    assert smallest(1, 64, lambda _value: False) is None


def test_a_query_is_left_out_of_its_own_answer() -> None:
    vectors = clustered(100)
    trial = Trial.of(vectors, np.array([4, 9]))
    similarity, row = brute_force(vectors[[4, 9]], vectors, 51)
    assert (row[:, 0] == [4, 9]).all()
    assert np.array_equal(trial.exact_QK, similarity[:, 1:])
    assert trial.agreement((similarity, row), 10) == 1.0
    half = np.where(np.arange(51) % 2 == 0, row, -1)
    assert trial.agreement((np.where(half < 0, -np.inf, similarity), half), 10) == 0.5
