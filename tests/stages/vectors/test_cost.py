from itertools import count
from pathlib import Path

import pytest

from mofore.stages.vectors.cost import IndexCost, measure, rate
from mofore.stages.vectors.vector_index import VectorIndex

from ..drawn_vectors import clustered, indexed


def priced(kind: str, size: int, folder: Path) -> IndexCost:
    index = indexed(clustered(size), kind)
    index.save(folder, index.embeddings_NE)
    index = VectorIndex.load(folder)
    return measure(index, index.embeddings_NE, folder, 1.23456)


def test_an_exact_index_agrees_by_definition(tmp_path: Path) -> None:
    price = priced("flat", 300, tmp_path)
    assert price.agreement == {"1": 1.0, "10": 1.0, "50": 1.0}
    assert (price.vectors, price.width, price.queries, price.build_s) == (300, 32, 200, 1.235)
    assert 4 * 32 <= price.bytes_per_vector < 4 * 32 + 1
    assert price.single_qps > 0
    assert price.many_qps > 0


@pytest.mark.parametrize("kind", ["ivf", "hnsw", "ivfpq"])
def test_an_approximate_index_has_its_agreement_measured(kind: str, tmp_path: Path) -> None:
    price = priced(kind, 1000, tmp_path)
    assert 0.9 <= price.agreement["10"] <= 1
    assert set(price.agreement) == {"1", "10", "50"}


@pytest.mark.parametrize("size", [0, 1, 5])
def test_small_indexes_have_a_price(size: int, tmp_path: Path) -> None:
    price = priced("hnsw", size, tmp_path)
    assert price.agreement == {"1": 1.0, "10": 1.0, "50": 1.0}
    assert price.queries == size


def test_a_rate_leaves_the_first_call_out() -> None:
    clock = count(0, 10)
    assert rate(lambda _number: 5, 100, clock=lambda: next(clock)) == 0.5


def test_a_rate_ends_after_some_calls() -> None:
    calls: list[int] = []
    assert rate(lambda number: calls.append(number) or 1, 3, clock=lambda: 0.0) > 0
    assert calls == [0, 1, 2, 3]
