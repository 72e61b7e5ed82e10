"""Earlier name of :mod:`.snapshot`, for scripts that look at a work folder by it."""

from .snapshot import Snapshot as World
from .snapshot import observe

__all__ = ["World", "observe"]
