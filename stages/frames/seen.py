"""What a forecast may see of its video: the context's own frames, and some spread over all that came before them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Seen:
    """The T = K + L frames seen by the end of B contexts: K of what came before, then the context's own L.

    Attributes:
        frames_BTD: features, float32.
        age_BT: how long before the context's last frame each was shown, in ``fit.unit``.
        weight_BT: how many frames of the video each stands for; 0 where nothing came before the context.
    """

    frames_BTD: Tensor
    age_BT: Tensor
    weight_BT: Tensor

    def __getitem__(self, index: slice) -> Seen:
        return Seen(self.frames_BTD[index], self.age_BT[index], self.weight_BT[index])


def seen_rows(first_B: Tensor, context_BL: Tensor, earlier: int) -> tuple[Tensor, Tensor]:
    """Rows (B, K + L) of what is seen, and the frames (B, K + L) that each stands for.

    The stretch from the video's first frame to the context is cut into K = ``earlier`` equal parts, and the frame in
    the middle of each is taken: the same one several times where there are fewer frames, each time for its share.

    Args:
        first_B: row of each video's first frame.
        context_BL: rows of the context's frames, ascending.
        earlier: K.
    """
    before_B1 = context_BL[:, :1] - first_B[:, None]
    middle_K = 2 * torch.arange(earlier, device=context_BL.device) + 1
    rows_BK = first_B[:, None] + middle_K * before_B1 // (2 * earlier)
    own_B1 = context_BL[:, -1:] - context_BL[:, :1] + 1
    weight_BK = (before_B1 / earlier).expand(-1, earlier)
    weight_BL = (own_B1 / context_BL.shape[1]).expand(-1, context_BL.shape[1])
    return torch.cat([rows_BK, context_BL], dim=1), torch.cat([weight_BK, weight_BL], dim=1).float()
