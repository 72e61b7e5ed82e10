"""What is exported of embeddings: a vector for each row, and what the row is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.arrays import Float32

COLUMNS = ("id", "path", "start_s", "end_s", "label", "group", "split", "x", "y")


@dataclass(frozen=True, slots=True)
class Row:
    """What a vector is of.

    Attributes:
        id: of the video; of a file that is in no work folder, its path.
        path: of the file; None of features that were imported.
        start_s: where in the file it begins, seconds; None for its beginning.
        end_s: where it ends; None for the file's end.
        label: class; several with semicolons between.
        group: recording.
        split: side of the split.
    """

    id: str
    path: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    label: str | None = None
    group: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingTable:
    """Rows and their vectors.

    Attributes:
        rows: N of them.
        vectors_NE: a vector of each.
        plane_N2: their place on a map (:func:`principal_plane`).
        about: where the vectors come from, as JSON has it.
    """

    rows: Sequence[Row]
    vectors_NE: Float32
    plane_N2: Float32
    about: Mapping[str, Any]

    @classmethod
    def of(cls, rows: Sequence[Row], vectors_NE: Float32, about: Mapping[str, Any]) -> EmbeddingTable:
        """A table with its map."""
        return cls(rows, np.ascontiguousarray(vectors_NE, np.float32), principal_plane(vectors_NE), about)

    def column(self, name: str) -> list[Any]:
        """The values of one of :data:`COLUMNS`."""
        if name in ("x", "y"):
            values: list[Any] = self.plane_N2[:, "xy".index(name)].tolist()
            return values
        return [getattr(row, name) for row in self.rows]

    def lines(self) -> Iterator[list[Any]]:
        """The values of :data:`COLUMNS`, row by row."""
        for row, (x, y) in zip(self.rows, self.plane_N2.tolist(), strict=True):
            yield [row.id, row.path, row.start_s, row.end_s, row.label, row.group, row.split, x, y]


def principal_plane(vectors_NE: Float32) -> Float32:
    """Coordinates (N, 2) along the two directions of largest variance (PCA).

    The largest weight of a direction is positive, so that the same vectors always give the same map; zeros where there
    is no such direction.
    """
    plane_N2 = np.zeros((len(vectors_NE), 2), np.float32)
    if len(vectors_NE) < 2:
        return plane_N2
    mean_E = vectors_NE.mean(axis=0, dtype=np.float64)
    covariance_EE = vectors_NE.T @ vectors_NE / len(vectors_NE) - np.outer(mean_E, mean_E)
    axes_EP = np.linalg.eigh(covariance_EE)[1][:, ::-1][:, :2]
    axes_EP = axes_EP * np.sign(axes_EP[np.abs(axes_EP).argmax(axis=0), np.arange(axes_EP.shape[1])])
    plane_N2[:, : axes_EP.shape[1]] = vectors_NE @ axes_EP - mean_E @ axes_EP
    return plane_N2
