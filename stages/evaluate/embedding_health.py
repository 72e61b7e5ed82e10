"""Has the space collapsed? Figures of a set of unit embeddings that need no labels."""

from __future__ import annotations

import numpy as np
import torch

from ...data.arrays import Float32, Float64, Int64
from ...data.figures import GroupProbe, Health
from .ranking import cosines


def effective_rank(embeddings_VE: Float32) -> float:
    """RankMe (Garrido et al. 2023, eq. 1): exp of the entropy of the normalised singular values; 1 to E."""
    rows = torch.from_numpy(np.asarray(embeddings_VE, np.float64))
    # The eigenvalues of the smaller product are the squares: 20 times as fast as singular values of a tall matrix.
    # They are torch's, since threads of numpy's library would wait for the cores that torch's are at.
    squares = torch.linalg.eigvalsh(rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows).numpy()
    singular = np.sqrt(np.maximum(squares, 0.0))
    share = singular / max(float(singular.sum()), 1e-12)
    share = share[share > 1e-12]
    return float(np.exp(-(share * np.log(share)).sum()))


def anisotropy(embeddings_VE: Float32) -> float | None:
    """Mean cosine of all pairs of different items (Ethayarajh 2019, section 3.2); 0 where directions are even."""
    count = len(embeddings_VE)
    if count < 2:
        return None
    sum_E = np.asarray(embeddings_VE, np.float64).sum(axis=0)
    own = float(np.square(embeddings_VE, dtype=np.float64).sum())
    return float((sum_E @ sum_E - own) / (count * (count - 1)))


def alignment(mean_VE: Float32, views: int) -> float | None:
    """Mean squared distance of two views of one video (Wang and Isola 2020, alpha = 2).

    Args:
        mean_VE: mean of the unit embeddings of each video's views: its length tells how far these are apart.
        views: how many they are.
    """
    if views < 2 or not len(mean_VE):
        return None
    length_V = np.square(mean_VE, dtype=np.float64).sum(axis=1)
    cosine_V = (views * length_V - 1) / (views - 1)
    return float((2.0 - 2.0 * cosine_V).mean())


def group_probe(embeddings_VE: Float32, class_V: Int64, group_V: Int64) -> GroupProbe:
    """How much of the recording (its background, its people) is in the embedding.

    Of each video the nearest other one of its class: percent that come from the same recording (their share, where
    several are equally near), and what a random one would give. Only videos whose class has clips of their own
    recording and of others count.
    """
    hits: list[float] = []
    chances: list[float] = []
    for number in np.unique(class_V[class_V >= 0]):
        member = np.flatnonzero(class_V == number)
        group_M, vectors_ME = group_V[member], embeddings_VE[member]
        siblings_M = np.bincount(group_M)[group_M] - 1
        counted_M = (siblings_M > 0) & (siblings_M < len(member) - 1)
        own_M = np.concatenate([_own_share(vectors_ME, group_M, rows) for rows in _row_blocks(len(member))])
        hits.extend(own_M[counted_M].tolist())
        chances.extend((siblings_M[counted_M] / max(1, len(member) - 1)).tolist())
    if not hits:
        return GroupProbe(accuracy=None, chance=None, n=0)
    return GroupProbe(accuracy=100.0 * float(np.mean(hits)), chance=100.0 * float(np.mean(chances)), n=len(hits))


def _own_share(vectors_ME: Float32, group_M: Int64, rows: slice) -> Float64:
    """Share of the same group among the nearest other vectors: 0 or 1, but where several are equally near."""
    cosine_BM = cosines(vectors_ME[rows], vectors_ME.T.astype(np.float64))
    cosine_BM[np.arange(len(cosine_BM)), np.arange(len(vectors_ME))[rows]] = -np.inf
    nearest_BM = cosine_BM == cosine_BM.max(axis=1, keepdims=True)
    own_BM = nearest_BM & (group_M == group_M[rows, None])
    return np.asarray(own_BM.sum(axis=1) / nearest_BM.sum(axis=1))


def _row_blocks(total: int, size: int = 1024) -> list[slice]:
    return [slice(begin, min(begin + size, total)) for begin in range(0, total, size)]


def health(embeddings_VE: Float32, pairs_P2: Int64) -> Health:
    """Effective rank (also centred), spread of the dimensions, and how alike unrelated videos are.

    Args:
        embeddings_VE: unit vectors, not centred.
        pairs_P2: pairs of videos that share neither class nor group where these are known.

    Returns:
        The figures, without alignment and group probe; ``uniformity`` is log mean exp(-2 ||x - y||^2) over the pairs
        (Wang and Isola 2020): 0 is collapse.
    """
    centered_VE = embeddings_VE - embeddings_VE.mean(axis=0)
    sd_E = embeddings_VE.std(axis=0)
    cosine_P = (embeddings_VE[pairs_P2[:, 0]] * embeddings_VE[pairs_P2[:, 1]]).sum(axis=1)
    return Health(
        effective_rank=effective_rank(embeddings_VE),
        effective_rank_centered=effective_rank(centered_VE),
        dimensions=float(embeddings_VE.shape[1]),
        sd_mean=float(sd_E.mean()),
        sd_min=float(sd_E.min()),
        anisotropy=anisotropy(embeddings_VE),
        unrelated_cosine=float(cosine_P.mean()) if len(cosine_P) else None,
        uniformity=_uniformity(cosine_P) if len(cosine_P) else None,
    )


def _uniformity(cosine_P: Float32) -> float:
    return float(np.log(np.exp(-2.0 * (2.0 - 2.0 * cosine_P.astype(np.float64))).mean()))
