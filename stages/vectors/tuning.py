"""nprobe and efSearch of an approximate index: the smallest that reach a wished agreement with exact search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ...data.arrays import Bool, Float32, Int64
from .exact import Found, Propose, approximate, core, nearest, scan
from .faiss_library import faiss
from .on_disk import CenteredRows

QUERIES = 200
RANKS = (1, 10, 50)
TUNED_AT = 10
MOST_EF = 4096
MOST_FACTOR = 64  # candidates for each wanted row
LOSSY = 1e-4  # difference of FAISS's similarity to the true one, beyond rounding


@dataclass(frozen=True, slots=True)
class Trial:
    """Rows of an index as queries, each left out of its own answer, and how similar their exact nearest are."""

    rows_Q: Int64  # the queries
    queries_QE: Float32  # their vectors
    exact_QK: Float32  # similarities of the nearest others, best first; fewer than 50 in a small index

    @classmethod
    def of(cls, vectors_NE: Float32 | CenteredRows, rows_Q: Int64) -> Trial:
        """Exact search for some rows; in float32 blocks by torch, which needs no copy of the vectors."""
        count, queries_QE = len(vectors_NE), vectors_NE[rows_Q]
        if not len(rows_Q):
            return cls(rows_Q, queries_QE, np.empty((0, 0), np.float32))
        k = min(RANKS[-1] + 1, count)
        find = partial(scan, vectors_NE.__getitem__, np.arange(count))
        found = nearest(find, vectors_NE.__getitem__, queries_QE, k, count)
        return cls(rows_Q, queries_QE, _without_self(found, rows_Q))

    def agreement(self, found: Found, k: int) -> float:
        """Share of the exact ``k`` nearest that were found, in [0, 1]; a row as similar as the k-th counts as it."""
        k = min(k, self.exact_QK.shape[1])
        if not k:
            return 1.0
        similarity_QK = _without_self(found, self.rows_Q)[:, :k]
        return float((similarity_QK >= self.exact_QK[:, k - 1 : k]).sum() / (k * len(self.rows_Q)))

    def agreements(self, search: Callable[[Float32, int], Found]) -> dict[str, float]:
        """At 1, 10 and 50."""
        found = search(self.queries_QE, self.exact_QK.shape[1] + 1) if len(self.rows_Q) else None
        return {str(k): 1.0 if found is None else round(self.agreement(found, k), 4) for k in RANKS}


def held_out(count: int, seed: int) -> Int64:
    """Rows to try an index with; :func:`.build.training_rows` are others, where there are enough."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:QUERIES])


def knob(index: Any) -> tuple[str, int, int] | None:
    """What trades time for agreement: its name and range."""
    library, inner = faiss(), core(index)
    match inner:
        case library.IndexIVF():
            return "nprobe", 1, inner.nlist
        case library.IndexHNSW():
            return "efSearch", 10, max(10, min(MOST_EF, inner.ntotal))
        case _:
            return None


def set_search(index: Any, search: Mapping[str, int]) -> None:
    """Make an index search with these parameters from now on; ``k_factor`` is not FAISS's."""
    inner = core(index)
    if "nprobe" in search:
        inner.nprobe = search["nprobe"]
    if "efSearch" in search:
        inner.hnsw.efSearch = search["efSearch"]


def candidates(k: int, search: Mapping[str, int], count: int) -> int:
    """Rows of ``count`` to look at for ``k``: for few as many as for the number that was tuned at."""
    factor = search.get("k_factor", 1)
    return min(max(k, TUNED_AT + 1 if factor > 1 else 1) * factor, count)


def tune(
    index: Any, propose: Propose, vectors_NE: Float32 | CenteredRows, trial: Trial, recall: float
) -> tuple[dict[str, int], float]:
    """The cheapest parameters that reach ``recall`` at 10, or the best there are, and what they reach on the trial.

    Args:
        index: FAISS's; it is left with these parameters.
        propose: a search of it, that answers with rows of ``vectors_NE``.
        vectors_NE: what it holds.
        trial: queries with their exact answer.
        recall: in [0, 1].
    """
    k, search = min(TUNED_AT + 1, len(vectors_NE)), dict[str, int]()

    def reached(**given: int) -> float:
        set_search(index, given)
        found = approximate(propose, vectors_NE.__getitem__, trial.queries_QE, k, candidates(k, given, len(vectors_NE)))
        return trial.agreement(found, TUNED_AT)

    lossy = {"k_factor": MOST_FACTOR} if is_lossy(index, propose, vectors_NE, trial) else {}
    if (found := knob(index)) is not None:
        name, low, high = found
        search[name] = smallest(low, high, lambda value: reached(**{name: value}, **lossy) >= recall) or high
    if lossy:
        enough = smallest(1, MOST_FACTOR, lambda value: reached(**search, k_factor=value) >= recall)
        search["k_factor"] = enough or MOST_FACTOR
    return search, reached(**search)


def smallest(low: int, high: int, reaches: Callable[[int], bool]) -> int | None:
    """The smallest number of a range that reaches, if all above it do; None if none does."""
    below, value = low - 1, low
    while not reaches(value):
        if value >= high:
            return None
        below, value = value, min(2 * value, high)
    while value - below > 1:
        middle = (below + value) // 2
        below, value = (below, middle) if reaches(middle) else (middle, value)
    return value


def is_lossy(index: Any, propose: Propose, vectors_NE: Float32 | CenteredRows, trial: Trial) -> bool:
    """Whether FAISS chooses by estimates, so that more candidates than wanted rows pay."""
    if isinstance(faiss().downcast_index(index), faiss().IndexRefine):
        return True
    some_QE = trial.queries_QE[:10]
    estimate_QK, row_QK = propose(some_QE, min(TUNED_AT, len(vectors_NE)))
    present_QK: Bool = row_QK >= 0
    true_QK = np.einsum("qe,qke->qk", some_QE, vectors_NE[row_QK])
    return bool((np.abs(estimate_QK - true_QK)[present_QK] > LOSSY).any())


def _without_self(found: Found, rows_Q: Int64) -> Float32:
    """Similarities without the query's own row; without the last one where it was not found."""
    similarity_QK, row_QK = found
    order_QK = np.argsort(row_QK == rows_Q[:, None], axis=1, kind="stable")[:, :-1]
    return np.take_along_axis(similarity_QK, order_QK, 1)
