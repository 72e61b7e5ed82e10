"""An approximate index brought up to date: what went is taken out, what came is added, nothing is trained anew."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...data.arrays import Float32, Int64
from ...data.errors import StaleError, StoreError
from ...data.index_settings import IndexSettings
from .build import limits, tuned
from .exact import is_exact
from .kinds import choose
from .on_disk import is_on_disk
from .vector_index import Items, VectorIndex

MOST_CHANGED = 0.3  # of the items; what was trained on the rest fits what is there less and less
SAME = 1e-5  # difference of an embedding's elements that another batch makes
DECISIVE = ("kind", "center")  # settings that an index has to share with its predecessor, beside its model


def find_previous(folder: Path, model: str, settings: IndexSettings) -> VectorIndex | None:
    """The index of an earlier run, if it can be updated: approximate and in memory, of the same model and kind."""
    if settings.kind == "flat":
        return None
    try:
        index = VectorIndex.load(folder, model=model)
    except (StoreError, StaleError):
        return None
    before, now = index.about.provenance.get("index_settings", {}), settings.identity()
    same = all(before.get(name) == now[name] for name in DECISIVE)
    whole = is_exact(index.faiss_index) or is_on_disk(index.faiss_index)
    return index if same and not whole and not settings.part_mb else None


def updated(previous: VectorIndex, items: Items, embeddings_NE: Float32, settings: IndexSettings) -> VectorIndex | None:
    """The previous index as one of ``items``, its mean unchanged; None if it had better be built anew.

    Args:
        previous: of the same model.
        items: what the rows are to be.
        embeddings_NE: unit vectors of all of them, not centred.
        settings: the agreement that is wished.
    """
    if not len(items) or choose(settings.kind, len(items), len(previous.mean_E), limits(settings)).factory == "Flat":
        return None
    before_N = _matched(previous, items, embeddings_NE)
    fresh = np.flatnonzero(before_N < 0)
    gone_P = np.ones(len(previous.items), bool)
    gone_P[before_N[before_N >= 0]] = False
    about = previous.about
    # A changed video is both fresh and gone, and changes the index once.
    if max(about.added + len(fresh), about.removed + int(gone_P.sum())) > MOST_CHANGED * len(items):
        return None
    changed = previous.without(gone_P) if gone_P.any() else previous
    changed = changed.added(embeddings_NE[fresh], items.taken(fresh)) if len(fresh) else changed
    return _tuned(_in_order(changed, before_N, gone_P, items, embeddings_NE), settings)


def _matched(previous: VectorIndex, items: Items, embeddings_NE: Float32) -> Int64:
    """Row in the previous index of each item that is still the same; -1 for the others."""
    row_of = {key: row for row, key in enumerate(_keys(previous.items))}
    before_N = np.array([row_of.get(key, -1) for key in _keys(items)], np.int64)
    known = np.flatnonzero(before_N >= 0)
    difference_M = np.abs(previous.embeddings_NE[before_N[known]] - embeddings_NE[known]).max(axis=1, initial=0.0)
    before_N[known[difference_M > SAME]] = -1
    return before_N


def _keys(items: Items) -> list[tuple[str, int]]:
    """Video and number within it of each row."""
    seen: defaultdict[str, int] = defaultdict(int)
    keys = []
    for video in items.video_N.tolist():
        name = items.videos[video]["id"]
        keys.append((name, seen[name]))
        seen[name] += 1
    return keys


def _in_order(
    changed: VectorIndex, before_N: Int64, gone_P: np.ndarray, items: Items, embeddings_NE: Float32
) -> VectorIndex:
    """Rows as ``items`` has them: those that stayed come first in ``changed``, then those that were added."""
    place_P = np.cumsum(~gone_P) - 1
    stayed_N = before_N >= 0
    place_N = np.where(stayed_N, place_P[before_N], int((~gone_P).sum()) + np.cumsum(~stayed_N) - 1)
    label_N = np.arange(len(items)) if changed.label_N is None else changed.label_N
    return replace(changed, items=items, label_N=label_N[place_N], embeddings=embeddings_NE, folder=None)


def _tuned(index: VectorIndex, settings: IndexSettings) -> VectorIndex:
    vectors_NE = index.centered(index.embeddings_NE)
    search, how = tuned(index.faiss_index, index.proposer(), vectors_NE, settings)
    about = index.about
    why = f"not trained anew (items added since it was: {about.added:,}, removed: {about.removed:,}); {how}"
    return replace(index, about=replace(about, kind=settings.kind, search=search, why=why))
