"""DINO: shorter clips say of which prototypes a longer clip is, as a moving-average teacher sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.section import setting
from .contract import Objective, Options, Step
from .draw import Draw, Drawn
from .projection import Averaged, projector

GLOBAL = 2


@dataclass(frozen=True, kw_only=True)
class DinoOptions(Options):
    """Options of DINO."""

    prototypes: int = setting(1024, "outputs of the head (65536 in the paper)", low=2)
    local_clips: int = setting(4, "clips of half the length of a clip, which the student alone sees", low=0, high=16)
    student_temperature: float = setting(0.1, "tau_s, of the student's softmax", low=1e-3)
    teacher_temperature: float = setting(0.04, "tau_t, of the teacher's softmax: lower is sharper", low=1e-3)
    center_momentum: float = setting(0.9, "m of the centre", low=0.0, high=1.0)


class Prototypes(nn.Module):
    """A projector and the cosines of its output to the prototypes."""

    def __init__(self, width: int, hidden: int, prototypes: int) -> None:
        super().__init__()
        self.projection = projector(width, hidden, hidden)
        self.directions = nn.Linear(hidden, prototypes, bias=False)

    def forward(self, z_RE: Tensor) -> Tensor:
        """Logits (R, C)."""
        unit_RH = functional.normalize(self.projection(z_RE), dim=1)
        return unit_RH @ functional.normalize(self.directions.weight, dim=1).T


class DinoHeads(Averaged):
    """The student's head, its average for the teacher, and the centre of the teacher's outputs."""

    center_C: Tensor

    def __init__(self, head: Prototypes) -> None:
        super().__init__(head)
        self.register_buffer("center_C", torch.zeros(len(head.directions.weight)))


class Dino(Objective):
    """Short clips name the prototypes of a long one.

    What it shows is what a moving average of the student says, centred and sharpened.
    """

    family = "contrast"
    source = "DINO, Caron et al. 2021, arXiv 2104.14294"
    differences = (
        "crops in time alone: two clips of twice the length, and shorter ones; a smaller head; the teacher's "
        "temperature is not warmed up, and its average is that of fit.momentum (from 0.996 to 1 in the paper)"
    )
    options = DinoOptions

    def draw(self, draw: Draw) -> Drawn:
        """Two long clips, then the short ones, anywhere."""
        stretches = [2.0] * GLOBAL + [0.5] * self.own.local_clips
        return Drawn(torch.stack([draw.rows(draw.stretched(stretch)) for stretch in stretches], dim=1))

    def heads(self, width: int, features: int) -> nn.Module:
        """The head; the embedding before it is what is kept."""
        return DinoHeads(Prototypes(width, self.settings.hidden_width, self.own.prototypes))

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Cross-entropy to the teacher of long clips; the pretext is to name its prototype of another clip."""
        heads, own = cast(DinoHeads, step.heads), self.own
        said_BKC = heads.student(step.student().flatten(0, 1)).unflatten(0, (-1, step.batch.number))
        seen_BKC = self.seen(step)
        log_BKC = functional.log_softmax(said_BKC / own.student_temperature, dim=2)
        target_BKC = functional.softmax((seen_BKC - heads.center_C) / own.teacher_temperature, dim=2)
        cross_KT = -torch.einsum("bkc,btc->kt", log_BKC, target_BKC) / len(step.batch)
        other_KT = ~torch.eye(len(cross_KT), GLOBAL, dtype=torch.bool, device=said_BKC.device)
        named_BKT = said_BKC.argmax(dim=2)[:, :, None] == target_BKC.argmax(dim=2)[:, None]
        return cross_KT[other_KT].mean(), named_BKT[:, other_KT].float().mean()

    @torch.no_grad()
    def seen(self, step: Step) -> Tensor:
        """The teacher's logits (B, 2, C) of the long clips."""
        seen_RC: Tensor = cast(DinoHeads, step.heads).teacher(step.teacher()[:, :GLOBAL].flatten(0, 1))
        return seen_RC.view(-1, GLOBAL, seen_RC.shape[1])

    def after(self, step: Step) -> None:
        """Move the teacher's head and the centre."""
        heads = cast(DinoHeads, step.heads)
        heads.follow(self.settings, step.number)
        heads.center_C.lerp_(self.seen(step).mean(dim=(0, 1)), 1.0 - self.own.center_momentum)

    def chance(self, step: Step) -> float:
        """The share of the prototype that the teacher names most often."""
        named_R = (self.seen(step) - cast(DinoHeads, step.heads).center_C).argmax(dim=2).flatten()
        return float(named_R.bincount().max() / len(named_R))
