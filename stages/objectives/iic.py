"""IIC: find the other clip of the video, and not one's own clip with its time broken."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.section import setting
from .contract import WITHOUT_TEACHER, Objective, Options, Step
from .draw import Draw, Drawn
from .losses import info_nce
from .projection import projector, through


@dataclass(frozen=True, kw_only=True)
class IicOptions(Options):
    """Options of IIC."""

    broken: str = setting(
        "shuffle", "how time is broken: shuffle, or repeat (one frame throughout)", choices=("shuffle", "repeat")
    )
    projector: int = setting(128, "width of the projections that are compared", low=2)


class Iic(Objective):
    """Find the video's other clip, not one's own, shuffled."""

    family = "order"
    source = "IIC, Tao et al. 2020, arXiv 2008.02531: inter- and intra-negatives"
    differences = "another clip is the second view, in place of residual frames; negatives of the batch, no memory bank"
    defaults = {**WITHOUT_TEACHER, "inputs": "centered", "aggregator": "conv", "projection": "linear"}
    options = IicOptions

    def draw(self, draw: Draw) -> Drawn:
        """Two clips anywhere, and the first one again with its time broken."""
        rows_P2L = draw.two()
        length = rows_P2L.shape[2]
        if self.own.broken == "shuffle":
            frame_PL = draw.shuffles(length)
        else:
            frame_PL = draw.choice(length, len(rows_P2L), 1).expand(-1, length)
        return Drawn(torch.cat([rows_P2L, rows_P2L[:, 0].gather(1, frame_PL)[:, None]], dim=1))

    def heads(self, width: int, features: int) -> nn.Module:
        """The projector; the embedding before it is what is kept."""
        return projector(width, self.settings.hidden_width, self.own.projector)

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """InfoNCE; the pretext is that the other clip is nearer than the broken one, which has the very same frames."""
        z_BKP = through(step.heads, step.student())
        clip_BP, other_BP, broken_BP = z_BKP.unbind(dim=1)
        tau = self.settings.temperature
        from_clip, _ = info_nce(clip_BP, other_BP, tau, broken_BP)
        from_other, _ = info_nce(other_BP, clip_BP, tau, broken_BP)
        nearer_B = functional.cosine_similarity(clip_BP, other_BP) > functional.cosine_similarity(clip_BP, broken_BP)
        return (from_clip + from_other) / 2, nearer_B.float().mean()

    def chance(self, step: Step) -> float:
        """One of the two."""
        return 0.5
