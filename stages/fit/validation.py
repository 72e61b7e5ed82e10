"""Watching a run without labels: what is forecast, and whether the space is collapsing.

Looked at are videos held out of training (``fit.holdout``), or, without any, some of those trained on, which is
said (``seen``). Labels never come here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...data.arrays import Int64
from ...data.fit_settings import FitSettings
from ..evaluate.embedding_health import health
from ..evaluate.forecast_skill import References, climatology, forecast_metrics
from ..frames.memory import Clips, FrameTensors, evenly_spread
from ..model.embedding import embed_clips, embed_views, pool_views
from ..model.forecaster import ForecastEmbedder, Forecaster

MOST_VIDEOS = 256  # that it is taken on
CLIMATE_VIDEOS = 512  # of training, whose mean target is the climatology
VIEWS = 2
PAIRS = 2000  # of unrelated videos
TEMPERATURE = 0.1  # of how videos are told apart; the same for all runs, so that they can be compared
# A collapse leaves less than this share of what the untrained network had. On real features (docs/findings.md) a run
# made to collapse leaves 0.25 of the spread and 0.07 of the distance between videos; good ones 0.95 and 0.9.
RANK_LEFT, SPREAD_LEFT, APART_LEFT = 0.2, 0.4, 0.15
Key = tuple[tuple[int, ...], bool, bytes]  # of clips: shape of their rows, whether every frame is in them, the rows


@dataclass(frozen=True, slots=True)
class Validation:
    """The figures of one look.

    Attributes:
        step: optimiser steps done.
        figures: forecast by gap and over all, health of the embeddings, alignment, teacher's drift.
        alarms: what is wrong, in words; empty if nothing is.
    """

    step: int
    figures: dict[str, Any]
    alarms: tuple[str, ...]

    @property
    def worth(self) -> float | None:
        """What the best step has most of; None where embeddings collapse, or no video is long enough.

        That is how near the embeddings of adjoining clips are: of all figures of a look the one that kept the steps
        which retrieve best (docs/findings.md). A collapse would have most of it, so alarms rule a step out.
        """
        apart: float | None = self.figures["alignment"]
        return None if apart is None or self.alarms else -apart

    def row(self) -> dict[str, Any]:
        """A line of the log."""
        return {"step": self.step, **self.figures, "alarms": list(self.alarms)}


@dataclass(frozen=True, slots=True)
class SeenFrames(FrameTensors):
    """Frames whose clips' means are kept once they were taken, since every look is at the same ones.

    Attributes:
        taken: means by what was asked for, of some of the videos or of several runs on the same frames.
    """

    taken: dict[Key, Clips] = field(default_factory=dict)

    @classmethod
    def some_of(cls, memory: FrameTensors, video_B: Tensor, taken: dict[Key, Clips]) -> SeenFrames:
        """Some of the videos."""
        chosen = memory.some(video_B)
        per_video = (chosen.first_V, chosen.frames_V, chosen.duration_V)
        return cls(chosen.frames, chosen.times_s_N, *per_video, chosen.key_N, windows=chosen.windows, taken=taken)

    def means(self, video_B: Tensor, rows_BL: Tensor, *, dense: bool) -> Clips:
        """As of any frames; read once."""
        key = (tuple(rows_BL.shape), dense, rows_BL.cpu().numpy().tobytes())
        if key not in self.taken:
            self.taken[key] = FrameTensors.means(self, video_B, rows_BL, dense=dense)
        return self.taken[key]


class Validator:
    """Looks at a forecaster, always at the same videos and pairs.

    Args:
        settings: of the fit.
        memory: the frames.
        held_V: positions of the videos that are held out.
        trained_V: of those trained on.
        names: ids of all videos.
        like: looks at other runs on the same frames, so that what it has read is used.
    """

    def __init__(
        self,
        settings: FitSettings,
        memory: FrameTensors,
        held_V: Tensor,
        trained_V: Tensor,
        names: Sequence[str],
        like: Validator | None = None,
    ) -> None:
        self.settings, self.names = settings, names
        self.held_out, self.seen = len(held_V), not len(held_V)
        taken: dict[Key, Clips] = like.memory.taken if like else {}
        self.memory: SeenFrames = SeenFrames.some_of(
            memory, _spread(trained_V if self.seen else held_V, MOST_VIDEOS), taken
        )
        self.climate = SeenFrames.some_of(memory, _spread(trained_V, CLIMATE_VIDEOS), taken)
        self.pairs_P2 = _unrelated(len(self.memory.frames_V))
        self.first: dict[str, Any] | None = None

    @torch.no_grad()
    def validate(self, forecaster: Forecaster, step: int, teacher_drift: float) -> Validation:
        """Take all figures; the first look is what later ones are held against."""
        climate_E = climatology(forecaster, self.climate, self.settings, 1)
        forecast = forecast_metrics(forecaster, self.memory, self.settings, References(climate_E), starts=1).as_json()
        views_VKE = embed_views(forecaster.teacher, self.memory, self.settings, views=VIEWS)
        state = health(pool_views(views_VKE), self.pairs_P2).as_json()
        figures: dict[str, Any] = {
            "seen": self.seen,
            "videos": len(self.memory.frames_V),
            "forecast": forecast,
            "health": state,
            "alignment": self._alignment(forecaster),
            "info_nce": self._info_nce(forecaster),
            "teacher_drift": teacher_drift,
        }
        alarms = () if self.first is None else collapse(self.first, state)
        self.first = self.first or state
        return Validation(step, figures, alarms)

    def name_of(self, video: int) -> str:
        """Id of a video of the memory."""
        return self.names[video]

    def _info_nce(self, forecaster: Forecaster) -> float | None:
        """InfoNCE, eq. (11), of one forecast a video against the futures of all videos that it is taken on; in nats."""
        settings = self.settings
        item_B, pairs = evenly_spread(self.memory, settings, gap=settings.gap_least, starts=1)
        if len(item_B) < 2:
            return None
        forecast_embedder = ForecastEmbedder(forecaster, settings.gap_least)
        forecast_BE = embed_clips(forecast_embedder, self.memory, item_B, pairs.context, settings)
        future_BE = embed_clips(forecaster.teacher, self.memory, item_B, pairs.future, settings)
        logits_BB = forecast_BE @ future_BE.T / TEMPERATURE
        return float(-logits_BB.log_softmax(dim=1).diagonal().mean())

    def _alignment(self, forecaster: Forecaster) -> float | None:
        """Mean squared distance of the unit embeddings of adjoining clips (Wang and Isola 2020)."""
        settings = self.settings
        item_B, pairs = evenly_spread(self.memory, settings, gap=0, starts=1)
        if not len(item_B):
            return None
        sides = [
            embed_clips(forecaster.teacher, self.memory, item_B, w, settings) for w in (pairs.context, pairs.future)
        ]
        return float((sides[0] - sides[1]).square().sum(dim=1).mean())


def collapse(first: dict[str, Any], now: dict[str, Any]) -> tuple[str, ...]:
    """What of the embeddings' health has fallen below a stated share of the first look's."""
    alarms = []
    if now["effective_rank"] < RANK_LEFT * first["effective_rank"]:
        alarms.append(f"effective rank {now['effective_rank']:.1f}, it was {first['effective_rank']:.1f}")
    if now["sd_mean"] < SPREAD_LEFT * first["sd_mean"]:
        alarms.append(f"standard deviation of a dimension {now['sd_mean']:.2g}, it was {first['sd_mean']:.2g}")
    apart, was = 1.0 - now.get("unrelated_cosine", 0.0), 1.0 - first.get("unrelated_cosine", 0.0)
    if apart < APART_LEFT * was:
        alarms.append(f"cosine of unrelated videos {1.0 - apart:.4f}, it was {1.0 - was:.4f}")
    return tuple(alarms)


def _spread(video_V: Tensor, most: int) -> Tensor:
    """At most so many of the videos, evenly spread over their order."""
    if len(video_V) <= most:
        return video_V
    return video_V[torch.arange(most) * len(video_V) // most]


def _unrelated(videos: int) -> Int64:
    """Pairs of different videos, drawn with a fixed seed."""
    generator = torch.Generator().manual_seed(0)
    pairs_P2 = torch.randint(max(videos, 1), (PAIRS, 2), generator=generator)
    distinct: Int64 = pairs_P2[pairs_P2[:, 0] != pairs_P2[:, 1]].numpy()
    return distinct
