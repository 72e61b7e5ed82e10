"""Two numbers for every video: where it lies on the map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...data.arrays import Float32
from ...data.cores import usable_cores

PERPLEXITY = 30.0
SHARED_FROM = 2_000  # videos from which on threads don't wait for each other most of the time
STEPS = (250, 500)  # with and without early exaggeration
LEADING = 50  # directions that t-SNE starts from


@dataclass(frozen=True, slots=True)
class Map:
    """A map of a space: its name, how it was made, and the places of V videos, 0 to 1."""

    name: str
    how: str
    places_V2: Float32


def pca_map(name: str, centered_VE: Float32) -> Map:
    """The two directions of most variance (Pearson 1901), each with the sign that makes its largest weight positive."""
    leading_V2, share = _leading(centered_VE, 2)
    return Map(f"{name}, PCA", f"the two directions of most variance, {100 * share:.0f} % of it", _framed(leading_V2))


def tsne_map(name: str, centered_VE: Float32, seed: int = 0) -> Map:
    """t-SNE (van der Maaten and Hinton 2008) of the leading directions, as openTSNE computes it.

    Distances between clusters and their sizes mean nothing in it.
    """
    from openTSNE import TSNE

    leading_VR, _ = _leading(centered_VE, min(LEADING, *centered_VE.shape))
    perplexity = min(PERPLEXITY, max(1.0, (len(centered_VE) - 1) / 3))
    fitted = TSNE(
        perplexity=perplexity,
        early_exaggeration_iter=STEPS[0],
        n_iter=STEPS[1],
        initialization="pca",
        random_state=seed,
        n_jobs=1 if len(centered_VE) < SHARED_FROM else len(usable_cores()),
    ).fit(leading_VR)
    how = "t-SNE: neighbours stay together; distances between clusters and their sizes mean nothing"
    return Map(f"{name}, t-SNE", how, _framed(np.asarray(fitted, np.float32)))


def _leading(centered_VE: Float32, directions: int) -> tuple[Float32, float]:
    """Coordinates (V, R) along the leading directions, and the share of the variance that they hold."""
    about_VE = centered_VE - centered_VE.mean(axis=0) if len(centered_VE) else centered_VE
    if len(about_VE) < about_VE.shape[1]:
        _, length_R, direction_RE = np.linalg.svd(about_VE.astype(np.float64), full_matrices=False)
        variance_R, direction_ER = length_R**2, direction_RE.T
    else:
        variance_E, direction_EE = np.linalg.eigh(about_VE.T.astype(np.float64) @ about_VE)
        variance_R, direction_ER = variance_E[::-1], direction_EE[:, ::-1]
    chosen_ER = direction_ER[:, :directions]
    largest_R = np.abs(chosen_ER).argmax(axis=0)
    chosen_ER = chosen_ER * np.sign(chosen_ER[largest_R, np.arange(chosen_ER.shape[1])])
    coordinates_VR = (about_VE @ chosen_ER).astype(np.float32)
    if coordinates_VR.shape[1] < directions:
        coordinates_VR = np.pad(coordinates_VR, ((0, 0), (0, directions - coordinates_VR.shape[1])))
    total = float(variance_R.sum())
    return coordinates_VR, float(variance_R[:directions].sum()) / total if total > 0 else 0.0


def _framed(places_V2: Float32) -> Float32:
    """Into the unit square, both axes by the same factor."""
    if not len(places_V2):
        return places_V2
    low_2, high_2 = places_V2.min(axis=0), places_V2.max(axis=0)
    extent = float((high_2 - low_2).max()) or 1.0
    return np.asarray((places_V2 - (low_2 + high_2) / 2) / extent + 0.5, np.float32)
