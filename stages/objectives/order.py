"""Order prediction (OPN): sort four spaced frames, up to reversal."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations

import torch
from torch import Tensor, nn

from ...data.section import setting
from .contract import WITHOUT_TEACHER, Objective, Options, Step
from .draw import Draw, Drawn
from .losses import classified

FRAMES = 4
ORDERS = torch.tensor([order for order in permutations(range(FRAMES)) if order[0] < order[-1]])  # one of each reversal


@dataclass(frozen=True, kw_only=True)
class OrderOptions(Options):
    """Options of the sorting network."""

    hidden: int = setting(128, "width of what is made of each pair of frames", low=4)


class SortingHead(nn.Module):
    """Features of every pair of frames, side by side, to one of twelve orders (section 3.2 of the source)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.pairs = list(combinations(range(FRAMES), 2))
        self.pair = nn.Linear(2 * width, hidden)
        self.out = nn.Linear(hidden * len(self.pairs), len(ORDERS))

    def forward(self, z_BKE: Tensor) -> Tensor:
        """Logits (B, 12) from embeddings (B, 4, E) of the frames as shown."""
        z_BKE = z_BKE - z_BKE.mean(dim=1, keepdim=True)  # what the four share tells nothing of their order
        z_BKE = z_BKE / (z_BKE.square().mean(dim=(1, 2), keepdim=True) + 1e-6).sqrt()
        pairs_BPE = torch.stack([z_BKE[:, list(pair)].flatten(1) for pair in self.pairs], dim=1)
        logits_BC: Tensor = self.out(torch.relu(self.pair(pairs_BPE)).flatten(1))
        return logits_BC


class Order(Objective):
    """Sort four short clips in time, up to reversal."""

    family = "order"
    source = "OPN, Lee et al. 2017, arXiv 1708.01246, sections 3.1 and 3.2"
    differences = (
        "cached features of short clips in place of image patches; no choice of frames by how much moves; the four "
        "embeddings are standardised together"
    )
    defaults = {**WITHOUT_TEACHER, "clip_length": 2}
    options = OrderOptions

    def draw(self, draw: Draw) -> Drawn:
        """Four clips, evenly spread over a window four times as long as a clip, shuffled."""
        length, window = draw.settings.clip_length, draw.stretched(4.0)
        rows_PKL = draw.rows(window, FRAMES * length).unflatten(1, (FRAMES, length))
        label_P = draw.choice(len(ORDERS), len(rows_PKL))
        shown_PK = ORDERS[label_P]
        turned_P1 = draw.choice(2, len(rows_PKL), 1).bool()
        shown_PK = torch.where(turned_P1, shown_PK.flip(1), shown_PK)
        return Drawn(rows_PKL.gather(1, shown_PK[..., None].expand(-1, -1, length)), {"order": label_P})

    def heads(self, width: int, features: int) -> nn.Module:
        """The sorting network."""
        return SortingHead(width, self.own.hidden)

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Cross-entropy over the twelve orders."""
        return classified(step.heads(step.student()), step.batch.labels["order"])

    def chance(self, step: Step) -> float:
        """One order in twelve."""
        return 1.0 / len(ORDERS)
