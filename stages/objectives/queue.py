"""Keys of earlier steps, the queue of MoCo (He et al. 2020, arXiv 1911.05722)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Queue(nn.Module):
    """The last ``size`` unit keys and whose they are, the oldest overwritten first; begins with random ones."""

    key_QE: Tensor
    video_Q: Tensor
    pushed: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("key_QE", functional.normalize(torch.randn(size, width), dim=1))
        self.register_buffer("video_Q", torch.full((size,), -1))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, key_RE: Tensor, video_R: Tensor) -> None:
        """Put unit keys of those videos in, in the place of the oldest; of more than fit, the last."""
        size = len(self.key_QE)
        key_RE, video_R = key_RE[-size:], video_R[-size:]
        place_R = (self.pushed + torch.arange(len(key_RE), device=key_RE.device)) % size
        self.key_QE[place_R], self.video_Q[place_R] = key_RE, video_R
        self.pushed += len(key_RE)

    def cosines(self, query_RE: Tensor, video_R: Tensor) -> Tensor:
        """Cosines (R, Q) of unit queries to the keys; minus infinity where a key is of the query's own video."""
        own_RQ = video_R[:, None] == self.video_Q
        return (query_RE @ self.key_QE.T).masked_fill(own_RQ, float("-inf"))
