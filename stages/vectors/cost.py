"""What an index costs and what it misses: agreement with exact search, size, and queries a second.

Speed is measured where it will be used, in a few tenths of a second; it differs from run to run, so that it is kept in
a file of its own and not among the metrics.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...data.arrays import Float32
from .device import Place
from .exact import is_exact
from .faiss_library import faiss
from .on_disk import LISTS, CenteredRows
from .tuning import Trial, held_out
from .vector_index import VECTORS, VectorIndex

NEIGHBOURS = 10  # asked for when speed is measured
MANY = 256  # queries at once
MEASURE_S = 0.05
MOST_SINGLES = 100


@dataclass(frozen=True, slots=True)
class IndexCost:
    """Of one index."""

    space: str  # of the index
    level: str  # of the index
    factory: str  # what FAISS built
    vectors: int  # N
    width: int  # E
    agreement: dict[str, float]  # share of the exact nearest that are found, at 1, 10 and 50; 1 for an exact index
    queries: int  # that the agreement was measured with: rows of the index, each left out of its own answer
    build_s: float  # training and adding, or updating, s
    bytes_per_vector: float  # of FAISS's file
    single_qps: float  # queries a second, one at a time, 10 neighbours each
    many_qps: float  # in batches of 256
    place: Place  # where: cpu, faiss-gpu or torch
    threads: int  # of FAISS


def measure(
    index: VectorIndex, embeddings_NE: Float32, folder: Path, build_s: float, *, place: Place = "cpu", seed: int = 0
) -> IndexCost:
    """The price of an index that was read from ``folder``, and that holds these unit vectors, given not centred."""
    count, exact = len(index.items), is_exact(index.faiss_index)
    rows_Q, asked = held_out(count, seed), index.on(place)
    trial = Trial.of(CenteredRows(embeddings_NE, index.mean_E), rows_Q[:0] if exact else rows_Q)
    queries_QE = index.vectors(rows_Q)
    return IndexCost(
        space=index.about.space,
        level=index.about.level,
        factory=index.about.factory,
        vectors=count,
        width=len(index.mean_E),
        agreement=trial.agreements(asked.search),
        queries=len(rows_Q),
        build_s=round(build_s, 3),
        bytes_per_vector=round(_bytes(folder) / max(count, 1), 1),
        single_qps=_queries_a_second(asked, queries_QE, 1),
        many_qps=_queries_a_second(asked, queries_QE, MANY),
        place=place,
        threads=faiss().omp_get_max_threads(),
    )


def _bytes(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in (VECTORS, LISTS) if (folder / name).exists())


def _queries_a_second(index: VectorIndex, queries_QE: Float32, together: int) -> float:
    """Of so many at once, one batch after another, begun anew where there are no more."""
    if not len(queries_QE):
        return 0.0
    batches_NQE = np.resize(queries_QE, (max(len(queries_QE) // together, 1), together, queries_QE.shape[1]))

    def ask(number: int) -> int:
        index.search(batches_NQE[number % len(batches_NQE)], NEIGHBOURS)
        return together

    return rate(ask, MOST_SINGLES)


def rate(ask: Callable[[int], int], most: int, *, clock: Callable[[], float] = time.perf_counter) -> float:
    """Queries a second; the first call, which loads what the others find loaded, does not count.

    Args:
        ask: of the number of the call; how many queries it answered.
        most: calls.
        clock: s.
    """
    ask(0)
    done, begin, spent = 0, clock(), 0.0
    for number in range(1, most + 1):
        done += ask(number)
        spent = clock() - begin
        if spent >= MEASURE_S:
            break
    return float(f"{done / max(spent, 1e-9):.4g}")
