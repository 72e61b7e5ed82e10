"""faiss, from whichever of its two packages is installed."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from ..data.errors import StageError


@cache
def faiss() -> Any:
    """The faiss module.

    Raises:
        StageError: if neither faiss-cpu nor faiss-gpu is installed.
    """
    try:
        return importlib.import_module("faiss")
    except ModuleNotFoundError as error:
        raise StageError("faiss is not installed: pip install 'mofore[cpu]' (or 'mofore[gpu]')") from error
