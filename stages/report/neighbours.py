"""The nearest gallery videos of every video, and which queries are worth looking at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...data.arrays import Bool, Float32, Int64
from ...data.metrics import QueryFigures
from ..vectors.exact import Found, nearest
from ..vectors.faiss_library import faiss
from ..vectors.vector_index import VectorIndex

KEPT = 20  # nearest of each video
EXAMPLES = 3  # queries of each kind


@dataclass(frozen=True, slots=True)
class SpaceVectors:
    """An indexed space.

    Attributes:
        name: mofore, frames, ...
        unit_VE: unit vectors, as the network made them.
        centered_VE: the same as they are compared: the mean subtracted, of unit length.
        near_VK: rows of the nearest videos of the gallery, best first; -1 where there are no more.
        similarity_VK: their cosines.
    """

    name: str
    unit_VE: Float32
    centered_VE: Float32
    near_VK: Int64
    similarity_VK: Float32


def read_space(name: str, folder: Path, ids: Sequence[str]) -> SpaceVectors:
    """Read an index of whole videos, and ask it for the neighbours of each.

    The gallery is the training side; without one, all videos. A video is not its own neighbour.

    Raises:
        StoreError: if the index cannot be read.
    """
    index = VectorIndex.load(folder)
    row_of = {str(index.items.of(row)["id"]): row for row in range(len(index.items))}
    index_V = np.array([row_of[video_id] for video_id in ids], np.int64)
    gallery = [n for n, row in enumerate(index_V.tolist()) if index.items.of(row)["role"] == "train"]
    unit_VE = np.asarray(index.embeddings_NE[index_V])
    centered_VE = index.centered(unit_VE)
    gallery_G = np.array(gallery or range(len(ids)), np.int64)
    similarity_VK, near_VK = _nearest(centered_VE, centered_VE[gallery_G])
    near_VK, similarity_VK = _without_itself(gallery_G[near_VK], similarity_VK)
    return SpaceVectors(name, unit_VE, centered_VE, near_VK, similarity_VK)


def _nearest(queries_VE: Float32, gallery_GE: Float32) -> Found:
    """Exact, whatever kind the index is; one more than is kept, since a video of the gallery finds itself."""
    flat = faiss().IndexFlatIP(gallery_GE.shape[1])  # many times faster than a search among some rows of an index
    flat.add(np.ascontiguousarray(gallery_GE))
    wanted, count = min(KEPT + 1, len(gallery_GE)), len(gallery_GE)
    return nearest(flat.search, lambda rows: gallery_GE[rows], queries_VE, wanted, count, values=False)


def _without_itself(near_VK: Int64, similarity_VK: Float32) -> tuple[Int64, Float32]:
    """Each row without its own number, at most :data:`KEPT` columns."""
    keep_VK: Bool = near_VK != np.arange(len(near_VK))[:, None]
    order_VK = np.argsort(~keep_VK, axis=1, kind="stable")
    near_VK = np.take_along_axis(np.where(keep_VK, near_VK, -1), order_VK, 1)
    return near_VK[:, :KEPT], np.take_along_axis(similarity_VK, order_VK, 1)[:, :KEPT]


@dataclass(frozen=True, slots=True)
class Examples:
    """Queries to look at first, by the rule that is told."""

    rule: str
    kinds: dict[str, list[int]]  # rows of videos


def examples(
    figures: QueryFigures | None, query_rows: Sequence[int], classes: Sequence[str | None], space: SpaceVectors | None
) -> Examples:
    """The best, typical and worst queries: at most one of each class, as long as there are enough classes.

    Args:
        figures: what each query met in ``space``; None where there are no queries.
        query_rows: rows of the queries among the V videos.
        classes: of each of the V videos.
        space: the neighbours; its similarities decide where no query has a class in the gallery. None: not indexed.
    """
    known = [] if figures is None else list(zip(figures.average_precision, query_rows, strict=True))
    scored = [(precision, row) for precision, row in known if precision is not None]
    if scored:
        rule = (
            "Best, typical and worst test videos by average precision in mofore: the highest, those nearest to the "
            "median, and the lowest; one of each class at most, in the order of names where they are equal."
        )
    elif space is not None:
        rows = range(len(space.near_VK))
        scored = [(float(space.similarity_VK[row, 0]), row) for row in rows if space.near_VK.shape[1]]
        rule = (
            "No query has a class that the gallery holds, so by how near the nearest video is: the nearest, those "
            "nearest to the median, and the furthest."
        )
    if space is None or not scored:
        return Examples("There are no two videos to compare.", {})
    median = float(np.median([score for score, _ in scored]))
    orders = {
        "best": sorted(scored, key=lambda one: -one[0]),
        "typical": sorted(scored, key=lambda one: abs(one[0] - median)),
        "worst": sorted(scored, key=lambda one: one[0]),
    }
    return Examples(rule, {kind: _of_classes(order, classes) for kind, order in orders.items()})


def _of_classes(order: Sequence[tuple[float, int]], classes: Sequence[str | None]) -> list[int]:
    """The first rows, each of another class; then the first of those left over."""
    chosen, seen = list[int](), set[str | None]()
    for _, row in order:
        if classes[row] is None or classes[row] not in seen:
            chosen.append(row)
            seen.add(classes[row])
        if len(chosen) == EXAMPLES:
            return chosen
    rest = [row for _, row in order if row not in set(chosen)]
    return [*chosen, *rest][:EXAMPLES]
