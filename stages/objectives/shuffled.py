"""Control: another video's future. Nothing can be learnt but the mean future."""

from __future__ import annotations

from .mofore import Mofore


class Shuffled(Mofore):
    """MoFore from a clip to the future of another video."""

    family = "control"
    source = "control of MoFore: what remains when there is nothing to forecast"
    defaults = {"target": "shuffled"}
