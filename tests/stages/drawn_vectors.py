"""Unit vectors in clusters, and what brute force says of them."""

import numpy as np

from mofore.data.index_settings import IndexSettings
from mofore.stages.model.spaces import center_of
from mofore.stages.vectors import normalize as unit_vectors
from mofore.stages.vectors.build import build
from mofore.stages.vectors.normalize import l2_normalize
from mofore.stages.vectors.vector_index import About, Items, VectorIndex


def clustered(count: int, width: int = 32, seed: int = 0, clusters: int = 20) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((clusters, width))
    noise = 0.5 * np.random.default_rng(seed + 1).standard_normal((count, width))
    return l2_normalize((centers[rng.integers(0, clusters, count)] + noise).astype(np.float32))


def brute_force(queries: np.ndarray, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Similarities rounded to float32, and rows; ties by row."""
    similarity = np.array([[(q * v).sum() for v in vectors.astype(np.float64)] for q in queries], np.float32)
    if not similarity.size:
        return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    rows = np.array([sorted(range(len(vectors)), key=lambda row: (-line[row], row))[:k] for line in similarity])
    return np.take_along_axis(similarity, rows, 1), rows


def items(count: int, first: int = 0) -> Items:
    videos = [{"id": f"v{n:05d}", "label": "a", "group": None, "role": "train"} for n in range(first, first + count)]
    return Items(tuple(videos), np.arange(count))


def indexed(embeddings: np.ndarray, kind: str = "flat", *, center: bool = True, **settings: object) -> VectorIndex:
    chosen = IndexSettings(kind=kind, center=center, **settings)  # type: ignore[arg-type]
    rows = items(len(embeddings))
    mean = center_of(embeddings, rows, wanted=center)
    built = build(unit_vectors.center(embeddings, mean), chosen)
    provenance = {"index_settings": chosen.identity()}
    about = About("mofore", "video", "model", kind, built.factory, built.search, built.why, provenance)
    return VectorIndex(built.index, rows, mean, about, embeddings=embeddings)


def agreement(index: VectorIndex, queries: np.ndarray, k: int) -> float:
    """With brute force over the vectors that the index holds."""
    found = index.search(queries, k)[1]
    exact = np.argsort(-(queries @ index.vectors(np.arange(len(index.items))).T), axis=1, kind="stable")[:, :k]
    return float(np.mean([len({*mine} & {*theirs}) / k for mine, theirs in zip(found, exact, strict=True)]))
