"""Indexes larger than memory: built part by part, merged on the disk, searched over several files as if over one.

Every part is added to an empty copy of one trained index and written; the merge copies list after list from the parts,
which are mapped, into one file of inverted lists that a search maps again (FAISS's ``OnDiskInvertedLists``). In memory
there is never more than one part and the index without its lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.atomic import published
from ...data.arrays import Float32, Int64
from ...data.errors import StageError, StoreError
from .build import fill, trained
from .exact import Found, VectorsOf, flat_vectors, is_exact, merged, nearest, ranked
from .faiss_library import faiss

MERGED, LISTS, PART = "vectors.faiss", "vectors.ivfdata", "part-{:05d}.faiss"


def build_in_parts(parts: Iterable[Float32], factory: str, sample_ME: Float32, folder: Path, *, seed: int = 0) -> Path:
    """Train, build every part, and merge them; label i is row i of all parts together.

    Args:
        parts: unit vectors (M, E), one part after another; each is let go of before the next one is asked for.
        factory: of inverted lists, such as IVF4096,PQ32.
        sample_ME: unit vectors to train on.
        folder: where the merged index and its lists go; the parts are deleted.
        seed: of k-means.

    Returns:
        The merged index's file, for :func:`read_merged`.

    Raises:
        StageError: if FAISS cannot build such an index, or it has no inverted lists.
    """
    empty = trained(factory, sample_ME, seed)
    if faiss().try_extract_index_ivf(empty) is None:
        raise StageError(f"an index of {factory!r} has no inverted lists to be merged: take IVF...")
    paths = write_parts(empty, parts, folder)
    path = merge(empty, paths, folder)
    for part in paths:
        part.unlink()
    return path


def write_parts(empty: Any, parts: Iterable[Float32], folder: Path) -> list[Path]:
    """A file for each part, added to a copy of the trained index."""
    folder.mkdir(parents=True, exist_ok=True)
    paths, first = [], 0
    for number, vectors_ME in enumerate(parts):
        paths.append(folder / PART.format(number))
        _write(fill(faiss().clone_index(empty), vectors_ME, first=first), paths[-1])
        first += len(vectors_ME)
    return paths


def merge(empty: Any, parts: Sequence[Path], folder: Path) -> Path:
    """One index of several files' lists, which stay on the disk."""
    from faiss.contrib.ondisk import merge_ondisk

    index = faiss().clone_index(empty)
    with published(folder / LISTS) as temporary:
        merge_ondisk(index, [str(part) for part in parts], str(temporary))
    lists = faiss().downcast_InvertedLists(faiss().extract_index_ivf(index).invlists)
    lists.filename = str(folder / LISTS)
    _write(index, folder / MERGED)
    return folder / MERGED


def read_merged(path: Path) -> Any:
    """A merged index; its lists are mapped from the file beside it, wherever both were moved to.

    Raises:
        StoreError: if it cannot be read.
    """
    library = faiss()
    try:
        return library.read_index(str(path), library.IO_FLAG_ONDISK_SAME_DIR)
    except RuntimeError as error:
        raise StoreError(f"the merged index '{path}' or its lists cannot be read: build it again") from error


@dataclass(frozen=True, slots=True)
class Shards:
    """Several indexes, searched as one.

    Attributes:
        indexes: FAISS's; of one kind, and trained as one if they are approximate.
        first_S: of exact ones, which number from 0 each, the row that the first of each is in all.
        vectors_of: the vectors of some rows of all, to rank candidates by; None leaves FAISS's similarities.
    """

    indexes: tuple[Any, ...]
    first_S: tuple[int, ...]
    vectors_of: VectorsOf | None = None

    @classmethod
    def read(cls, paths: Sequence[Path], vectors_of: VectorsOf | None = None) -> Shards:
        """Indexes of files, in order; lists of inverted files are mapped, not loaded."""
        library = faiss()
        indexes = tuple(library.read_index(str(path), library.IO_FLAG_MMAP) for path in paths)
        counts = [index.ntotal if is_exact(index) else 0 for index in indexes]
        return cls(indexes, tuple(int(first) for first in np.cumsum([0, *counts])[:-1]), vectors_of)

    def __len__(self) -> int:
        return sum(index.ntotal for index in self.indexes)

    def search(self, queries_QE: Float32, k: int, k_factor: int = 1) -> Found:
        """Similarities and rows (Q, K), best first, equal ones by row; -1 where approximate shards find too few."""
        wanted = min(k, len(self))
        if not wanted:
            return np.empty((len(queries_QE), 0), np.float32), np.empty((len(queries_QE), 0), np.int64)
        candidates = [
            self._ask(index, first, queries_QE, min(wanted * k_factor, index.ntotal))
            for index, first in zip(self.indexes, self.first_S, strict=True)
        ]
        similarity_QK, row_QK = merged(candidates, min(wanted * k_factor, len(self)))
        if self.vectors_of is not None:
            return ranked(self.vectors_of, queries_QE, row_QK, wanted)
        return similarity_QK[:, :wanted], row_QK[:, :wanted]

    def _ask(self, index: Any, first: int, queries_QE: Float32, k: int) -> Found:
        if is_exact(index):
            vectors_NE = flat_vectors(index)
            similarity_QK, row_QK = nearest(index.search, vectors_NE.__getitem__, queries_QE, k, len(vectors_NE))
            return similarity_QK, row_QK + first
        similarity_QK, label_QK = index.search(np.ascontiguousarray(queries_QE), k)
        absent_QK: Int64 = label_QK < 0
        return np.where(absent_QK, np.float32(-np.inf), similarity_QK), label_QK


def _write(index: Any, path: Path) -> None:
    with published(path) as temporary:
        faiss().write_index(index, str(temporary))
