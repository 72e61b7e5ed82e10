"""What is compared: the trained embeddings, and beside them what costs no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from ...data.arrays import Float32, Int64
from ...data.fit_settings import FitSettings
from ...data.index_settings import IndexSettings
from ..model.embedding import embedder_of, random_projection
from ..model.forecaster import Forecaster, make_forecaster
from ..vectors.neighbour_lda import NeighbourLda, neighbour_count
from ..vectors.normalize import center, l2_normalize
from .expansion import expanded
from .protocol import EvaluationSplit
from .ranking import Sides

REFERENCE = "raw_mean_pool"  # what every row is tested against, beside the best trivial one
OF_NEIGHBOURS = ("raw_expanded", "raw_expanded_gallery", "neighbour_lda", "neighbour_lda_mean_sd")

# Share of the gallery's variance that the kept directions hold. More directions lose, since all weigh the same: on real
# features (docs/findings.md) half retrieves best, nine tenths loses half of the mAP.
WHITENED_VARIANCE = 0.5


@dataclass(frozen=True, slots=True)
class Row:
    """One embedding of all videos.

    Attributes:
        name: of the row.
        embeddings_VE: unit vectors, not centred.
        centered: whether the gallery's mean is subtracted before cosines.
        what: how it is made, one line.
        trained: whether it is learnt here, and not a baseline.
        transductive: whether a query's vector depends on the gallery that it is compared with.
        mutual: whether the gallery is ranked by mutual proximity in place of cosines.
    """

    name: str
    embeddings_VE: Float32
    centered: bool
    what: str
    trained: bool = False
    transductive: bool = False
    mutual: bool = False

    def sides(self, protocol: EvaluationSplit) -> Sides:
        """Queries and gallery of a split."""
        return protocol.sides(self.embeddings_VE, centered=self.centered, mutual=self.mutual)


@dataclass(frozen=True, slots=True)
class RowSources:
    """What rows without training are made of, for V videos.

    Attributes:
        persistence_VE: of the windows that forecasts start from, by the teacher: futures, if nothing changes.
        untrained_VE: of the same network before its first step.
        sd_VD: standard deviation over a video's frames, as unit vectors.
    """

    persistence_VE: Float32
    untrained_VE: Float32
    sd_VD: Float32


def rows_to_compare(
    spaces: Mapping[str, Float32],
    given: RowSources,
    gallery: Int64,
    settings: IndexSettings,
    seed: int,
) -> list[Row]:
    """All rows of the tables.

    Args:
        spaces: embeddings of the indexed spaces, with "mofore" and "frames" among them.
        given: what the rows without training are made of.
        gallery: positions of the training videos, from which alone whitening, neighbours and discriminants are taken.
        settings: of the index, which say how videos are embedded.
        seed: of the random projection.
    """
    raw_VD, centered = spaces["frames"], settings.center
    other = "uncentered" if centered else "centered"
    width = spaces["mofore"].shape[1]
    learnt = {name: e for name, e in spaces.items() if name != "frames"}
    whitened_VE, kept = pca_whitened(raw_VD, gallery)
    return [
        *(Row(name, e, centered, _what(name, settings), trained=True) for name, e in learnt.items()),
        Row("persistence", given.persistence_VE, centered, _persistence(settings)),
        Row("raw_mean_pool", raw_VD, centered, "mean of all frame features"),
        Row(f"raw_mean_pool_{other}", raw_VD, not centered, f"the same, {other}"),
        Row("pca_whitened", whitened_VE, False, f"raw_mean_pool on its {kept} leading directions, each of variance 1"),
        Row("untrained", given.untrained_VE, centered, "the network of mofore before its first step"),
        Row(
            "random_projection",
            random_projection(raw_VD, width, seed),
            centered,
            f"raw_mean_pool times a Gaussian matrix to {width} dimensions",
        ),
        *(neighbour_row(name, raw_VD, given.sd_VD, gallery) for name in OF_NEIGHBOURS),
    ]


def with_mutual_proximity(rows: Sequence[Row]) -> list[Row]:
    """Each row, and after it the same embedding ranked by mutual proximity."""
    twins = [
        replace(row, name=f"{row.name}+mp", what=f"{row.what}; ranked by mutual proximity", mutual=True) for row in rows
    ]
    return [row for pair in zip(rows, twins, strict=True) for row in pair]


def neighbour_row(name: str, raw_VD: Float32, sd_VD: Float32, gallery: Int64) -> Row:
    """What the graph of look-alikes gives without training; of centred vectors, whatever the settings say.

    Args:
        name: one of :data:`OF_NEIGHBOURS`.
        raw_VD: means of the frames.
        sd_VD: standard deviations over the frames.
        gallery: positions of the videos whose graph it is.
    """
    k, mean_VD = neighbour_count(len(gallery)), _centered(raw_VD, gallery)
    around = f"raw_mean_pool, each vector of the gallery the mean of it and its {k} nearest"
    match name:
        case "raw_expanded":
            vectors_VE = expanded(mean_VD, gallery, k, queries=True)
            what = f"{around}, and each query too; transductive: needs the gallery at query time"
        case "raw_expanded_gallery":
            vectors_VE, what = expanded(mean_VD, gallery, k, queries=False), f"{around}; queries as they are"
        case "neighbour_lda":
            vectors_VE = discriminated(mean_VD, gallery)
            what = (
                f"linear discriminant of the gallery's graph of {k} nearest, of raw_mean_pool; closed form, inductive"
            )
        case "neighbour_lda_mean_sd":
            vectors_VE = discriminated(np.concatenate([mean_VD, _centered(sd_VD, gallery)], axis=1), gallery)
            what = "the same of mean and standard deviation over frames, each centred and made unit, side by side"
        case _:
            raise AssertionError(name)
    return Row(name, vectors_VE, False, what, transductive=name == "raw_expanded")


def discriminated(vectors_VD: Float32, gallery: Int64) -> Float32:
    """Unit vectors in the space of :class:`NeighbourLda`, fitted on the gallery; unchanged where that has no two."""
    if len(gallery) < 2:
        return vectors_VD
    return l2_normalize(NeighbourLda.fit(vectors_VD[gallery]).transform(vectors_VD))


def _centered(vectors_VD: Float32, gallery: Int64) -> Float32:
    return center(vectors_VD, vectors_VD[gallery].mean(axis=0)) if len(gallery) else vectors_VD


def untrained(trained: Forecaster, fit: FitSettings, embed_from: str) -> nn.Module:
    """The network that the fit of ``trained`` began with, its fitted map included."""
    first = make_forecaster(trained.features, fit).eval()
    if trained.teacher.input_map is not None:
        first.use_map(trained.teacher.input_map)
    return embedder_of(first, embed_from, fit)


def pca_whitened(embeddings_VD: Float32, gallery: Int64) -> tuple[Float32, int]:
    """Unit vectors of whitened principal components, and how many were kept.

    Mean and directions are the gallery's; kept are the fewest that hold :data:`WHITENED_VARIANCE` of its variance.
    """
    if len(gallery) < 2:
        return embeddings_VD, embeddings_VD.shape[1]
    mean_D = embeddings_VD[gallery].mean(axis=0, dtype=np.float64)
    centered_ND = embeddings_VD[gallery] - mean_D
    variance_D, axes_DD = np.linalg.eigh(centered_ND.T @ centered_ND / len(gallery))
    variance_D, axes_DD = np.maximum(variance_D[::-1], 0.0), axes_DD[:, ::-1]
    held_D = np.cumsum(variance_D) / max(float(variance_D.sum()), 1e-30)
    kept = min(int(np.searchsorted(held_D, WHITENED_VARIANCE)) + 1, int((variance_D > 1e-12).sum()) or 1)
    projected_VE = (embeddings_VD - mean_D) @ axes_DD[:, :kept] / np.sqrt(np.maximum(variance_D[:kept], 1e-12))
    return l2_normalize(projected_VE.astype(np.float32)), kept


def _persistence(settings: IndexSettings) -> str:
    same = "; mofore is the same" if settings.embed_from == "teacher" else ""
    return f"forecast that nothing changes: the teacher's embedding of the windows that predict starts from{same}"


def _what(name: str, settings: IndexSettings) -> str:
    source = {"mofore": settings.embed_from, "predict": "forecast at the mean gap"}.get(name, f"teacher of {name}")
    return f"{source}; mean of the unit embeddings of {settings.views} evenly spread windows"
