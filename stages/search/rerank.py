"""Re-rank neighbours by how two videos unfold: a distance of sequences in place of one of single vectors.

A sequence is S unit embeddings, one for each of S parts of a video (:mod:`.sequences`). The distance of two steps is
1 - cosine. ``aligned`` compares step with step at the same share of both videos; ``dtw`` lets time stretch: the
cheapest path of dynamic time warping (Sakoe and Chiba 1978, symmetric form P = 0 without weights), over S. The diagonal
is a path, so that dtw is never more than aligned.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...data.arrays import Float32, Float64, Int64
from ..vectors.normalize import l2_normalize

TOP = 100  # neighbours of a query that are re-ranked
WEIGHT = 0.5  # of a distance beside a similarity; anything from 0.2 to 0.8 does about the same (docs/findings.md)


def rerank(
    queries_QSE: Float32,
    items_NSE: Float32,
    ranked_QK: Int64,
    method: str,
    *,
    similarity_QK: Float32 | None = None,
    top: int = TOP,
) -> tuple[Int64, Float32]:
    """The ranking with its first ``top`` neighbours in another order; equal ones keep theirs.

    Args:
        queries_QSE: unit embeddings.
        items_NSE: unit embeddings.
        ranked_QK: rows of ``items_NSE``, best first; -1 where there is none, which stays last.
        method: aligned or dtw.
        similarity_QK: of the neighbours; where it is given, the order is that of the similarity less
            :data:`WEIGHT` times the distance, else that of the distance alone.
        top: how many are re-ranked; those after them stay where they are.

    Returns:
        The new ranking (Q, K), and the distances (Q, min(K, top)) in its order; infinite where there is no neighbour.
    """
    distance_of = METHODS[method]
    ranking_QK, head = ranked_QK.copy(), min(top, ranked_QK.shape[1])
    distance_QK = np.full((len(ranked_QK), head), np.inf, np.float32)
    for query, row_K in enumerate(ranked_QK[:, :head]):
        distance_K = np.where(row_K < 0, np.inf, distance_of(queries_QSE[query], items_NSE[row_K]))
        cost_K = distance_K if similarity_QK is None else WEIGHT * distance_K - similarity_QK[query, :head]
        order_K = np.argsort(cost_K, kind="stable")
        ranking_QK[query, :head], distance_QK[query] = row_K[order_K], distance_K[order_K]
    return ranking_QK, distance_QK


def changes(sequences_NSE: Float32) -> Float32:
    """Unit vectors of each video's steps less their mean: what changes in it, without what it looks like."""
    moved_NSE = sequences_NSE - sequences_NSE.mean(axis=1, keepdims=True)
    return l2_normalize(moved_NSE.reshape(-1, moved_NSE.shape[-1])).reshape(moved_NSE.shape)


def aligned(query_SE: Float32, items_KSE: Float32) -> Float32:
    """Mean distance (K,) of steps of the same number."""
    return _distance(1 - np.einsum("se,kse->k", query_SE, items_KSE) / len(query_SE))


def dtw(query_SE: Float32, items_KSE: Float32) -> Float32:
    """Cost (K,) of the cheapest warping path, over S.

    D(i, j) = d(i, j) + min(D(i - 1, j), D(i, j - 1), D(i - 1, j - 1)), of all items at once.
    """
    cost_KSS = 1 - np.einsum("se,kte->kst", query_SE, items_KSE)
    total_SSK = np.full((cost_KSS.shape[1] + 1, cost_KSS.shape[2] + 1, len(items_KSE)), np.inf)
    total_SSK[0, 0] = 0
    for i in range(cost_KSS.shape[1]):
        for j in range(cost_KSS.shape[2]):
            before_K = np.minimum(np.minimum(total_SSK[i, j + 1], total_SSK[i + 1, j]), total_SSK[i, j])
            total_SSK[i + 1, j + 1] = cost_KSS[:, i, j] + before_K
    return _distance(total_SSK[-1, -1] / len(query_SE))


def _distance(value_K: Float32 | Float64) -> Float32:
    """None is negative but by rounding."""
    return np.asarray(np.maximum(value_K, 0), np.float32)


METHODS: dict[str, Callable[[Float32, Float32], Float32]] = {"aligned": aligned, "dtw": dtw}
