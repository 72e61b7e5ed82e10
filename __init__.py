"""mofore: learn video representations by forecasting, offline, on cached frame features.

The small public face; the command line is :mod:`mofore.pipeline.cli`. Importing this package imports
nothing heavy: torch, timm and faiss are loaded by the stages that need them.
"""

from ._version import __version__
from .data.errors import MoforeError

__all__ = ["MoforeError", "__version__"]
