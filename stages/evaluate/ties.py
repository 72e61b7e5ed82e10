"""What ties do to figures of a ranking: their expectation over all orders of the items that are equally similar.

An order of equal similarities says nothing about the embedding: by row it would be the order of names, and a class
could be renamed to the front. So every figure is a mean over the orders, each alike likely, in closed form (McSherry
and Najork 2008, "Computing information retrieval performance measures efficiently in the presence of tied scores").
Rankings without a tie of relevant and other items cost nothing and keep their figures to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...data.arrays import Bool, Float64, Int64


@dataclass(frozen=True, slots=True)
class FirstGroup:
    """The most similar items with a relevant one among them, of each query.

    Attributes:
        nearer_Q: items that are more similar than these, none of them relevant; -1 where nothing is relevant.
        size_Q: equally similar ones; 1 where all of these are relevant, since their order then changes nothing.
        relevant_Q: how many of these are relevant.
    """

    nearer_Q: Int64
    size_Q: Int64
    relevant_Q: Int64

    @property
    def tied_Q(self) -> Bool:
        """Whether it depends on an order where the first relevant item comes."""
        return self.size_Q > self.relevant_Q

    def within(self, k: int) -> Float64:
        """Probability of a relevant item among the first ``k``: hypergeometric, 0 or 1 where nothing is tied."""
        found_Q: Float64 = ((self.nearer_Q >= 0) & (self.nearer_Q < k)).astype(np.float64)
        rows = np.flatnonzero(self.tied_Q & (found_Q > 0))
        size_R, relevant_R = self.size_Q[rows], self.relevant_Q[rows]
        drawn_R = np.minimum(k - self.nearer_Q[rows], size_R)
        chance_R, none_R = np.zeros(len(rows)), np.ones(len(rows))
        for drawn in range(int(drawn_R.max(initial=0))):  # at most k; the first relevant one is this
            share_R = np.minimum(relevant_R / np.maximum(size_R - drawn, 1), 1.0)
            chance_R += np.where(drawn < drawn_R, none_R * share_R, 0.0)
            none_R *= 1.0 - share_R
        found_Q[rows] = chance_R
        return found_Q

    def expected_rank(self) -> Float64:
        """Mean rank of the first relevant item, from 1; nan where there is none."""
        rank_Q = self.nearer_Q + (self.size_Q + 1) / (self.relevant_Q + 1)
        return np.where(self.nearer_Q >= 0, rank_Q, np.nan)


@dataclass(frozen=True, slots=True)
class Groups:
    """Equally similar items of M rankings (M, N), numbered through; each with what the expectations need.

    Attributes:
        group_MN: group of each place.
        start_G: items of the same ranking before it.
        size_G: its items.
        relevant_G: its relevant items.
    """

    group_MN: Int64
    start_G: Int64
    size_G: Int64
    relevant_G: Int64

    @classmethod
    def of(cls, relevant_MN: Bool, same_as_before_MN: Bool) -> Groups:
        """Group rankings by whether a place is as similar as the one before it (never the first)."""
        begins_F = np.flatnonzero(~same_as_before_MN)
        group_MN = (np.cumsum(~same_as_before_MN) - 1).reshape(relevant_MN.shape)
        size_G = np.diff(begins_F, append=relevant_MN.size)
        relevant_G = np.add.reduceat(relevant_MN.ravel(), begins_F, dtype=np.int64)
        return cls(group_MN, begins_F % relevant_MN.shape[1], size_G, relevant_G)

    def average_precision(self, relevant_MN: Bool) -> Float64:
        """Expected AP (M,): a place is relevant with probability r / n, and so are those before it in its group.

        McSherry and Najork 2008, section 2.5. Differences: written for each place, where no harmonic numbers cancel.
        """
        rank_N = np.arange(relevant_MN.shape[1])
        total_M = relevant_MN.sum(axis=1)
        first_M = self.group_MN[:, 0]
        before_G = np.cumsum(self.relevant_G) - self.relevant_G
        before_G = before_G - np.repeat(before_G[first_M], np.diff(first_M, append=len(before_G)))
        others_G = (self.relevant_G - 1) / np.maximum(self.size_G - 1, 1)
        group_MN = self.group_MN
        place_MN = rank_N - self.start_G[group_MN]
        precision_MN = (before_G[group_MN] + 1 + place_MN * others_G[group_MN]) / (rank_N + 1)
        chance_G = self.relevant_G / self.size_G
        return np.asarray((chance_G[group_MN] * precision_MN).sum(axis=1) / total_M)


def are_mixed(relevant_QN: Bool, keys_QN: Int64) -> Bool:
    """Whether a ranking has relevant and other items that are equally similar; found at the relevant ones alone.

    Args:
        relevant_QN: by place.
        keys_QN: sorted; equally similar ones differ in their lower 32 bits alone.
    """
    query_R, place_R = np.nonzero(relevant_QN)
    mixed_Q = np.zeros(len(relevant_QN), bool)
    for step in (-1, 1):
        other_R = np.clip(place_R + step, 0, relevant_QN.shape[1] - 1)
        tied_R = ((keys_QN[query_R, other_R] ^ keys_QN[query_R, place_R]) >> 32) == 0
        mixed_Q[query_R[tied_R & ~relevant_QN[query_R, other_R]]] = True
    return mixed_Q
