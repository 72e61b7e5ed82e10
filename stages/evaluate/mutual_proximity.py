"""Mutual proximity: how near two vectors are, as either of them sees it, so that hubs lose what is theirs by chance.

Schnitzer, Flexer, Schedl and Widmer 2012 (JMLR 13): the probability that a random item is farther from both than they
are from each other. The estimator here: the two events taken to be independent, and a vector's cosines to the gallery
to be normal, so that MP(q, x) = Phi((s - mean_q) / sd_q) Phi((s - mean_x) / sd_x), s the cosine of the two.
Differences: moments of the gallery alone, so that no query changes another's answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ...data.arrays import Float32, Float64

LEAST_SD = 1e-6  # of cosines: where all of them are equal there is nothing to tell apart


@dataclass(frozen=True, slots=True)
class MutualProximity:
    """What is needed of a gallery of N unit vectors.

    Attributes:
        sum_E: of its vectors.
        products_EE: sum of their outer products; both give moments of cosines without the cosines.
        count: N.
        mean_N: mean cosine of each item to the others.
        sd_N: standard deviation of these.
    """

    sum_E: Float64
    products_EE: Float64
    count: int
    mean_N: Float64
    sd_N: Float64

    @classmethod
    def of(cls, gallery_NE: Float32) -> MutualProximity:
        """Moments of a gallery."""
        items_NE = gallery_NE.astype(np.float64)
        sum_E, products_EE = items_NE.sum(axis=0), items_NE.T @ items_NE
        own_N, others = (items_NE**2).sum(axis=1), max(len(items_NE) - 1, 1)
        mean_N = (items_NE @ sum_E - own_N) / others
        square_N = (((items_NE @ products_EE) * items_NE).sum(axis=1) - own_N**2) / others
        return cls(sum_E, products_EE, len(items_NE), mean_N, _deviation(square_N, mean_N))

    def logarithms(self, queries_QE: Float32, gallery_EN: Float64) -> Float32:
        """Logarithms of MP (Q, N), at most 0: there float32 tells apart what differs from probability 1 by 1e-30."""
        asked_QE, count = queries_QE.astype(np.float64), max(self.count, 1)
        mean_Q = asked_QE @ self.sum_E / count
        sd_Q = _deviation(((asked_QE @ self.products_EE) * asked_QE).sum(axis=1) / count, mean_Q)
        cosine_QN = asked_QE @ gallery_EN
        own_QN = (cosine_QN - mean_Q[:, None]) / sd_Q[:, None]
        found_QN = _log_normal(own_QN) + _log_normal((cosine_QN - self.mean_N) / self.sd_N)
        return np.asarray(found_QN, np.float32)


def _deviation(square: Float64, mean: Float64) -> Float64:
    return np.sqrt(np.maximum(square - mean**2, LEAST_SD**2))


def _log_normal(value: Float64) -> Float64:
    """Logarithm of the normal distribution function."""
    found: Float64 = torch.special.log_ndtr(torch.from_numpy(value)).numpy()
    return found
