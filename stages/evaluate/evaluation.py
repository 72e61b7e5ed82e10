"""What an evaluation is taken from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from ...data.arrays import Int64
from ...data.fit_settings import FitSettings
from ...data.index_settings import IndexSettings
from ...data.settings import EvaluateSettings
from ...data.types import Split, Video
from ..frames.memory import FrameTensors
from ..model.forecaster import Forecaster
from .repeats import Repeats


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that the metrics are taken from: V videos, their frames, the networks, the split and further ones.

    ``settings`` say how they are measured, ``embedding`` how videos are embedded. ``repeats`` knows what other
    evaluations have found, and learns from this one.
    """

    videos: tuple[Video, ...]
    memory: FrameTensors
    forecaster: Forecaster
    fit: FitSettings
    settings: EvaluateSettings
    embedding: IndexSettings
    split: Split
    others: tuple[Split, ...] = ()
    seen: Mapping[str, frozenset[str] | None] = field(default_factory=dict)  # by rows of other fits: what they read
    repeats: Repeats = field(default_factory=Repeats)

    def rows(self, role: str) -> Int64:
        """Positions of the videos of one side of the split."""
        return np.array([row for row, video in enumerate(self.videos) if self.split.role(video.id) == role], np.int64)

    def side(self, rows: Int64) -> tuple[list[Video], FrameTensors]:
        """Some of the videos, and a view of the memory that holds them alone."""
        return [self.videos[row] for row in rows], self.memory.some(torch.from_numpy(rows))

    @property
    def evaluated(self) -> Int64:
        """Videos that figures without queries are taken on: those of the test side, or all training videos."""
        queries = self.rows("test")
        return queries if len(queries) else self.rows("train")
