"""MoCo: a clip finds the moving-average key of another clip of its video among keys of earlier steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.section import setting
from .contract import Options, Step, TwoClips
from .losses import matched
from .projection import Averaged, projector, through
from .queue import Queue


@dataclass(frozen=True, kw_only=True)
class MocoOptions(Options):
    """Options of MoCo."""

    queue: int = setting(4096, "keys of earlier steps that are negatives (65536 in the paper)", low=1, high=1 << 20)
    projector: int = setting(128, "width of queries and keys", low=2)


class MocoHeads(nn.Module):
    """Projector of the student, its average for the keys, and the queue."""

    def __init__(self, projection: nn.Module, queue: Queue) -> None:
        super().__init__()
        self.projection, self.queue = Averaged(projection), queue


class Moco(TwoClips):
    """A clip finds another of its video in a queue of keys."""

    family = "contrast"
    source = "MoCo, He et al. 2020, arXiv 1911.05722, eqs. 1, 2; projector of v2, arXiv 2003.04297"
    differences = (
        "clips at random times are the views; keys of the query's own video are no negatives, since the queue may be "
        "longer than the set of videos; the average is that of fit.momentum (0.999 in the paper)"
    )
    options = MocoOptions

    def heads(self, width: int, features: int) -> nn.Module:
        """Projectors and queue; the embedding before the projector is what is kept."""
        projection = projector(width, self.settings.hidden_width, self.own.projector)
        return MocoHeads(projection, Queue(self.own.queue, self.own.projector))

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Eq. (1): the query's own key against the queue; the pretext is to find it among the keys of the batch."""
        heads = cast(MocoHeads, step.heads)
        query_BP = through(heads.projection.student, step.student())[:, 0]
        key_BP = self.keys(step)[:, 1]
        return self.contrast(query_BP, key_BP, step), matched(query_BP, key_BP)

    @torch.no_grad()
    def keys(self, step: Step) -> Tensor:
        """Unit keys (B, K, P) of all clips."""
        return through(cast(MocoHeads, step.heads).projection.teacher, step.teacher())

    def contrast(self, query_BP: Tensor, key_BP: Tensor, step: Step) -> Tensor:
        """InfoNCE of queries to their keys, the queue the negatives."""
        queue = cast(MocoHeads, step.heads).queue
        positive_B1 = (query_BP * key_BP).sum(dim=1, keepdim=True)
        logits_BN = torch.cat([positive_B1, queue.cosines(query_BP, step.batch.video_B)], dim=1)
        answer_B = torch.zeros(len(logits_BN), dtype=torch.long, device=logits_BN.device)
        return functional.cross_entropy(logits_BN / self.settings.temperature, answer_B)

    def after(self, step: Step) -> None:
        """Move the keys' projector, and put the newest keys of the last clips into the queue."""
        heads = cast(MocoHeads, step.heads)
        heads.projection.follow(self.settings, step.number)
        heads.queue.push(self.keys(step)[:, -1], step.batch.video_B)
