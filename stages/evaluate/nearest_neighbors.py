"""The k nearest items of queries, where several are equally similar at the k-th place.

Each of these counts by its chance to be among the k: k less those that are more similar, over their number. So figures
of neighbours do not depend on the gallery's order. Only the queries with such a tie are looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...data.arrays import Bool, Float32, Float64, Int64
from .ranking import BLOCK_BYTES, Ranked, Sides, similarity


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Pairs P of a query and one of its neighbours; of each query the most similar come first.

    Attributes:
        query_P: rows of the queries.
        item_P: rows of the gallery.
        share_P: chance to be among the k nearest; 1 but in a tie at the k-th place.
        similarity_P: as in :class:`.ranking.Ranked`.
    """

    query_P: Int64
    item_P: Int64
    share_P: Float64
    similarity_P: Float32


def neighbours(ranked: Ranked, sides: Sides, k: int) -> Iterator[Neighbours]:
    """The ``k`` nearest (fewer than :data:`.ranking.KEPT`; all of a smaller gallery) of every query, in parts."""
    tied_Q = _is_tied(ranked, k)
    plain = np.flatnonzero(~tied_Q)
    nearest_QK, similarity_QK = ranked.nearest_QK[plain, :k], ranked.similarity_QK[plain, :k]
    yield Neighbours(
        np.repeat(plain, nearest_QK.shape[1]), nearest_QK.ravel(), np.ones(nearest_QK.size), similarity_QK.ravel()
    )
    tied = np.flatnonzero(tied_Q)
    size = max(1, BLOCK_BYTES // (8 * max(1, len(sides.gallery_NE))))
    if not len(tied):
        return
    similar = similarity(sides)
    for start in range(0, len(tied), size):
        rows = tied[start : start + size]
        yield from _with_ties(rows, similar(rows), k)


def is_right(score_QC: Float64 | Float32, column_Q: Int64) -> Float64:
    """Chance that the column with the highest score is the query's: 1 over the number of those that share it."""
    wins_QC = score_QC == score_QC.max(axis=1, keepdims=True)
    return np.asarray(wins_QC[np.arange(len(column_Q)), column_Q] / wins_QC.sum(axis=1))


def is_one_of(score_QC: Float64, member_QC: Bool) -> Float64:
    """The same of queries with several classes: the share of the query's own among the columns with that score."""
    wins_QC = score_QC == score_QC.max(axis=1, keepdims=True)
    return np.asarray((wins_QC & member_QC).sum(axis=1) / wins_QC.sum(axis=1))


def _is_tied(ranked: Ranked, k: int) -> Bool:
    """Whether the k-th nearest is as similar as the one after it."""
    similarity_QK = ranked.similarity_QK
    if k >= similarity_QK.shape[1]:
        return np.zeros(len(similarity_QK), bool)
    return np.asarray(similarity_QK[:, k - 1] == similarity_QK[:, k])


def _with_ties(rows: Int64, similarity_QN: Float32, k: int) -> Iterator[Neighbours]:
    """First what is nearer than the k-th place, then what shares it."""
    last_Q1 = -np.partition(-similarity_QN, k - 1, axis=1)[:, k - 1 : k]
    nearer_QN, tied_QN = similarity_QN > last_Q1, similarity_QN == last_Q1
    share_Q = (k - nearer_QN.sum(axis=1)) / tied_QN.sum(axis=1)
    query_P, item_P = np.nonzero(nearer_QN)
    nearest_first = np.lexsort((item_P, -similarity_QN[query_P, item_P], query_P))
    query_P, item_P = query_P[nearest_first], item_P[nearest_first]
    yield Neighbours(rows[query_P], item_P, np.ones(len(item_P)), similarity_QN[query_P, item_P])
    query_P, item_P = np.nonzero(tied_QN)
    yield Neighbours(rows[query_P], item_P, share_Q[query_P], similarity_QN[query_P, item_P])
