"""NNCLR: the positive of a clip is whatever earlier clip is nearest to another clip of its video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.section import setting
from .contract import WITHOUT_TEACHER, Options, Step, TwoClips
from .losses import info_nce, matched
from .projection import projector, through
from .queue import Queue


@dataclass(frozen=True, kw_only=True)
class NnclrOptions(Options):
    """Options of NNCLR."""

    queue: int = setting(4096, "support set: projections of earlier steps", low=1, high=1 << 20)
    projector: int = setting(256, "width of projections and predictions", low=2)


class NnclrHeads(nn.Module):
    """Projector, predictor and support set."""

    def __init__(self, projection: nn.Module, predictor: nn.Module, queue: Queue) -> None:
        super().__init__()
        self.projection, self.predictor, self.queue = projection, predictor, queue


class Nnclr(TwoClips):
    """A clip predicts the neighbour of another clip.

    That is, of all clips of earlier steps the one whose projection is nearest.
    """

    family = "contrast"
    source = "NNCLR, Dwibedi et al. 2021, arXiv 2104.14548"
    differences = "two clips at random times are the views; a smaller support set"
    defaults = WITHOUT_TEACHER
    options = NnclrOptions

    def heads(self, width: int, features: int) -> nn.Module:
        """Projector, predictor and support set."""
        hidden, out = self.settings.hidden_width, self.own.projector
        return NnclrHeads(projector(width, hidden, out), projector(out, hidden, out), Queue(self.own.queue, out))

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """InfoNCE of neighbours and predictions, both ways; the pretext is to find the video's other clip itself."""
        heads = cast(NnclrHeads, step.heads)
        z_BKP = through(heads.projection, step.student())
        told_BKP = through(heads.predictor, z_BKP)
        near_BKP = nearest(z_BKP.detach(), heads.queue.key_QE)
        tau = self.settings.temperature
        losses = [info_nce(near_BKP[:, k], told_BKP[:, 1 - k], tau)[0] for k in range(2)]
        return torch.stack(losses).mean(), matched(told_BKP[:, 0], z_BKP[:, 1])

    def after(self, step: Step) -> None:
        """Keep the first clips' projections."""
        heads = cast(NnclrHeads, step.heads)
        z_BKP = through(heads.projection, step.student())
        heads.queue.push(z_BKP[:, 0], step.batch.video_B)


def nearest(unit_BKE: Tensor, key_QE: Tensor) -> Tensor:
    """The unit keys (B, K, E) nearest to each, NN(z, Q) of the source."""
    return functional.embedding((unit_BKE @ key_QE.T).argmax(dim=2), key_QE)
