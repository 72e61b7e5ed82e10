"""faiss, from whichever of its two packages is installed."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from importlib.util import find_spec
from typing import Any

from ...data.errors import StageError

NOT_INSTALLED = "faiss is not installed: pip install 'mofore[cpu]' (or 'mofore[gpu]')"


def refuse_missing_faiss() -> None:
    """Find out, without loading it, that faiss is not there: before hours of work that end in it.

    Raises:
        StageError: if so.
    """
    if "faiss" not in sys.modules and find_spec("faiss") is None:
        raise StageError(NOT_INSTALLED)


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
            raise StageError(NOT_INSTALLED) from error
        raise StageError(
            f"faiss is installed but cannot be imported ({error}): it was made for other versions of what it needs: "
            "pip install --upgrade numpy 'mofore[cpu]' (or 'mofore[gpu]')"
        ) from error
