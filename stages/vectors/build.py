"""Build a FAISS index of any kind over unit vectors: train on a sample, add in blocks, tune.

The same vectors, settings and number of threads give the same index: samples and k-means are seeded, and one thread
alone links a graph, since several would link it in the order in which they come.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...data.arrays import Float32, Int64
from ...data.blocks import blocks
from ...data.errors import StageError
from ...data.index_settings import INDEX_KINDS, IndexSettings
from ...data.storage import naming
from ...data.wording import counted
from ..machine.memory import machine_bytes
from .device import Place, on_gpu, to_cpu, to_gpu
from .exact import Propose, core, is_exact, selects
from .faiss_library import faiss
from .kinds import Limits, choose
from .on_disk import CenteredRows, merged, part_files, part_rows
from .tuning import QUERIES, Trial, held_out, tune

Vectors = Float32 | CenteredRows
BLOCK_ROWS = 65_536
POINTS_PER_LIST = 64
LEAST_SAMPLE = 65_536


@dataclass(frozen=True, slots=True)
class Built:
    """An index, and how it was chosen."""

    index: Any  # FAISS's
    factory: str  # the factory string it was made from
    search: Mapping[str, int] = field(default_factory=dict)  # parameters of the search
    why: str = ""  # one line
    seconds: float = 0.0  # that training and adding took; choosing parameters not included


def check(settings: IndexSettings, width: int) -> None:
    """Find out whether FAISS knows this kind of index, before any work is done.

    Raises:
        StageError: with FAISS's reason.
    """
    if settings.kind in INDEX_KINDS:
        faiss()
        return
    if not selects(_made(settings.kind, width)):
        raise StageError(
            f"index.kind = {settings.kind!r}: FAISS cannot leave rows out of a search of this kind, as a search from a "
            f"video of the index does: take one of {', '.join(INDEX_KINDS)}, or a factory string of IVF, HNSW or SQ"
        )


class PartMaker(Protocol):
    """Who makes the parts of an index (``index.part_mb``)."""

    def parts(self, rows: int) -> Sequence[slice]:
        """What of the vectors is in each part, in order, no more than so many rows."""

    def make(self, trained: Path, parts: Sequence[tuple[slice, Path]]) -> None:
        """Write each part with :func:`write_part`."""


@dataclass(frozen=True, slots=True)
class OwnParts:
    """Made here, one after another."""

    vectors_NE: Vectors

    def parts(self, rows: int) -> Sequence[slice]:
        """All of the same size but the last."""
        return [*blocks(len(self.vectors_NE), rows)]

    def make(self, trained: Path, parts: Sequence[tuple[slice, Path]]) -> None:
        """Write each."""
        for rows, path in parts:
            write_part(trained, self.vectors_NE, rows, path)


def build(
    vectors_NE: Vectors,
    settings: IndexSettings,
    *,
    place: Place = "cpu",
    data: Path | None = None,
    maker: PartMaker | None = None,
) -> Built:
    """Index vectors by inner product.

    Args:
        vectors_NE: unit vectors.
        settings: kind, limits, wished agreement and seed.
        place: where to train and add.
        data: file for the lists of an index that is to be made in parts (``index.part_mb``).
        maker: of the parts; None: this process.

    Raises:
        StageError: if FAISS cannot build a factory string of the user's over these vectors.
    """
    count, width = vectors_NE.shape
    choice = choose(settings.kind, count, width, limits(settings))
    begin = time.perf_counter()
    index, why = trained(choice.factory, vectors_NE, settings.seed, place), choice.why
    if settings.part_mb and data is not None:
        index, how = _filled_in_parts(index, vectors_NE, part_rows(settings.part_mb, width), data, maker)
        why = f"{why}; {how}"
    else:
        index = fill(index, vectors_NE)
    seconds = time.perf_counter() - begin
    if is_exact(index):
        return Built(index, choice.factory, why=why, seconds=seconds)
    search, how = tuned(index, index.search, vectors_NE, settings)
    return Built(index, choice.factory, search, f"{why}; {how}", seconds)


def limits(settings: IndexSettings) -> Limits:
    """Of kind = auto."""
    memory = settings.size_mb * 1e6 or machine_bytes() / 2
    return Limits(memory, settings.latency_ms)


def trained(factory: str, vectors_NE: Vectors, seed: int, place: Place = "cpu") -> Any:
    """An empty index that has learnt what it needs to from a sample of the vectors.

    Raises:
        StageError: if FAISS refuses.
    """
    index = _made(factory, vectors_NE.shape[1])
    _seed(index, seed)
    lists = int(getattr(core(index), "nlist", 0))
    if place == "faiss-gpu":
        index = to_gpu(index, devices=1)
        _seed_clustering(index, seed)  # the copy has k-means settings of its own
    if index.is_trained:
        return index
    sample = vectors_NE[training_rows(len(vectors_NE), lists, seed)]
    try:
        index.train(np.ascontiguousarray(sample))
    except RuntimeError as error:
        raise StageError(
            f"index.kind = {factory!r} cannot be trained on {len(sample):,} vectors ({_reason(error)}): take "
            "index.kind = 'auto', or fewer lists or bits"
        ) from error
    return index


def fill(index: Any, vectors_NE: Vectors) -> Any:
    """Add vectors, block by block, each under its row as label; returns the portable index."""
    if on_gpu(index):  # which numbers them from 0
        for block in blocks(len(vectors_NE), BLOCK_ROWS):
            index.add(np.ascontiguousarray(vectors_NE[block]))
        return to_cpu(index)
    with _one_thread_for_graphs(index):
        _add(index, vectors_NE, slice(0, len(vectors_NE)), 0)
    return index


def _add(index: Any, vectors_NE: Vectors, rows: slice, first: int) -> None:
    """Add some of the vectors, of which the first one has the label ``first``."""
    for block in blocks(rows.stop - rows.start, BLOCK_ROWS):
        labels = np.arange(rows.start + block.start, rows.start + block.stop)
        append(index, vectors_NE[labels[0] : labels[-1] + 1], labels + first)


def write_part(trained: Path, vectors_NE: Vectors, rows: slice, path: Path, *, first: int = 0) -> None:
    """Write a copy of the trained, empty index in a file, with some vectors in it.

    Args:
        trained: the file.
        vectors_NE: unit vectors.
        rows: which of them.
        path: for the part.
        first: label of the first of all vectors; the others follow.
    """
    part = faiss().read_index(str(trained))
    _add(part, vectors_NE, rows, first)
    with naming(path):
        faiss().write_index(part, str(path))


def _filled_in_parts(
    index: Any, vectors_NE: Vectors, rows: int, data: Path, maker: PartMaker | None
) -> tuple[Any, str]:
    """The same with no more than a part of the vectors in the index at a time, and a line about it."""
    index = to_cpu(index) if on_gpu(index) else index
    if not _has_lists(index):
        return fill(index, vectors_NE), "in memory, since index.part_mb is for kinds with lists (ivf, ivfpq)"
    maker = maker or OwnParts(vectors_NE)
    parts = maker.parts(rows)
    with part_files(data.parent, len(parts)) as (trained_path, *paths):
        with naming(trained_path):
            faiss().write_index(index, str(trained_path))
        maker.make(trained_path, [*zip(parts, paths, strict=True)])
        return merged(trained_path, paths, data), f"made in {counted(len(parts), 'part')}, merged on disk"


def append(index: Any, vectors_ME: Float32, labels_M: Int64) -> None:
    """Add vectors under labels of their own; kinds that number on their own do so."""
    vectors_ME = np.ascontiguousarray(vectors_ME)
    if isinstance(index, faiss().IndexIDMap) or _has_lists(index):
        index.add_with_ids(vectors_ME, labels_M)
    else:
        index.add(vectors_ME)


def forget(index: Any, labels_M: Int64) -> bool:
    """Take vectors out of an index that can do so without numbering the others anew; whether it could.

    An exact index numbers them anew, which is what its rows do as well.
    """
    if not _has_lists(index) and not is_exact(index):
        return False
    index.remove_ids(faiss().IDSelectorBatch(np.ascontiguousarray(labels_M)))
    return True


def training_rows(count: int, lists: int, seed: int) -> Int64:
    """A bounded sample; the rows that the index is tried with are left to the last."""
    size = min(count, max(LEAST_SAMPLE, POINTS_PER_LIST * lists))
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(np.roll(order, -QUERIES)[:size])


def tuned(index: Any, propose: Propose, vectors_NE: Vectors, settings: IndexSettings) -> tuple[Mapping[str, int], str]:
    """Parameters of the search that reach the wished agreement, and a line about it."""
    trial = Trial.of(vectors_NE, held_out(len(vectors_NE), settings.seed))
    search, agreement = tune(index, propose, vectors_NE, trial, settings.recall)
    how = ", ".join(f"{name} = {value}" for name, value in search.items()) or "nothing to tune"
    more = "" if agreement >= settings.recall else "and no more "
    return search, f"{how}: agreement {agreement:.3f} at 10 {more}(wished: {settings.recall:g})"


def _made(factory: str, width: int) -> Any:
    library = faiss()
    try:
        return library.index_factory(width, factory, library.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise StageError(
            f"index.kind = {factory!r} cannot be built for vectors of width {width} ({_reason(error)}): take one of "
            f"{', '.join(INDEX_KINDS)}, or another factory string"
        ) from error


def _reason(error: RuntimeError) -> str:
    """What FAISS says, without the place in its source."""
    return str(error).rsplit("Error: ", 1)[-1].rsplit("cpp:", 1)[-1].split(": ", 1)[-1].strip()


def _seed(index: Any, seed: int) -> None:
    """Seed every k-means, and silence FAISS's advice about small samples, which goes to the terminal."""
    inner = core(index)
    for part in (inner, getattr(inner, "pq", None), *map(_quantizer, _rotations(index))):
        _seed_clustering(part, seed)


def _seed_clustering(part: Any, seed: int) -> None:
    if hasattr(part, "cp"):
        part.cp.seed, part.cp.min_points_per_centroid = seed, 1


def _rotations(index: Any) -> list[Any]:
    """Transforms that learn from product quantisation."""
    library, index = faiss(), faiss().downcast_index(index)
    if not isinstance(index, library.IndexPreTransform):
        return []
    chain = [library.downcast_VectorTransform(index.chain.at(number)) for number in range(index.chain.size())]
    return [transform for transform in chain if isinstance(transform, library.OPQMatrix)]


def _quantizer(rotation: Any) -> Any:
    """The quantiser that a rotation is trained with; its own default cannot be reached."""
    if rotation.pq is None:
        quantizer = faiss().ProductQuantizer(rotation.d_out, rotation.M, 8)
        quantizer.this.disown()  # nobody else keeps it alive: a few kB are never freed
        rotation.pq = quantizer
    return rotation.pq


def _has_lists(index: Any) -> bool:
    """Whether vectors are in lists under labels of their own; those of a refined index are places in its table."""
    library = faiss()
    return isinstance(core(index), library.IndexIVF) and not isinstance(
        library.downcast_index(index), library.IndexRefine
    )


@contextmanager
def _one_thread_for_graphs(index: Any) -> Iterator[None]:
    library = faiss()
    threads = library.omp_get_max_threads()
    if isinstance(core(index), library.IndexHNSW):
        library.omp_set_num_threads(1)
    try:
        yield
    finally:
        library.omp_set_num_threads(threads)
