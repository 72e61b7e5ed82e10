"""Has the space collapsed? Figures of a set of unit embeddings that need no labels."""

from __future__ import annotations

import numpy as np

from ..data.arrays import Float32, Int64


def effective_rank(embeddings_VE: Float32) -> float:
    """RankMe (Garrido et al. 2023, eq. 1): exp of the entropy of the normalised singular values; 1 to E."""
    singular = np.linalg.svd(np.asarray(embeddings_VE, np.float64), compute_uv=False)
    share = singular / max(float(singular.sum()), 1e-12)
    share = share[share > 1e-12]
    return float(np.exp(-(share * np.log(share)).sum()))


def health(embeddings_VE: Float32, pairs_P2: Int64) -> dict[str, float]:
    """Effective rank (also centred), spread of the dimensions, and how alike unrelated videos are.

    Args:
        embeddings_VE: unit vectors, not centred.
        pairs_P2: pairs of videos that share neither class nor group where these are known.

    Returns:
        ``uniformity`` is log mean exp(-2 ||x - y||^2) over the pairs (Wang and Isola 2020): 0 is collapse.
    """
    centered_VE = embeddings_VE - embeddings_VE.mean(axis=0)
    sd_E = embeddings_VE.std(axis=0)
    cosine_P = (embeddings_VE[pairs_P2[:, 0]] * embeddings_VE[pairs_P2[:, 1]]).sum(axis=1)
    figures = {
        "effective_rank": effective_rank(embeddings_VE),
        "effective_rank_centered": effective_rank(centered_VE),
        "dimensions": float(embeddings_VE.shape[1]),
        "sd_mean": float(sd_E.mean()),
        "sd_min": float(sd_E.min()),
    }
    if len(cosine_P):
        figures["unrelated_cosine"] = float(cosine_P.mean())
        figures["uniformity"] = float(np.log(np.exp(-2.0 * (2.0 - 2.0 * cosine_P.astype(np.float64))).mean()))
    return figures
