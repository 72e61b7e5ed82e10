"""Forecasts that a few numbers fitted by least squares make: the bar that a learnt forecast must pass.

All are in the teacher's space, of deviations from the climatology (the mean target of the training videos); their
numbers are fitted on pairs of the training videos, anew for each gap.

- damped persistence: the future is like the context, drawn towards the mean by one factor;
- four scalars: this clip, the mean of all that is seen of the video (three clips, spread from its start to this one),
  the trend (the clip's last frame less the clip) and the clip before (at the start of a video: this one).
  They see more than the learnt forecast, which has the context alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from ...data.clips import Windows
from ...data.fit_settings import FitSettings
from ..frames.memory import FrameTensors
from ..model.embedding import embed_clips


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of B videos before their futures, as deviations (B, E) from the climatology.

    Attributes:
        this_BE: the context clip.
        all_BE: mean of all that is seen.
        trend_BE: the last frame of the context, shown for a whole clip, less the context: a difference, no deviation.
        before_BE: the clip before.
    """

    this_BE: Tensor
    all_BE: Tensor
    trend_BE: Tensor
    before_BE: Tensor

    @classmethod
    def of(
        cls, teacher: nn.Module, memory: FrameTensors, item_B: Tensor, context: Windows, settings: FitSettings
    ) -> Seen:
        """Embed it: unit vectors, not yet less the climatology."""
        start_B, span_B = context.start_B, context.span_B
        whole = not start_B.is_floating_point()
        length = settings.clip_length
        frame_B = torch.ones_like(span_B) if whole else span_B / length
        last_B = start_B + ((length - 1) * span_B // length if whole else span_B - frame_B)

        def embedded(begin_B: Tensor, length_B: Tensor = span_B) -> Tensor:
            return embed_clips(teacher, memory, item_B, Windows(begin_B, length_B), settings)

        this_BE = embedded(start_B)
        first_BE, middle_BE = embedded(torch.zeros_like(start_B)), embedded(start_B // 2 if whole else start_B / 2)
        return cls(
            this_BE,
            (this_BE + first_BE + middle_BE) / 3,
            embedded(last_B, frame_B) - this_BE,
            embedded((start_B - span_B).clamp(min=0)),
        )

    def deviations(self, climate_E: Tensor) -> tuple[Tensor, ...]:
        """The four of them, less the climatology."""
        return self.this_BE - climate_E, self.all_BE - climate_E, self.trend_BE, self.before_BE - climate_E


@dataclass(frozen=True, slots=True)
class Scalars:
    """What is fitted for one gap.

    Attributes:
        damping: the factor of damped persistence.
        four: factors of this clip, of all that is seen, of the trend, of the clip before.
    """

    damping: float
    four: tuple[float, ...]

    @classmethod
    def fit(cls, seen: Seen, target_BE: Tensor, climate_E: Tensor) -> Self:
        """Least squares over all pairs and dimensions."""
        deviations, wanted_BE = seen.deviations(climate_E), target_BE - climate_E
        (damping,) = least_squares(deviations[:1], wanted_BE)
        return cls(damping, least_squares(deviations, wanted_BE))

    def damped(self, seen: Seen, climate_E: Tensor) -> Tensor:
        """Damped persistence (B, E)."""
        return climate_E + self.damping * (seen.this_BE - climate_E)

    def combined(self, seen: Seen, climate_E: Tensor) -> Tensor:
        """The forecast of the four scalars (B, E)."""
        parts = zip(self.four, seen.deviations(climate_E), strict=True)
        return climate_E + torch.stack([factor * part_BE for factor, part_BE in parts]).sum(dim=0)


def least_squares(parts: Sequence[Tensor], wanted_BE: Tensor) -> tuple[float, ...]:
    """Factors of the parts (B, E) whose sum is nearest; the shortest of several, where parts depend on each other."""
    rows = torch.stack([part_BE.double().flatten() for part_BE in parts])
    gram, product = (rows @ rows.T).cpu().numpy(), (rows @ wanted_BE.double().flatten()).cpu().numpy()
    factors = np.linalg.lstsq(gram, product, rcond=1e-9)[0]
    return tuple(float(factor) for factor in factors)


def recording_means(mean_VE: Tensor, group_V: Tensor, climate_E: Tensor) -> Tensor:
    """The mean target (V, E) of the other videos of each one's recording; the climatology where there is no other."""
    groups = int(group_V.max()) + 1 if len(group_V) else 0
    sum_GE = mean_VE.new_zeros(groups, mean_VE.shape[1]).index_add_(0, group_V, mean_VE)
    others_V1 = (torch.bincount(group_V, minlength=groups)[group_V] - 1)[:, None]
    return torch.where(others_V1 > 0, (sum_GE[group_V] - mean_VE) / others_V1.clamp(min=1), climate_E)
