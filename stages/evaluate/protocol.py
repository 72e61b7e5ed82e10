"""Who asks and who is found: queries and gallery of a split, of the videos whose class is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...data.arrays import Bool, Float32, Int64
from ...data.figures import Spread
from ...data.retrieval_figures import OfficialRow, SplitRow
from ...data.types import Split, Video
from ..vectors.normalize import center
from .ranking import Sides
from .video_classes import VideoClasses, recordings


@dataclass(frozen=True, slots=True)
class EvaluationSplit:
    """The two sides of a split, as positions among V videos.

    Attributes:
        name: of the split.
        queries: test videos with a class.
        gallery: training videos with a class.
        train: all training videos; their mean is what is subtracted.
        classes: names of the classes; ``class_V`` counts in them.
        class_V: class of each video, of several the first; -1 where it has none.
        member_VC: whether a video has a class; None where no video has several.
        group_V: recording of each video, as a number of its own where it has none; None where
            no video has a group.
    """

    name: str
    queries: Int64
    gallery: Int64
    train: Int64
    classes: tuple[str, ...]
    class_V: Int64
    member_VC: Bool | None
    group_V: Int64 | None

    @classmethod
    def of(cls, split: Split, videos: Sequence[Video]) -> EvaluationSplit:
        """The protocol of a split."""
        classes = VideoClasses.of(videos)
        role_V = np.array([split.role(video.id) for video in videos], object)
        queries, gallery = (np.flatnonzero((role_V == role) & classes.labelled_V) for role in ("test", "train"))
        train = np.flatnonzero(role_V == "train")
        ids, labels, groups = ([getattr(video, name) for video in videos] for name in ("id", "labels", "group"))
        group_V = recordings(ids, labels, groups)
        return cls(split.name, queries, gallery, train, classes.names, classes.first_V, classes.member_VC, group_V)

    @property
    def several(self) -> bool:
        """Whether a video has several classes."""
        return self.member_VC is not None

    def sides(self, embeddings_VE: Float32, *, centered: bool, mutual: bool = False) -> Sides:
        """Queries and gallery of unit embeddings; both centred with the training videos' mean if ``centered``."""
        if centered and len(self.train):
            embeddings_VE = center(embeddings_VE, embeddings_VE[self.train].mean(axis=0))
        group_V, member_VC = self.group_V, self.member_VC
        return Sides(
            embeddings_VE[self.queries],
            embeddings_VE[self.gallery],
            self.class_V[self.queries],
            self.class_V[self.gallery],
            None if group_V is None else group_V[self.queries],
            None if group_V is None else group_V[self.gallery],
            None if member_VC is None else member_VC[self.queries],
            None if member_VC is None else np.asfortranarray(member_VC[self.gallery]),
            mutual,
        )


def mean_and_sd(rows: Sequence[SplitRow]) -> OfficialRow:
    """Mean and sample standard deviation over protocols of every figure that all of them have."""
    given = [row.figures() for row in rows]
    return OfficialRow(**{name: _spread([figures[name] for figures in given]) for name in given[0]})


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return Spread(mean=float(np.mean(known)), sd=float(np.std(known, ddof=1)))
