"""Build a FAISS index of any kind over unit vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data.arrays import Float32
from ..data.errors import StageError
from ..data.settings import IndexSettings
from .faiss_library import faiss


@dataclass(frozen=True, slots=True)
class Built:
    """An index, and how it was chosen.

    Attributes:
        index: FAISS's.
        factory: the factory string it was made from.
        search: parameters of the search.
        why: one line.
    """

    index: Any
    factory: str
    search: Mapping[str, int] = field(default_factory=dict)
    why: str = ""


def build(vectors_NE: Float32, settings: IndexSettings) -> Built:
    """Index vectors by inner product."""
    if settings.kind != "flat":
        raise StageError(f"index.kind = {settings.kind!r} cannot be built yet")
    index = faiss().IndexFlatIP(vectors_NE.shape[1])
    index.add(np.ascontiguousarray(vectors_NE))
    return Built(index, "Flat", why="exact")
