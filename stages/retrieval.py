"""Video retrieval as the field measures it: exact, by cosine, gallery = training, queries = test videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data.arrays import Bool, Float32, Float64, Int64
from .embed import unit

RANKS = (1, 5, 10, 20, 50)
BLOCK = 512  # queries ranked together


def retrieval_metrics(
    queries_QE: Float32, gallery_NE: Float32, query_labels: Sequence[str], gallery_labels: Sequence[str]
) -> dict[str, Any]:
    """R@k and mAP in percent.

    A query hits at k if any of its k nearest has its class (all of the gallery, if that is smaller than k).
    AP averages the precision at every item of the query's class over the whole ranking. Equal similarities
    are ranked in the gallery's order. Queries without any item of their class in the gallery cannot hit: they
    are counted and left out of both.

    Args:
        queries_QE: unit vectors.
        gallery_NE: unit vectors.
        query_labels: classes of the queries.
        gallery_labels: classes of the gallery.
    """
    classes = {label: number for number, label in enumerate(sorted({*query_labels, *gallery_labels}))}
    of_query_Q = np.array([classes[label] for label in query_labels], np.int64)
    of_item_N = np.array([classes[label] for label in gallery_labels], np.int64)
    answerable_Q = np.isin(of_query_Q, of_item_N)
    first, precision = [], []
    for rows in np.array_split(np.flatnonzero(answerable_Q), max(1, int(answerable_Q.sum()) // BLOCK)):
        relevant_QN = _ranked_relevance(queries_QE[rows], gallery_NE, of_query_Q[rows], of_item_N)
        first.append(np.argmax(relevant_QN, axis=1))
        precision.append(average_precision(relevant_QN))
    counted = {"queries": int(answerable_Q.sum()), "queries_without_a_match": int((~answerable_Q).sum())}
    if not counted["queries"]:
        return {**{f"R@{k}": None for k in RANKS}, "mAP": None, **counted}
    first_Q = np.concatenate(first)
    recalls = {f"R@{k}": 100.0 * float((first_Q < k).mean()) for k in RANKS}
    return {**recalls, "mAP": 100.0 * float(np.concatenate(precision).mean()), **counted}


def average_precision(relevant_QN: Bool) -> Float64:
    """AP (Q,) of rankings given as relevance by rank; every row holds a relevant item."""
    hits_QN = np.cumsum(relevant_QN, axis=1)
    precision_QN = hits_QN / np.arange(1, relevant_QN.shape[1] + 1)
    return np.asarray((precision_QN * relevant_QN).sum(axis=1) / hits_QN[:, -1])


def center(embeddings_VE: Float32, mean_E: Float32) -> Float32:
    """Subtract the mean and make unit vectors again."""
    return unit(embeddings_VE - mean_E)


def _ranked_relevance(queries_QE: Float32, gallery_NE: Float32, of_query_Q: Int64, of_item_N: Int64) -> Bool:
    similarity_QN = queries_QE @ gallery_NE.T
    order_QN = np.argsort(-similarity_QN, axis=1, kind="stable")
    return np.asarray(of_item_N[order_QN] == of_query_Q[:, None])
