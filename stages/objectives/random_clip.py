"""Control: any other clip of the video in place of its future."""

from __future__ import annotations

from .mofore import Mofore


class RandomClip(Mofore):
    """MoFore from a clip to any other of its video."""

    family = "control"
    source = "control of MoFore: whether order in time matters at all"
    defaults = {"target": "other"}
