"""Who asks and who is found: queries and gallery of a split, of the videos whose class is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.arrays import Float32, Int64
from ..data.types import Split, Video
from .ranking import Sides
from .unit_vectors import center


@dataclass(frozen=True, slots=True)
class Protocol:
    """The two sides of a split, as positions among V videos.

    Attributes:
        name: of the split.
        queries: test videos with a class.
        gallery: training videos with a class.
        train: all training videos; their mean is what is subtracted.
        classes: names of the classes; ``class_V`` counts in them.
        class_V: class of each video; -1 where it has none.
        group_V: recording (class and group) of each video, as a number of its own where it has none; None where
            no video has a group.
    """

    name: str
    queries: Int64
    gallery: Int64
    train: Int64
    classes: tuple[str, ...]
    class_V: Int64
    group_V: Int64 | None

    @classmethod
    def of(cls, split: Split, videos: Sequence[Video]) -> Protocol:
        """The protocol of a split."""
        classes = tuple(sorted({video.label for video in videos if video.label is not None}))
        code = {label: number for number, label in enumerate(classes)}
        class_V = np.array([-1 if video.label is None else code[video.label] for video in videos], np.int64)
        role_V = np.array([split.role(video.id) for video in videos], object)
        queries, gallery = (np.flatnonzero((role_V == role) & (class_V >= 0)) for role in ("test", "train"))
        train = np.flatnonzero(role_V == "train")
        return cls(split.name, queries, gallery, train, classes, class_V, _recordings(videos))

    def sides(self, embeddings_VE: Float32, *, centered: bool) -> Sides:
        """Queries and gallery of unit embeddings; both centred with the training videos' mean if ``centered``."""
        if centered and len(self.train):
            embeddings_VE = center(embeddings_VE, embeddings_VE[self.train].mean(axis=0))
        group_V = self.group_V
        return Sides(
            embeddings_VE[self.queries],
            embeddings_VE[self.gallery],
            self.class_V[self.queries],
            self.class_V[self.gallery],
            None if group_V is None else group_V[self.queries],
            None if group_V is None else group_V[self.gallery],
        )


def mean_and_sd(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and sample standard deviation over protocols of every figure that all of them have."""
    shared = [name for name, value in rows[0].items() if isinstance(value, float)]
    shared = [name for name in shared if all(isinstance(row.get(name), float) for row in rows)]
    values = {name: [row[name] for row in rows] for name in shared}
    return {name: {"mean": float(np.mean(v)), "sd": float(np.std(v, ddof=1))} for name, v in values.items()}


def _recordings(videos: Sequence[Video]) -> Int64 | None:
    if all(video.group is None for video in videos):
        return None
    names = [f"{v.label}\0{v.group}" if v.group is not None else f"\0{v.id}" for v in videos]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)
