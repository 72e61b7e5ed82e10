"""Video retrieval as the field measures it: exact, by cosine, gallery = training, queries = test videos.

A query hits at k if any of its k nearest has its class (all of the gallery, if that is smaller than k). AP averages the
precision at every item of the query's class over the whole ranking. Equal similarities are ranked in the gallery's
order. Queries without any item of their class in the gallery cannot hit: they are counted and left out of both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data.arrays import Bool, Float32, Float64, Int64
from .ranking import Ranked, Sides, rank

RANKS = (1, 5, 10, 20, 50)
BINS = 5  # of the similarity of the nearest neighbour, equally many queries each
CONFUSIONS = 20  # pairs of classes that are listed


def retrieval_metrics(
    queries_QE: Float32, gallery_NE: Float32, query_labels: Sequence[str], gallery_labels: Sequence[str]
) -> dict[str, Any]:
    """R@k and mAP in percent of unit vectors with classes."""
    codes = {label: number for number, label in enumerate(sorted({*query_labels, *gallery_labels}))}
    class_Q, class_N = (
        np.array([codes[label] for label in labels], np.int64) for labels in (query_labels, gallery_labels)
    )
    return recalls(rank(Sides(queries_QE, gallery_NE, class_Q, class_N)))


def recalls(ranked: Ranked) -> dict[str, Any]:
    """R@k and mAP in percent, over the queries that have an item of their class."""
    answerable_Q = ranked.first_Q >= 0
    counted = {"queries": int(answerable_Q.sum()), "queries_without_a_match": int((~answerable_Q).sum())}
    if not counted["queries"]:
        return {**{f"R@{k}": None for k in RANKS}, "mAP": None, **counted}
    first_Q = ranked.first_Q[answerable_Q]
    hits = {f"R@{k}": 100.0 * float((first_Q < k).mean()) for k in RANKS}
    return {**hits, "mAP": 100.0 * float(ranked.precision_Q[answerable_Q].mean()), **counted}


def hits_of(ranked: Ranked) -> Float64:
    """1 where the nearest item has the query's class, 0 where not, nan where no item has."""
    return np.where(ranked.first_Q >= 0, (ranked.first_Q == 0).astype(np.float64), np.nan)


def per_class(ranked: Mapping[str, Ranked], sides: Sides, classes: Sequence[str]) -> dict[str, Any]:
    """R@1 of each class in percent, of several embeddings side by side."""
    found: dict[str, Any] = {}
    hits = {name: hits_of(of_name) for name, of_name in ranked.items()}
    for number in np.unique(sides.class_Q):
        mine_Q = sides.class_Q == number
        rates = {name: _percent(hit_Q[mine_Q]) for name, hit_Q in hits.items()}
        found[classes[number]] = {"queries": int(mine_Q.sum()), **rates}
    return found


def confusions(ranked: Ranked, sides: Sides, classes: Sequence[str]) -> list[dict[str, Any]]:
    """The classes that queries are taken for most often, by their nearest neighbour."""
    if not len(sides.gallery_NE):
        return []
    nearest_Q = sides.class_N[ranked.nearest_QK[:, 0]]
    wrong_Q = (nearest_Q != sides.class_Q) & (ranked.first_Q >= 0)
    pairs = Counter(zip(sides.class_Q[wrong_Q].tolist(), nearest_Q[wrong_Q].tolist(), strict=True))
    total = Counter(sides.class_Q.tolist())
    return [
        {"class": classes[true], "taken_for": classes[taken], "queries": count, "of": total[true]}
        for (true, taken), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:CONFUSIONS]
    ]


def purity_by_distance(ranked: Ranked) -> list[dict[str, Any]]:
    """How often the nearest neighbour has the query's class, by how similar it is."""
    rows = np.flatnonzero(ranked.first_Q >= 0)
    if not len(rows):
        return []
    nearest_Q, hit_Q = ranked.similarity_QK[rows, 0], ranked.first_Q[rows] == 0
    by_similarity = np.argsort(nearest_Q, kind="stable")
    return [
        {
            "similarity": [float(nearest_Q[part[0]]), float(nearest_Q[part[-1]])],
            "queries": len(part),
            "R@1": 100.0 * float(hit_Q[part].mean()),
        }
        for part in np.array_split(by_similarity, min(BINS, len(rows)))
    ]


def same_group_share(ranked: Ranked, sides: Sides) -> float | None:
    """Percent of queries whose nearest neighbour is cut from the same recording: how much a split leaks."""
    if sides.group_Q is None or sides.group_N is None or not len(sides.queries_QE) or not len(sides.gallery_NE):
        return None
    own_Q: Bool = sides.group_N[ranked.nearest_QK[:, 0]] == sides.group_Q
    return 100.0 * float(own_Q.mean())


def hubness(ranked: Ranked, items: int, k: int = 10) -> float | None:
    """Skew of the k-occurrence (Radovanovic et al. 2010): how often an item is among the k nearest of a query.

    0 is even; large is a few hubs that are near to everything.
    """
    times_N: Int64 = np.bincount(ranked.nearest_QK[:, :k].ravel(), minlength=items)
    spread = float(times_N.std()) if items else 0.0
    return float(((times_N - times_N.mean()) ** 3).mean() / spread**3) if spread else None


def _percent(values: Float64) -> float | None:
    known = values[~np.isnan(values)]
    return 100.0 * float(known.mean()) if len(known) else None
