"""Unit vectors, apart from what needs torch."""

from __future__ import annotations

import numpy as np

from ...data.arrays import Float32


def l2_normalize(rows: Float32) -> Float32:
    """Rows divided by their Euclidean length; rows of zeros stay zeros."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-12), dtype=np.float32)


def center(embeddings_VE: Float32, mean_E: Float32) -> Float32:
    """Subtract the mean and make unit vectors again."""
    return l2_normalize(embeddings_VE - mean_E)
