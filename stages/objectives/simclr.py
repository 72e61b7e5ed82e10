"""SimCLR: two clips of a video find each other among the clips of all videos of the batch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ...data.section import setting
from .contract import WITHOUT_TEACHER, Options, Step, TwoClips
from .losses import accuracy, nt_xent, partner
from .projection import projector, through


@dataclass(frozen=True, kw_only=True)
class SimclrOptions(Options):
    """Options of SimCLR."""

    projector: int = setting(128, "width of the projections that are compared", low=2)


class Simclr(TwoClips):
    """Two clips of a video find each other in the batch."""

    family = "contrast"
    source = "SimCLR, Chen et al. 2020, arXiv 2002.05709"
    differences = "two clips at random times are the views, in place of augmented pictures"
    defaults = WITHOUT_TEACHER
    options = SimclrOptions

    def heads(self, width: int, features: int) -> nn.Module:
        """The projector g; the embedding h before it is what is kept (section 4.2 of the source)."""
        return projector(width, self.settings.hidden_width, self.own.projector)

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """NT-Xent; the pretext is the share of clips whose nearest is the other one of the video."""
        z_BKP = through(step.heads, step.student())
        loss, logits_RR = nt_xent(z_BKP[:, 0], z_BKP[:, 1], self.settings.temperature)
        return loss, accuracy(logits_RR, partner(len(logits_RR), logits_RR.device))

    def chance(self, step: Step) -> float:
        """One clip of the others."""
        return 1.0 / (2 * len(step.batch) - 1)
