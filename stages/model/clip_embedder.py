"""The trained embedder as a module over plain tensors, for those who bring their own clips."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...data.fit_settings import FitSettings
from ..frames.memory import Clips
from .forecaster import GAP_UNIT_S


class ClipEmbedder(nn.Module):
    """Clips of frame features (B, L, D) to embeddings (B, E).

    Attributes:
        embedder: aggregator and projection of the teacher (or what ``index.embed_from`` names).
        step_s: seconds from frame to frame that clips without times are taken to have, as in the fit's own clips.
    """

    def __init__(self, embedder: nn.Module, settings: FitSettings) -> None:
        super().__init__()
        self.embedder = embedder
        self.step_s = settings.clip_stride * GAP_UNIT_S[settings.unit]

    def forward(self, clips_BLD: Tensor, times_s_BL: Tensor | None = None) -> Tensor:
        """Embed clips.

        Args:
            clips_BLD: features of the frames, in order of time.
            times_s_BL: seconds of the frames from the first of each clip; None for equal steps.

        Returns:
            (B, E) float32, not normalised.

        Raises:
            ValueError: if the clips are not (B, L, D).
        """
        if clips_BLD.ndim != 3:
            raise ValueError(f"clips have the shape {tuple(clips_BLD.shape)}: (B, L, D) is needed")
        if times_s_BL is None:
            steps_L = torch.arange(clips_BLD.shape[1], device=clips_BLD.device, dtype=torch.float32)
            times_s_BL = (self.step_s * steps_L).expand(clips_BLD.shape[0], -1)
        embeddings_BE: Tensor = self.embedder(Clips(clips_BLD.float(), times_s_BL.float()))
        return embeddings_BE
