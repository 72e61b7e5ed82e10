"""What makes an encoder of a library's model: the contract of :mod:`.hf_models`, :mod:`.torchvision_models`, ..."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..decode.preprocess import Preprocess


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model with its weights, and how it is fed."""

    # in evaluation mode or not; pictures (B, C, H, W), or windows of them (B, T, C, H, W), float and normalised, in,
    # features (B, D) out
    model: nn.Module
    preprocess: Preprocess  # what frames go through
    window: int = 0  # T, frames of a window; 0 for a model of pictures
    features: str = "pooled output without classifier, float16"  # what they are, in words
    packages: tuple[str, ...] = ()  # whose versions are recorded
    taken: str = ""  # of a file of weights, where that is not simply all of it
    described: dict[str, Any] = field(default_factory=dict)  # what else the store's provenance is to say
