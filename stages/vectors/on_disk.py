"""An index of inverted lists that need not fit into memory: made in parts, which are merged and searched on disk.

FAISS's own way: every part is a copy of the trained index with a block of the vectors, in a file; the lists of all
parts are then put together in one file (``faiss.contrib.ondisk``), which a search maps and of which it reads the lists
that it looks into. Rows are in the lists in the same order as in an index that was made in memory, so its answers are
the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...cache.atomic import sync
from ...cache.hold import refuse_lost_folder
from ...data.arrays import Float32
from ...data.errors import StageError
from .exact import core
from .faiss_library import faiss
from .normalize import center

LISTS = "vectors.ivfdata"
MB = 1_000_000


class CenteredRows:
    """Vectors (N, E) that are made when they are asked for: embeddings less a mean, of unit length."""

    def __init__(self, embeddings_NE: Float32, mean_E: Float32) -> None:
        self._embeddings_NE, self._mean_E = embeddings_NE, mean_E
        self.shape = embeddings_NE.shape

    def __len__(self) -> int:
        return len(self._embeddings_NE)

    def __getitem__(self, rows: Any) -> Float32:
        found = self._embeddings_NE[rows]
        return center(found.reshape(-1, self.shape[1]), self._mean_E).reshape(found.shape)


def is_on_disk(index: Any) -> bool:
    """Whether an index reads its lists from a file of their own."""
    return _lists_of(index) is not None


def part_rows(part_mb: int, width: int) -> int:
    """Rows of a part of so many MB."""
    return max(1, part_mb * MB // (4 * width))


@contextmanager
def lists_file(folder: Path) -> Iterator[Path]:
    """Where the lists of an index are written, until :func:`publish_lists`; what is there then goes at the end."""
    data = folder / f".{LISTS}.{os.getpid()}.tmp"
    try:
        yield data
    finally:
        data.unlink(missing_ok=True)


@contextmanager
def part_files(folder: Path, count: int) -> Iterator[list[Path]]:
    """Where so many parts, and the empty index, are written; what is there goes at the end."""
    parts = [folder / f".{number}.part.{os.getpid()}.tmp" for number in range(count + 1)]
    try:
        yield parts
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def merged(trained: Path, parts: Sequence[Path], data: Path) -> Any:
    """The trained, empty index of a file with the lists of all parts, which come into the file ``data``.

    Raises:
        StageError: if they cannot be merged.
    """
    command = [sys.executable, "-P", merge_lists(), str(trained), str(data), *map(str, parts)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        size = sum(part.stat().st_size for part in parts)
        killed = f"it was killed; is the disk full? They take {size:,} bytes there twice"
        why = (done.stderr.strip().splitlines() or [killed])[-1] if done.returncode > 0 else killed
        raise StageError(f"the parts of the index could not be merged into '{data.parent}' ({why})")
    return _mapped(trained, data)


def merge_lists() -> str:
    """The script that does it."""
    return str(Path(__file__).with_name("merge_lists.py"))


def publish_lists(index: Any, folder: Path) -> None:
    """Give the file of an index's lists its name in ``folder``; without such a file, one of an earlier index goes."""
    lists, target = _lists_of(index), folder / LISTS
    if lists is None:
        target.unlink(missing_ok=True)
    elif Path(lists.filename) != target:
        sync(Path(lists.filename))
        refuse_lost_folder(target)
        Path(lists.filename).replace(target)
        sync(folder)
        lists.filename = str(target)


def read_index(path: Path) -> Any:
    """An index from its file; lists that have a file of their own are mapped from beside it, to be read only.

    Raises:
        OSError: if that file is not there.
        ValueError: if it is shorter than the lists are: who reads them would be killed.
        RuntimeError: FAISS's, if the index is missing or damaged.
    """
    data = path.with_name(LISTS)
    return _mapped(path, data) if data.exists() else faiss().read_index(str(path))


def _mapped(path: Path, data: Path) -> Any:
    # Without the data, for which FAISS looks where they were written, or prints where else it found them.
    library = faiss()
    index = library.read_index(str(path), library.IO_FLAG_SKIP_IVF_DATA | library.IO_FLAG_READ_ONLY)
    lists = _lists_of(index)
    if lists is None:
        raise ValueError(f"its lists are not those of '{data}'")
    size = data.stat().st_size
    if lists.totsize > size:
        raise ValueError(f"'{data}' holds {size:,} of {lists.totsize:,} bytes")
    lists.filename = str(data)
    lists.do_mmap()
    return index


def _lists_of(index: Any) -> Any:
    lists = getattr(core(index), "invlists", None)
    found = None if lists is None else faiss().downcast_InvertedLists(lists)
    return found if isinstance(found, faiss().OnDiskInvertedLists) else None
