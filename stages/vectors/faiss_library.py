"""faiss, from whichever of its two packages is installed."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from ...data.errors import StageError


@cache
def faiss() -> Any:
    """The faiss module.

    Raises:
        StageError: if neither faiss-cpu nor faiss-gpu is installed, or what is there cannot be imported.
    """
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "faiss":
            raise StageError("faiss is not installed: pip install 'mofore[cpu]' (or 'mofore[gpu]')") from error
        raise StageError(
            f"faiss is installed but cannot be imported ({error}): it was made for other versions of what it needs: "
            "pip install --upgrade numpy 'mofore[cpu]' (or 'mofore[gpu]')"
        ) from error
