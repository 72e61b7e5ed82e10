"""Neighbours averaged at search time: what look-alikes give without any learning.

Database augmentation (Turcot and Lowe 2009): every gallery vector becomes the mean of itself and its k nearest. Average
query expansion (Chum et al. 2007): every query the mean of itself and its k nearest of the gallery. Differences: both
among the vectors as they were, so that neither waits for the other.
"""

from __future__ import annotations

import numpy as np
import torch

from ...data.arrays import Float32, Int64
from ...data.blocks import blocks
from ..vectors.neighbour_lda import nearest_others
from ..vectors.normalize import l2_normalize

BLOCK_ROWS = 1024


def expanded(unit_VE: Float32, gallery: Int64, k: int, *, queries: bool) -> Float32:
    """Unit vectors (V, E) of which the gallery's are means over neighbours, and with ``queries`` all the others too.

    Args:
        unit_VE: to be compared by their products.
        gallery: positions among them.
        k: neighbours, of which a small gallery has fewer.
        queries: whether the others are replaced as well, which needs the gallery when a query is made.
    """
    found_VE = unit_VE.copy()
    items_NE, count = unit_VE[gallery], min(k, len(gallery) - 1)
    if count < 1:
        return found_VE
    near_NK = nearest_others(torch.from_numpy(items_NE), count).numpy()
    found_VE[gallery] = _with_neighbours(items_NE, items_NE, near_NK)
    others = np.setdiff1d(np.arange(len(unit_VE)), gallery)
    for block in blocks(len(others), BLOCK_ROWS) if queries else ():
        asked_BE = unit_VE[others[block]]
        near_BK = torch.from_numpy(asked_BE @ items_NE.T).topk(min(k, len(gallery)), dim=1).indices.numpy()
        found_VE[others[block]] = _with_neighbours(asked_BE, items_NE, near_BK)
    return found_VE


def _with_neighbours(rows_BE: Float32, items_NE: Float32, near_BK: Int64) -> Float32:
    sum_BE = rows_BE.copy()
    for place in range(near_BK.shape[1]):
        sum_BE += items_NE[near_BK[:, place]]
    return l2_normalize(sum_BE)
