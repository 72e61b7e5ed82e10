"""Linear discriminant of the look-alike graph: what tells a vector's neighbours from the rest, in closed form.

Discriminant analysis wants the scatter within classes small against the scatter of all. Without classes the k nearest
neighbours stand for the class: S_n is the scatter of the differences between a vector and its neighbours, S_t that of
all. (Linear discriminant analysis: Fisher 1936. A neighbour graph in its place: He and Niyogi 2003, locality preserving
projections, which minimise the same S_n against another constraint.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ...data.arrays import Float32
from ...data.blocks import blocks

NEIGHBOURS = 40
LEAST_FAR = 30  # at most one in so many counts as near, so that a small set has no far neighbours
RIDGE = 0.3  # of the mean variance of S_n, added to each direction
LEAST_SCATTER = 1e-6  # that S_n is taken to have, of S_t's: where all neighbours are copies it is nothing
GRAPH_DIRECTIONS = 64  # in which neighbours are found again
BLOCK_ROWS = 1024  # rows that are compared with all others at once


def neighbour_count(rows: int) -> int:
    """How many neighbours are taken among so many rows: :data:`NEIGHBOURS`, or one in :data:`LEAST_FAR`, at least 1."""
    return max(1, min(NEIGHBOURS, rows // LEAST_FAR))


@dataclass(frozen=True, slots=True)
class NeighbourLda:
    """A linear map, fitted without labels, in which neighbours are close and others far.

    Attributes:
        mean_D: of the gallery, subtracted first.
        directions_DE: E generalised eigenvectors v of S_t v = lambda (S_n + r I) v with lambda > 1, best first, scaled
            to v' (S_n + r I) v = 1 and then by (lambda - 1) / lambda, the share of the variance that is not noise.
        eigenvalues_E: lambda, descending.
    """

    mean_D: Float32
    directions_DE: Float32
    eigenvalues_E: Float32

    @classmethod
    def fit(cls, gallery_ND: Float32, k: int | None = None, *, rounds: int = 2, scaled: bool = False) -> Self:
        """Fit on the rows of a gallery, twice: neighbours are found again in the first solution.

        Rows are best centred and made unit (:func:`.normalize.center`), since neighbours are nearest by cosine. Time
        grows with N^2 D + N D^2 + D^3; memory with N D + D^2.

        Args:
            gallery_ND: at least two rows.
            k: neighbours of a row, fewer than N; None for :func:`neighbour_count`.
            rounds: solutions; neighbours of each are found in the one before.
            scaled: whether neighbours are found by :func:`nearest_others` with ``scaled``, against hubs.

        Raises:
            ValueError: if there are fewer than two rows, or not more rows than neighbours.
        """
        rows, count = len(gallery_ND), neighbour_count(len(gallery_ND)) if k is None else k
        if not 1 <= count < rows:
            raise ValueError(f"{count} neighbours of each of {rows} vectors: from 1 to {max(rows - 1, 1)} can be taken")
        mean_D = gallery_ND.mean(axis=0, dtype=np.float64)
        given_ND = torch.from_numpy(np.asarray(gallery_ND - mean_D, np.float32))
        centered_NR, basis_DR = _in_its_span(given_ND)
        total_RR, ridge = _product(centered_NR, centered_NR) / rows, RIDGE / gallery_ND.shape[1]
        least = float(total_RR.trace()) * LEAST_SCATTER + 1e-30

        def solved(similar_NE: Tensor) -> tuple[Tensor, Tensor]:
            within_RR = _neighbour_scatter(centered_NR, nearest_others(similar_NE, count, scaled=scaled))
            within_RR.diagonal().add_(ridge * within_RR.trace().clamp(min=least))
            return _discriminants(total_RR, within_RR)

        value_E, weighted_RE = solved(given_ND)
        for _ in range(rounds - 1):
            value_E, weighted_RE = solved(centered_NR @ weighted_RE[:, :GRAPH_DIRECTIONS].float())
        directions_DE = weighted_RE if basis_DR is None else basis_DR @ weighted_RE
        return cls(mean_D.astype(np.float32), directions_DE.float().numpy(), value_E.float().numpy())

    def transform(self, rows_ND: Float32) -> Float32:
        """Map rows (N, D) to (N, E), not made unit: cosines there are what the map is for."""
        return np.asarray((rows_ND - self.mean_D) @ self.directions_DE, np.float32)


def nearest_others(rows_NE: Tensor, k: int, *, scaled: bool = False) -> Tensor:
    """The ``k`` nearest other rows (N, k) of each by cosine, nearest first.

    With ``scaled`` by 2 cos(x, y) - r(x) - r(y), r the mean cosine of a row and its k nearest: cross-domain similarity
    local scaling (Conneau et al. 2018, eq. 3), by which rows that are near to everything are no longer everybody's.
    """
    unit_NE = torch.nn.functional.normalize(rows_NE, dim=1)
    if not scaled:
        return torch.cat([part.indices for part in _most_similar(unit_NE, k, None)])
    crowding_N = torch.cat([part.values.mean(dim=1) for part in _most_similar(unit_NE, k, None)])
    return torch.cat([part.indices for part in _most_similar(unit_NE, k, crowding_N)])


def _most_similar(unit_NE: Tensor, k: int, crowding_N: Tensor | None) -> Iterator[torch.return_types.topk]:
    """The k largest cosines of blocks of rows to the others; less half the others' crowding where it is given."""
    for block in blocks(len(unit_NE), BLOCK_ROWS):
        similarity_BN = unit_NE[block] @ unit_NE.T
        if crowding_N is not None:
            similarity_BN -= crowding_N / 2
        row_B = torch.arange(len(similarity_BN))
        similarity_BN[row_B, block.start + row_B] = -torch.inf
        yield similarity_BN.topk(k, dim=1)


def _in_its_span(rows_ND: Tensor) -> tuple[Tensor, Tensor | None]:
    """The rows in coordinates of the space that they span, and its basis (D, R), where that is smaller than D.

    Outside of it S_t is nothing, so no direction is lost.
    """
    rows, width = rows_ND.shape
    if rows > width:
        return rows_ND, None
    gram_NN = rows_ND.double() @ rows_ND.double().T
    value_R, left_NR = torch.linalg.eigh(gram_NN)
    kept_R = value_R > 1e-10 * value_R[-1]
    kept_R[-1] = True  # one dimension, where all rows are equal
    left_NR, length_R = left_NR[:, kept_R], value_R[kept_R].clamp(min=1e-30).sqrt()
    return (left_NR * length_R).float(), rows_ND.double().T @ (left_NR / length_R)


def _product(left_NR: Tensor, right_NR: Tensor) -> Tensor:
    """Sum over rows of left' right (R, R): blocks of rows in float32, summed in float64."""
    sum_RR = torch.zeros(left_NR.shape[1], right_NR.shape[1], dtype=torch.float64)
    for block in blocks(len(left_NR), BLOCK_ROWS):
        sum_RR += left_NR[block].T @ right_NR[block]
    return sum_RR


def _neighbour_scatter(rows_NR: Tensor, nearest_NK: Tensor) -> Tensor:
    """S_n (R, R): mean over rows and their neighbours of (x - y)' (x - y) / 2, which has the scale of S_t.

    By the graph's Laplacian: the sum over pairs is P + P', P = X' (X (k + indegree) / 2 - sums of neighbours).
    """
    rows, k = nearest_NK.shape
    half_N1 = (k + torch.bincount(nearest_NK.flatten(), minlength=rows)).float()[:, None] / 2
    away_NR = rows_NR * half_N1
    for place in range(k):
        away_NR -= rows_NR[nearest_NK[:, place]]
    product_RR = _product(rows_NR, away_NR)
    return (product_RR + product_RR.T) / (2 * rows * k)


def _discriminants(total_RR: Tensor, within_RR: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (E,) above 1, descending, and the weighted directions (R, E); the best one where none is."""
    lower_RR = torch.linalg.cholesky(within_RR)
    half_RR = torch.linalg.solve_triangular(lower_RR, total_RR, upper=False)
    whitened_RR = torch.linalg.solve_triangular(lower_RR, half_RR.T, upper=False)
    value_R, vector_RR = torch.linalg.eigh((whitened_RR + whitened_RR.T) / 2)
    value_R, vector_RR = value_R.flip(0), vector_RR.flip(1)
    kept = max(1, int((value_R > 1).sum()))
    value_E = value_R[:kept]
    direction_RE = torch.linalg.solve_triangular(lower_RR.T, vector_RR[:, :kept], upper=True)
    weight_E = torch.where(value_E > 1, (value_E - 1) / value_E, 1.0)
    return value_E, direction_RE * weight_E
