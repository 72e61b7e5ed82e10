"""Does an embedding know which way time runs? Clips beside themselves played backwards, no labels needed.

- Arrow of time (Wei et al. 2018, Learning and Using the Arrow of Time): of a clip and its reversal, which one is played
  forwards? A linear classifier of the difference of their embeddings, w . (f(clip) - f(reversed)), fitted on the
  training side. The difference takes appearance away, which both share: what is measured is whether order is there.
- Reversal: is a clip nearer to another clip of its video than to that other clip reversed? Nothing is fitted. It is the
  label-free form of chirality (Bagad and Zisserman 2025, arXiv 2509.08502): every video makes a pair of temporally
  opposite ones.

Chance is 50 % in both. A mean over frames is the same both ways: it has exactly 50.
Differences: Wei et al. train a network from flow on single clips; here the embedding is frozen and pairs are compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ...data.arrays import Float64, Int64
from ...data.clips import spread_views
from ...data.fit_settings import FitSettings
from ..frames.memory import Clips, FrameTensors
from .linear_probe import GRID, HELD_OUT, logistic_regression
from .order_sensitivity import embedded_in_order

WINDOWS = 2  # of a video: its beginning and its end
BLIND = 1e-5  # root mean square of differences of unit vectors below which they are rounding
TIED = 1e-6  # difference of two cosines that is rounding


class FramesDifference(nn.Module):
    """The mean of a clip's second half less that of its first: an order-sensitive embedding without training."""

    def forward(self, clips: Clips) -> Tensor:
        """(B, D); of clips of one frame zeros."""
        half = clips.features.shape[1] // 2
        if half == 0:
            return torch.zeros_like(clips.features[:, 0])
        return clips.features[:, -half:].mean(dim=1) - clips.features[:, :half].mean(dim=1)


@dataclass(frozen=True, slots=True)
class BothWays:
    """Unit embeddings (V, windows, E) of windows of V videos, forwards and backwards."""

    forwards: Tensor
    backwards: Tensor

    @classmethod
    @torch.inference_mode()
    def of(cls, embedder: nn.Module, memory: FrameTensors, settings: FitSettings) -> BothWays:
        """The first and the last window of each video, of the fit's span."""
        video_B, windows = spread_views(memory.extent_V(settings.unit), span=settings.span, views=WINDOWS)
        rows_BL = memory.rows(video_B, windows, settings.clip_length)
        order_L = torch.arange(rows_BL.shape[1])
        both = (embedded_in_order(embedder, memory, rows_BL, order) for order in (order_L, order_L.flip(0)))
        return cls(*(of_BE.view(len(memory.frames_V), WINDOWS, -1) for of_BE in both))

    def __getitem__(self, rows: Int64) -> BothWays:
        chosen = torch.from_numpy(rows)
        return BothWays(self.forwards[chosen], self.backwards[chosen])

    @property
    def differences(self) -> Tensor:
        """(V x windows, E)."""
        return (self.forwards - self.backwards).flatten(0, 1)


def arrow_of_time(train: BothWays, test: BothWays, group_T: Int64, seed: int) -> Float64:
    """Share (V,) of each test video's windows of which the forward one is found; a half where nothing tells.

    Args:
        train: videos to fit on, none of them of a recording that is tested.
        test: V videos.
        group_T: recording of each training video; the regularisation is chosen on a quarter of them held out.
        seed: of what is held out.
    """
    scale = float(train.differences.square().sum(dim=1).mean().sqrt()) if len(group_T) else 0.0
    if scale < BLIND:
        return np.full(len(test.forwards), 0.5)
    given_NE = train.differences / scale
    group_N = np.repeat(group_T, WINDOWS)
    right_N = _right(test.differences / scale, _fitted(given_NE, _chosen(given_NE, group_N, seed)))
    return np.asarray(right_N.view(-1, WINDOWS).mean(dim=1).numpy(), np.float64)


def reversal(both: BothWays) -> Float64:
    """Share (V,) of the two windows that are nearer to the other one as it is than to it reversed; ties are a half."""
    first_VE, last_VE = both.forwards[:, 0], both.forwards[:, -1]
    shares = [
        _share((near_VE * other_VE).sum(dim=1) - (near_VE * reversed_VE).sum(dim=1), TIED)
        for near_VE, other_VE, reversed_VE in (
            (first_VE, last_VE, both.backwards[:, -1]),
            (last_VE, first_VE, both.backwards[:, 0]),
        )
    ]
    return np.asarray(torch.stack(shares).mean(dim=0).numpy(), np.float64)


def _chosen(given_NE: Tensor, group_N: Int64, seed: int) -> float:
    """The C that is best on held-out recordings, the smallest of equals; the middle of the grid if none can be held."""
    groups = np.random.default_rng(seed).permutation(np.unique(group_N))
    held_N = torch.from_numpy(np.isin(group_N, groups[: int(len(groups) * HELD_OUT)]))
    if not bool(held_N.any()):
        return GRID[len(GRID) // 2]
    rates = [float(_right(given_NE[held_N], _fitted(given_NE[~held_N], c)).mean()) for c in GRID]
    return GRID[int(np.argmax(rates))]


def _fitted(given_NE: Tensor, c: float) -> Tensor:
    """Weights (E,) of logistic regression on differences and, so that there are two classes, their negatives."""
    class_M = np.repeat(np.array([1, 0], np.int64), len(given_NE))
    found = logistic_regression(torch.cat([given_NE, -given_NE]), class_M, c)
    return found.weight_CE[1] - found.weight_CE[0]


def _right(given_NE: Tensor, weight_E: Tensor) -> Tensor:
    return _share(given_NE @ weight_E, 0.0)


def _share(score_N: Tensor, rounding: float) -> Tensor:
    """1 where the score is positive, 0 where it is negative, a half where it is nothing but rounding."""
    return torch.where(score_N.abs() <= rounding, 0.5, (score_N > 0).double())
