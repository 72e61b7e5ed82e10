"""Do the classes form clusters? k-means against the classes, and silhouettes of the classes themselves."""

from __future__ import annotations

import numpy as np

from ...data.arrays import Float32, Float64, Int64
from ...data.retrieval_figures import Clusters
from ..vectors.faiss_library import faiss

ITERATIONS, STARTS = 25, 5


def clustering(embeddings_VE: Float32, class_V: Int64, seed: int) -> Clusters:
    """NMI of spherical k-means with as many clusters as classes, and the mean silhouette by cosine distance."""
    count = len(np.unique(class_V))
    if count < 2 or len(class_V) <= count:
        return Clusters(nmi=None, silhouette=None, clusters=count)
    found_V = kmeans(embeddings_VE, count, seed)
    return Clusters(
        nmi=mutual_information(found_V, class_V), silhouette=silhouette(embeddings_VE, class_V), clusters=count
    )


def kmeans(embeddings_VE: Float32, clusters: int, seed: int) -> Int64:
    """Cluster of each vector: the best of :data:`STARTS` seeded starts."""
    options = {"niter": ITERATIONS, "nredo": STARTS, "seed": seed, "spherical": True, "min_points_per_centroid": 1}
    means = faiss().Kmeans(embeddings_VE.shape[1], clusters, **options)
    means.train(np.ascontiguousarray(embeddings_VE))
    return np.asarray(means.index.search(np.ascontiguousarray(embeddings_VE), 1)[1][:, 0], np.int64)


def mutual_information(first_V: Int64, second_V: Int64) -> float:
    """Normalised mutual information of two partitions: over the mean of their entropies; 1 if both are one set."""
    _, a_V = np.unique(first_V, return_inverse=True)
    _, b_V = np.unique(second_V, return_inverse=True)
    joint_AB = np.zeros((a_V.max() + 1, b_V.max() + 1))
    np.add.at(joint_AB, (a_V, b_V), 1.0 / len(a_V))
    of_a, of_b = joint_AB.sum(axis=1), joint_AB.sum(axis=0)
    mean_entropy = (_entropy(of_a) + _entropy(of_b)) / 2
    shared = _entropy(of_a) + _entropy(of_b) - _entropy(joint_AB.ravel())
    return float(shared / mean_entropy) if mean_entropy > 0 else 1.0


def silhouette(embeddings_VE: Float32, class_V: Int64) -> float:
    """Mean of (b - a) / max(a, b): distances (1 - cosine) to the own class and to the nearest other one.

    Rousseeuw 1987. Videos alone in their class count 0. Mean distances are distances to class means, since cosines are
    linear; no matrix of all pairs is made.
    """
    _, code_V, size_C = np.unique(class_V, return_inverse=True, return_counts=True)
    vectors_VE = np.asarray(embeddings_VE, np.float64)
    sum_CE = np.zeros((len(size_C), vectors_VE.shape[1]))
    np.add.at(sum_CE, code_V, vectors_VE)
    cosine_VC = vectors_VE @ sum_CE.T
    rows = np.arange(len(code_V))
    own_V = cosine_VC[rows, code_V] - (vectors_VE * vectors_VE).sum(axis=1)
    size_V = size_C[code_V]
    within_V = 1.0 - own_V / np.maximum(size_V - 1, 1)
    between_VC = 1.0 - cosine_VC / size_C
    between_VC[rows, code_V] = np.inf
    nearest_V = between_VC.min(axis=1)
    larger_V = np.maximum(np.maximum(within_V, nearest_V), 1e-12)
    return float(np.where(size_V > 1, (nearest_V - within_V) / larger_V, 0.0).mean())


def _entropy(share: Float64) -> float:
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())
