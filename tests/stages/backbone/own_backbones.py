"""Backbones as users write them (``python:MODULE:FUNCTION``), whose rows a reader can compute."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

FRAMES, SIDE = 6, 16
HERE = "python:mofore.tests.stages.backbone.own_backbones"


class FrameColours(nn.Module):
    """The mean colour of every frame of a window, one after another: a row says which frames it was made from."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, windows_BTCHW: Tensor) -> Tensor:
        return (self.gain * windows_BTCHW.mean(dim=(3, 4))).flatten(1)


class MeanColour(nn.Module):
    """The mean colour of a picture; it has no parameters at all."""

    def forward(self, pictures_BCHW: Tensor) -> Tensor:
        return pictures_BCHW.mean(dim=(2, 3))


@dataclass
class Clips:
    module: nn.Module
    kind: str = "clip"
    window: int = FRAMES
    size: int = SIDE
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    version: str = "1"


def make_clips(weights: Path | None = None) -> Clips:
    module = FrameColours()
    if weights is not None:
        module.load_state_dict(torch.load(weights, weights_only=True))
    return Clips(module)


def make_images() -> SimpleNamespace:
    mean = std = (0.5, 0.5, 0.5)
    return SimpleNamespace(module=MeanColour(), size=(SIDE, 24), fit="squash", mean=mean, std=std)


def make_nothing() -> SimpleNamespace:
    return SimpleNamespace(module=FrameColours(), kind="clip", size=SIDE)
