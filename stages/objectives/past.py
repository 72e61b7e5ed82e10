"""Control: the past in place of the future. Tells whether the direction of time is what helps."""

from __future__ import annotations

from .mofore import Mofore


class Past(Mofore):
    """MoFore from a clip to the one before it."""

    family = "control"
    source = "control of MoFore: the direction of time"
    defaults = {"target": "past"}
