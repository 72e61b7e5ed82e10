"""Does an embedding see motion? Cosines of clips with themselves, their frames in another order.

A mean over frames is the same forwards and backwards: 1, whatever it was trained for. Frames are replaced and the times
are kept, as a film shown backwards has the same clock.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.clips import spread_views
from ...data.figures import OrderSensitivity
from ...data.fit_settings import FitSettings
from ..frames.memory import Clips, FrameTensors
from ..model.embedding import BLOCK_BYTES
from .forecast_skill import derangement
from .paper_table import distribution

VIEWS = 3
MOST_VIDEOS = 512


@torch.inference_mode()
def order_sensitivity(embedder: nn.Module, memory: FrameTensors, settings: FitSettings, seed: int) -> OrderSensitivity:
    """Cosines (mean, sd, n) of clips with themselves ``reversed``, ``shuffled``, and at ``half_speed``.

    ``half_speed`` shows the first half of the clip's frames, each twice. ``unrelated`` is the reference: a clip and
    one of another video, drawn from all.
    """
    videos = torch.linspace(0, len(memory.frames_V) - 1, min(MOST_VIDEOS, len(memory.frames_V))).round().long()
    chosen = memory.some(videos)
    video_B, windows = spread_views(chosen.extent_V(settings.unit), span=settings.span, views=VIEWS)
    rows_BL = chosen.rows(video_B, windows, settings.clip_length)
    length = rows_BL.shape[1]
    shuffled = torch.randperm(length, generator=torch.Generator().manual_seed(seed))
    orders = {"reversed": torch.arange(length).flip(0), "shuffled": shuffled, "half_speed": torch.arange(length) // 2}
    plain_BE = embedded_in_order(embedder, chosen, rows_BL, torch.arange(length))
    found = {
        name: distribution((plain_BE * embedded_in_order(embedder, chosen, rows_BL, order_L)).sum(dim=1))
        for name, order_L in orders.items()
    }
    other_BE = derangement(plain_BE, VIEWS)
    unrelated_B = (plain_BE * other_BE).sum(dim=1) if len(videos) > 1 else plain_BE[:0, 0]
    return OrderSensitivity(**found, unrelated=distribution(unrelated_B))


def embedded_in_order(embedder: nn.Module, memory: FrameTensors, rows_BL: Tensor, order_L: Tensor) -> Tensor:
    """Unit embeddings (B, E) of clips whose frames are in that order."""
    size = max(1, BLOCK_BYTES // (4 * rows_BL.shape[1] * memory.width))
    parts = []
    for rows in rows_BL.split(size):
        clips = memory.clips(rows)
        parts.append(embedder(Clips(clips.features[:, order_L], clips.times_s_BL)))
    return functional.normalize(torch.cat(parts), dim=1)
