"""mofore: learn video representations by forecasting, offline, on cached frame features.

The public face: :func:`open`, :func:`init` and :func:`encode`, and the types of what they give. The command line is
:mod:`mofore.pipeline.cli`. Importing this package imports nothing heavy, and a name of it only what that name needs:
torch, timm, h5py and faiss are loaded by what uses them.

>>> run = mofore.open(folder)
>>> run.search("v_Orbit_g01_c01", k=1)[0].rank
1
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__
from .data.errors import MoforeError

if TYPE_CHECKING:
    from .pipeline.made import Embeddings
    from .pipeline.python_api import encode
    from .pipeline.python_api import init_run as init
    from .pipeline.python_api import open_run as open  # noqa: A004 - it opens a run
    from .pipeline.run import Outcome
    from .pipeline.run_folder import Run, Status
    from .pipeline.stored_features import VideoFrames
    from .stages.search.searcher import Neighbour

__all__ = [
    "Embeddings",
    "MoforeError",
    "Neighbour",
    "Outcome",
    "Run",
    "Status",
    "VideoFrames",
    "__version__",
    "encode",
    "init",
    "open",
]

_PLACES = {
    "Embeddings": "pipeline.made:Embeddings",
    "Neighbour": "stages.search.searcher:Neighbour",
    "Outcome": "pipeline.run:Outcome",
    "Run": "pipeline.run_folder:Run",
    "Status": "pipeline.run_folder:Status",
    "VideoFrames": "pipeline.stored_features:VideoFrames",
    "encode": "pipeline.python_api:encode",
    "init": "pipeline.python_api:init_run",
    "open": "pipeline.python_api:open_run",
}


def __getattr__(name: str) -> object:
    """A public name, imported when it is first asked for (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    found = getattr(import_module(f".{module}", __name__), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names."""
    return sorted({*globals(), *__all__})
