"""Exact rankings of a gallery for many queries, in blocks of bounded memory.

Similarities are sorted together with the rows they belong to, as one integer: the order of the float in the upper half,
the row in the lower. So equal similarities come in the gallery's order, whatever sorts them; figures are expectations
over all orders of these (:mod:`.ties`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from ...data.arrays import Bool, Float32, Float64, Int64
from .mutual_proximity import MutualProximity
from .ties import FirstGroup, Groups, are_mixed

BLOCK_BYTES = 16 << 20  # of sorted keys at a time, in each thread
KEPT = 50  # nearest that are kept of each query


@dataclass(frozen=True, slots=True)
class Sides:
    """Queries and gallery: what a retrieval protocol is about.

    Attributes:
        queries_QE: unit vectors.
        gallery_NE: unit vectors.
        class_Q: class of each query, as a number; of several the first.
        class_N: class of each item.
        group_Q: recording of each query, as a number of its own; None where they are not known.
        group_N: recording of each item.
        member_QC: whether a query has a class; None where no video has several.
        member_NC: whether an item has a class; its columns are best contiguous.
        mutual: whether items are ranked by mutual proximity (:mod:`.mutual_proximity`) in place of cosines.
    """

    queries_QE: Float32
    gallery_NE: Float32
    class_Q: Int64
    class_N: Int64
    group_Q: Int64 | None = None
    group_N: Int64 | None = None
    member_QC: Bool | None = None
    member_NC: Bool | None = None
    mutual: bool = False

    @property
    def leak(self) -> bool:
        """Whether a recording is on both sides."""
        if self.group_Q is None or self.group_N is None:
            return False
        return bool(np.isin(self.group_Q, self.group_N).any())

    def relevant(self, rows: slice) -> Bool:
        """Whether an item has a class of a query (B, N), of some queries."""
        if self.member_QC is None or self.member_NC is None:
            return np.asarray(self.class_N == self.class_Q[rows, None])
        member_BC, member_CN = self.member_QC[rows], self.member_NC.T
        relevant_BN = np.empty((len(member_BC), len(self.gallery_NE)), bool)
        for has_C, relevant_N in zip(member_BC, relevant_BN, strict=True):
            np.any(member_CN[has_C], axis=0, out=relevant_N)
        return relevant_BN

    def blocks(self) -> Iterator[slice]:
        """Queries that are ranked together."""
        size = max(1, BLOCK_BYTES // (8 * max(1, len(self.gallery_NE))))
        return (slice(start, start + size) for start in range(0, len(self.queries_QE), size))


@dataclass(frozen=True, slots=True)
class Ranked:
    """What came of ranking; K is the size of the gallery, at most :data:`KEPT`.

    Attributes:
        first: where the first item of a class of the query is.
        precision_Q: average precision over the whole ranking, expected over ties; nan where there is none.
        nearest_QK: rows of the nearest, equally similar ones ascending.
        similarity_QK: their cosines, or logarithms of mutual proximity.
    """

    first: FirstGroup
    precision_Q: Float64
    nearest_QK: Int64
    similarity_QK: Float32

    @property
    def answerable_Q(self) -> Bool:
        """Whether the gallery holds an item of a class of the query."""
        return self.first.nearer_Q >= 0

    def hits(self, k: int) -> Float64:
        """Probability that an item of a class of the query is among the ``k`` nearest; nan where there is none."""
        return np.where(self.answerable_Q, self.first.within(k), np.nan)


def rank(sides: Sides, *, same_group: bool = True) -> Ranked:
    """Rank the whole gallery for each query.

    Args:
        sides: queries and gallery.
        same_group: whether items of the query's own recording count; without them they come last and are of no class.
    """
    similar = similarity(sides)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # numpy lets go of Python's lock while it works
        parts = list(pool.map(lambda rows: _rank_block(sides, similar(rows), rows, same_group), sides.blocks()))
    if not parts:
        kept, none = min(KEPT, len(sides.gallery_NE)), np.empty(0, np.int64)
        return Ranked(
            FirstGroup(none, none, none), np.empty(0), np.empty((0, kept), np.int64), np.empty((0, kept), "f4")
        )
    firsts = zip(*((p.first.nearer_Q, p.first.size_Q, p.first.relevant_Q) for p in parts), strict=True)
    fields = zip(*((p.precision_Q, p.nearest_QK, p.similarity_QK) for p in parts), strict=True)
    return Ranked(FirstGroup(*map(np.concatenate, firsts)), *map(np.concatenate, fields))


def similarity(sides: Sides) -> Callable[[slice | Int64], Float32]:
    """What gives the similarities (B, N) of some queries to the gallery: cosines, or logarithms of mutual proximity."""
    gallery_EN = sides.gallery_NE.T.astype(np.float64)
    if not sides.mutual:
        return lambda rows: cosines(sides.queries_QE[rows], gallery_EN)
    proximity = MutualProximity.of(sides.gallery_NE)
    return lambda rows: proximity.logarithms(sides.queries_QE[rows], gallery_EN)


def cosines(queries_QE: Float32, gallery_EN: Float64) -> Float32:
    """Cosines (Q, N) of unit vectors; what is bit-equal here is tied.

    In float64, then rounded: in float32 a vector's place in the matrix decides the last bit of its cosine, and equal
    vectors would not be equally near.
    """
    return np.asarray(queries_QE.astype(np.float64) @ gallery_EN, np.float32)


def order(similarity_QN: Float32) -> Int64:
    """Rows from the most similar to the least, equal ones ascending."""
    return _sorted_keys(similarity_QN) & 0xFFFFFFFF


def average_precision(relevant_QN: Bool) -> Float64:
    """AP (Q,) of rankings given as relevance by rank; nan where nothing is relevant."""
    query_R, rank_R = np.nonzero(relevant_QN)
    count_Q = np.bincount(query_R, minlength=len(relevant_QN))
    place_R = np.arange(len(query_R)) - np.repeat(np.cumsum(count_Q) - count_Q, count_Q)
    sums_Q = np.bincount(query_R, (place_R + 1) / (rank_R + 1), minlength=len(relevant_QN))
    return np.asarray(np.divide(sums_Q, count_Q, out=np.full(len(count_Q), np.nan), where=count_Q > 0))


def _rank_block(sides: Sides, similarity_QN: Float32, rows: slice, same_group: bool) -> Ranked:
    relevant_QN = sides.relevant(rows)
    if not same_group and sides.group_Q is not None and sides.group_N is not None:
        own_QN = sides.group_N == sides.group_Q[rows, None]
        similarity_QN[own_QN] = -np.inf
        relevant_QN &= ~own_QN
    keys_QN = _sorted_keys(similarity_QN)
    order_QN = keys_QN & 0xFFFFFFFF
    relevant_QN = np.take_along_axis(relevant_QN, order_QN, axis=1)
    first, precision_Q = _first(relevant_QN), average_precision(relevant_QN)
    mixed = np.flatnonzero(are_mixed(relevant_QN, keys_QN))
    if len(mixed):
        _expect(first, precision_Q, mixed, relevant_QN[mixed], keys_QN[mixed])
    nearest_QK = order_QN[:, :KEPT].copy()
    return Ranked(first, precision_Q, nearest_QK, np.take_along_axis(similarity_QN, nearest_QK, axis=1))


def _sorted_keys(similarity_QN: Float32) -> Int64:
    bits_QN = (0.0 - similarity_QN).view(np.int32)  # 0 - x: no negative zero, which would sort before zero
    # A negative float's other bits count downwards.
    keys_QN = (bits_QN ^ ((bits_QN >> 31) & np.int32(0x7FFFFFFF))).astype(np.int64) << 32
    keys_QN |= np.arange(similarity_QN.shape[1], dtype=np.int64)
    keys_QN.sort(axis=1)
    return keys_QN


def _first(relevant_QN: Bool) -> FirstGroup:
    """The first relevant place, as if nothing was tied."""
    nearer_Q = np.full(len(relevant_QN), -1, np.int64)
    answerable_Q = relevant_QN.any(axis=1)
    if relevant_QN.size:
        nearer_Q[answerable_Q] = np.argmax(relevant_QN, axis=1)[answerable_Q]
    return FirstGroup(nearer_Q, np.ones_like(nearer_Q), np.ones_like(nearer_Q))


def _expect(first: FirstGroup, precision_Q: Float64, rows: Int64, relevant_MN: Bool, keys_MN: Int64) -> None:
    """Put expectations in the place of what an order of equal similarities gave to the queries ``rows``."""
    upper_MN = keys_MN >> 32
    groups = Groups.of(
        relevant_MN, np.concatenate([np.zeros((len(rows), 1), bool), upper_MN[:, 1:] == upper_MN[:, :-1]], axis=1)
    )
    precision_Q[rows] = groups.average_precision(relevant_MN)
    group_M = groups.group_MN[np.arange(len(rows)), first.nearer_Q[rows]]
    tied_M = groups.relevant_G[group_M] < groups.size_G[group_M]
    rows, group_M = rows[tied_M], group_M[tied_M]
    first.nearer_Q[rows] = groups.start_G[group_M]
    first.size_Q[rows] = groups.size_G[group_M]
    first.relevant_Q[rows] = groups.relevant_G[group_M]
