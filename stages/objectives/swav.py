"""SwAV: each clip tells to which prototypes the other clip of its video is assigned, the batch shared out evenly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.section import setting
from .contract import WITHOUT_TEACHER, Options, Step, TwoClips
from .losses import accuracy
from .projection import projector, through
from .queue import Queue


@dataclass(frozen=True, kw_only=True)
class SwavOptions(Options):
    """Options of SwAV."""

    prototypes: int = setting(256, "clusters (3000 in the paper)", low=2)
    projector: int = setting(128, "width of the projections", low=2)
    queue: int = setting(1024, "earlier projections that are shared out with the batch; 0 = none", low=0, high=1 << 20)
    epsilon: float = setting(0.05, "softness of the assignment", low=1e-3)
    iterations: int = setting(3, "of Sinkhorn and Knopp", low=1, high=100)


class SwavHeads(nn.Module):
    """Projector, unit prototypes, and a queue of projections."""

    def __init__(self, projection: nn.Module, width: int, own: SwavOptions) -> None:
        super().__init__()
        self.projection = projection
        self.prototype_CP = nn.Parameter(functional.normalize(torch.randn(own.prototypes, width), dim=1))
        self.queue = Queue(own.queue, width)


@torch.no_grad()
def sinkhorn(cosine_RC: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Soft assignments (R, C) that give every prototype the same weight, each row adding up to 1."""
    code_RC = ((cosine_RC - cosine_RC.max()) / epsilon).exp()
    for _ in range(iterations):
        code_RC = code_RC / code_RC.sum(dim=0) / code_RC.shape[1]
        code_RC = code_RC / code_RC.sum(dim=1, keepdim=True) / len(code_RC)
    return code_RC * len(code_RC)


class Swav(TwoClips):
    """A clip names the cluster of another clip.

    Clusters are made equally large, so that not all is one.
    """

    family = "contrast"
    source = "SwAV, Caron et al. 2020, arXiv 2006.09882, with its queue for small batches"
    differences = (
        "two clips at random times are the views, without smaller ones; fewer prototypes; a queue from the start"
    )
    defaults = WITHOUT_TEACHER
    options = SwavOptions

    def heads(self, width: int, features: int) -> nn.Module:
        """Projector and prototypes; the embedding before them is what is kept."""
        projection = projector(width, self.settings.hidden_width, self.own.projector)
        return SwavHeads(projection, self.own.projector, self.own)

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Cross-entropy to the other clip's assignment; the pretext is to name its prototype."""
        heads = cast(SwavHeads, step.heads)
        cosine_BKC = through(heads.projection, step.student()) @ heads.prototype_CP.T
        log_BKC = functional.log_softmax(cosine_BKC / self.settings.temperature, dim=2)
        code_BKC = self.codes(step)
        loss = -(log_BKC * code_BKC.flip(1)).sum(dim=2).mean()
        return loss, accuracy(log_BKC.detach().flatten(0, 1), code_BKC.flip(1).argmax(dim=2).flatten())

    @torch.no_grad()
    def codes(self, step: Step) -> Tensor:
        """Assignments (B, 2, C) of the clips, shared out together with those of earlier steps."""
        heads, own = cast(SwavHeads, step.heads), self.own
        z_BKP = through(heads.projection, step.student())
        earlier_QP = heads.queue.key_QE[: min(own.queue, int(heads.queue.pushed))]
        shared = (torch.cat([z_BP, earlier_QP]) @ heads.prototype_CP.T for z_BP in z_BKP.unbind(dim=1))
        codes = [sinkhorn(cosine_RC, own.epsilon, own.iterations)[: len(z_BKP)] for cosine_RC in shared]
        return torch.stack(codes, dim=1)

    def after(self, step: Step) -> None:
        """Make the prototypes unit again, and keep the clips' projections."""
        heads = cast(SwavHeads, step.heads)
        heads.prototype_CP.copy_(functional.normalize(heads.prototype_CP, dim=1))
        if self.own.queue:
            z_BKP = through(heads.projection, step.student())
            heads.queue.push(z_BKP.flatten(0, 1), step.batch.video_B.repeat_interleave(2))

    def chance(self, step: Step) -> float:
        """The share of the prototype to which most clips are assigned."""
        code_R = self.codes(step).argmax(dim=2).flatten()
        return float(code_R.bincount().max() / len(code_R))
