"""Video retrieval as the field measures it: exact, by cosine, gallery = training, queries = test videos.

A query hits at k if any of its k nearest has its class (all of the gallery, if that is smaller than k); where videos
have several classes, one of its classes. AP averages the precision at every such item over the whole ranking. Of equal
similarities every order is alike likely: figures are expectations over these (:mod:`.ties`), whatever the videos and
classes are called. Queries without any item of their class in the gallery cannot hit: they are counted and left out of
both.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from ...data.arrays import Bool, Float32, Float64
from ...data.figures import Interval
from ...data.retrieval_figures import ClassFigures, Confusion, PurityBin, Recalls
from .nearest_neighbors import neighbours
from .ranking import Ranked, Sides, rank

RANKS = (1, 5, 10, 20, 50)
BINS = 5  # of the similarity of the nearest neighbour, equally many queries each
CONFUSIONS = 20  # pairs of classes that are listed


def retrieval_metrics(
    queries_QE: Float32, gallery_NE: Float32, query_labels: Sequence[str], gallery_labels: Sequence[str]
) -> Recalls:
    """R@k and mAP in percent of unit vectors with classes."""
    codes = {label: number for number, label in enumerate(sorted({*query_labels, *gallery_labels}))}
    class_Q, class_N = (
        np.array([codes[label] for label in labels], np.int64) for labels in (query_labels, gallery_labels)
    )
    return recalls(rank(Sides(queries_QE, gallery_NE, class_Q, class_N)))


def recalls(ranked: Ranked) -> Recalls:
    """R@k and mAP in percent, over the queries that have an item of their class, and how many of these ties concern."""
    answerable_Q = ranked.answerable_Q
    hits = [ranked.hits(k)[answerable_Q] for k in RANKS]
    at_1, at_5, at_10, at_20, at_50 = (_percent(hit_Q) for hit_Q in hits)
    return Recalls(
        r_at_1=at_1,
        r_at_5=at_5,
        r_at_10=at_10,
        r_at_20=at_20,
        r_at_50=at_50,
        mean_ap=_percent(ranked.precision_Q[answerable_Q]),
        queries=int(answerable_Q.sum()),
        queries_without_a_match=int((~answerable_Q).sum()),
        queries_with_ties=int(np.any([(hit_Q > 0) & (hit_Q < 1) for hit_Q in hits], axis=0).sum()),
    )


def per_class(ranked: Mapping[str, Ranked], sides: Sides, classes: Sequence[str]) -> dict[str, ClassFigures]:
    """R@1 of each class in percent, of several embeddings side by side."""
    hits = {name: of_name.hits(1) for name, of_name in ranked.items()}
    if sides.member_QC is not None:
        return _per_class_of_several(ranked, hits, sides.member_QC, classes)
    found = {}
    for number in np.unique(sides.class_Q):
        mine_Q = sides.class_Q == number
        rates = {name: _percent(hit_Q[mine_Q]) for name, hit_Q in hits.items()}
        found[classes[number]] = ClassFigures(queries=int(mine_Q.sum()), r_at_1=rates)
    return found


def _per_class_of_several(
    ranked: Mapping[str, Ranked], hits: Mapping[str, Float64], member_QC: Bool, classes: Sequence[str]
) -> dict[str, ClassFigures]:
    """The same of queries with several classes: each counts for all of its own, and hits by whichever it shares."""
    found = {}
    answerable_Q = next(iter(ranked.values())).answerable_Q
    for number in np.flatnonzero(member_QC.any(axis=0)).tolist():
        mine_Q = member_QC[:, number]
        rates = {name: _percent(hit_Q[mine_Q]) for name, hit_Q in hits.items()}
        unmatched = int((mine_Q & ~answerable_Q).sum())
        found[classes[number]] = ClassFigures(
            queries=int(mine_Q.sum()), queries_without_a_match=unmatched, r_at_1=rates
        )
    return found


def confusions(ranked: Ranked, sides: Sides, classes: Sequence[str]) -> tuple[Confusion, ...]:
    """The classes that queries are taken for most often, by their nearest neighbour; equally frequent ones by name.

    A query whose nearest are tied counts by their shares, so that ``queries`` may be a fraction.
    """
    if not len(sides.gallery_NE):
        return ()
    taken: defaultdict[int, float] = defaultdict(float)
    for near in neighbours(ranked, sides, 1):
        true_P, found_P = sides.class_Q[near.query_P], sides.class_N[near.item_P]
        wrong_P = (true_P != found_P) & ranked.answerable_Q[near.query_P]
        pairs, pair_P = np.unique(true_P[wrong_P] * len(classes) + found_P[wrong_P], return_inverse=True)
        shares = np.bincount(pair_P, near.share_P[wrong_P])
        for pair, share in zip(pairs.tolist(), shares.tolist(), strict=True):
            taken[pair] += share
    total = Counter(sides.class_Q.tolist())
    counts = {divmod(pair, len(classes)): round(share, 9) for pair, share in taken.items()}  # thirds make a whole
    return tuple(
        Confusion(label=classes[true], taken_for=classes[found], queries=_whole(count), of=total[true])
        for (true, found), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:CONFUSIONS]
    )


def purity_by_distance(ranked: Ranked) -> tuple[PurityBin, ...]:
    """How often the nearest neighbour has the query's class, by how similar it is."""
    rows = np.flatnonzero(ranked.answerable_Q)
    if not len(rows):
        return ()
    nearest_Q, hit_Q = ranked.similarity_QK[rows, 0], ranked.hits(1)[rows]
    by_similarity = np.argsort(nearest_Q, kind="stable")
    nearest_Q, hit_Q = nearest_Q[by_similarity], hit_Q[by_similarity]
    parts = np.array_split(np.arange(len(rows)), min(BINS, len(rows)))
    for part in parts[1:]:  # of queries that are equally similar to their nearest, any may be in this bin
        begin, end = (np.searchsorted(nearest_Q, nearest_Q[part[0]], side) for side in ("left", "right"))
        if begin < part[0]:
            hit_Q[begin:end] = hit_Q[begin:end].mean()
    return tuple(
        PurityBin(
            similarity=Interval(float(nearest_Q[part[0]]), float(nearest_Q[part[-1]])),
            queries=len(part),
            r_at_1=100.0 * float(hit_Q[part].mean()),
        )
        for part in parts
    )


def same_group_share(ranked: Ranked, sides: Sides) -> float | None:
    """Percent of queries whose nearest neighbour is cut from the same recording: how much a split leaks."""
    if sides.group_Q is None or sides.group_N is None or not len(sides.queries_QE) or not len(sides.gallery_NE):
        return None
    own_Q = np.zeros(len(sides.queries_QE))
    for near in neighbours(ranked, sides, 1):
        own_P = sides.group_N[near.item_P] == sides.group_Q[near.query_P]
        np.add.at(own_Q, near.query_P[own_P], near.share_P[own_P])
    return 100.0 * float(own_Q.mean())


def hubness(ranked: Ranked, sides: Sides, k: int = 10) -> float | None:
    """Skew of the k-occurrence (Radovanovic et al. 2010): how often an item is among the k nearest of a query.

    0 is even; large is a few hubs that are near to everything.
    """
    times_N = np.zeros(len(sides.gallery_NE))
    for near in neighbours(ranked, sides, k):
        np.add.at(times_N, near.item_P, near.share_P)
    mean = float(times_N.mean()) if len(times_N) else 0.0
    spread = float(times_N.std()) if len(times_N) else 0.0
    if spread <= 1e-9 * mean:  # of shares of ties, even ones may differ in their last digit
        return None
    return float(((times_N - times_N.mean()) ** 3).mean() / spread**3)


def _whole(value: float) -> float:
    return int(value) if value.is_integer() else value


def _percent(values: Float64) -> float | None:
    known = values[~np.isnan(values)]
    return 100.0 * float(known.mean()) if len(known) else None
