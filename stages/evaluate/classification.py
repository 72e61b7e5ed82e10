"""Classes from embeddings that are not trained any further: nearest neighbours and few examples of each class."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...data.arrays import Float32, Int64
from ...data.retrieval_figures import FewShot
from ..vectors.normalize import l2_normalize
from .nearest_neighbors import is_one_of, is_right, neighbours
from .ranking import Ranked, Sides, cosines

TEMPERATURE = 0.07
NEIGHBOURS = 20
SHOTS = (1, 2, 4, 8, 16)
DRAWS = 5  # of the examples


def knn_accuracy(ranked: Ranked, sides: Sides, k: int = NEIGHBOURS, temperature: float = TEMPERATURE) -> float | None:
    """Percent of queries whose class has the most weight among the k nearest (Wu et al. 2018, section 3.4).

    A neighbour weighs exp(cosine / temperature); those that are equally similar at the k-th place share what is left of
    the k. Of equally heavy classes each is alike likely to win. All queries count, also those whose class the gallery
    does not hold. A neighbour of several classes votes for each; a query of several is right if any of them wins.
    """
    if not len(sides.queries_QE) or not len(sides.gallery_NE):
        return None
    member_QC, member_NC = sides.member_QC, sides.member_NC
    classes = int(max(sides.class_N.max(), sides.class_Q.max())) + 1 if member_QC is None else member_QC.shape[1]
    temperature = 1.0 if sides.mutual else temperature
    vote_QC = np.zeros((len(sides.class_Q), classes))
    for near in neighbours(ranked, sides, k):
        weight_P = near.share_P * np.exp((near.similarity_P.astype(np.float64) - 1.0) / temperature)
        if member_NC is None:
            np.add.at(vote_QC, (near.query_P, sides.class_N[near.item_P]), weight_P)
        else:
            pair_R, class_R = np.nonzero(member_NC[near.item_P])
            np.add.at(vote_QC, (near.query_P[pair_R], class_R), weight_P[pair_R])
    right_Q = is_right(vote_QC, sides.class_Q) if member_QC is None else is_one_of(vote_QC, member_QC)
    return 100.0 * float(right_Q.mean())


def few_shot(sides: Sides, seed: int) -> dict[str, FewShot]:
    """Accuracy with n examples of each class: the class whose examples' mean is nearest (Snell et al. 2017, eq. 1).

    Classes with fewer than n examples give all that they have; of equally near ones each is alike likely. Percent of
    the queries whose class is in the gallery; mean and standard deviation over :data:`DRAWS` draws of the examples.
    """
    classes = np.unique(sides.class_N)
    known_Q = np.isin(sides.class_Q, classes)
    if not known_Q.any():
        return {}
    largest = int(np.bincount(sides.class_N).max())
    found = {}
    for shots in SHOTS:
        if shots > largest:
            break
        rates = [
            _one_draw(sides, classes, known_Q, shots, np.random.default_rng([seed, draw])) for draw in range(DRAWS)
        ]
        found[str(shots)] = FewShot(mean=float(np.mean(rates)), sd=float(np.std(rates)), draws=DRAWS)
    return found


def _one_draw(sides: Sides, classes: Int64, known_Q: Any, shots: int, rng: np.random.Generator) -> float:
    shuffled = rng.permutation(len(sides.class_N))
    by_class = shuffled[np.argsort(sides.class_N[shuffled], kind="stable")]
    first = np.searchsorted(sides.class_N[by_class], classes)
    last = np.searchsorted(sides.class_N[by_class], classes, side="right")
    # In float64, so that the mean of equal vectors is that vector, however many they are.
    mean_CE: Float32 = l2_normalize(
        np.stack(
            [
                sides.gallery_NE[by_class[begin : min(begin + shots, end)]].mean(axis=0, dtype=np.float64)
                for begin, end in zip(first.tolist(), last.tolist(), strict=True)
            ]
        )
    )
    similarity_QC = cosines(sides.queries_QE[known_Q], mean_CE.T.astype(np.float64))
    return 100.0 * float(is_right(similarity_QC, np.searchsorted(classes, sides.class_Q[known_Q])).mean())
