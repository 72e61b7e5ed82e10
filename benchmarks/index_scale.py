"""What indexes cost: every kind at UCF101's size, and ten million vectors as IVF-PQ in bounded memory.

``python -m benchmarks.index_scale`` prints the price of every kind over 13,320 made-up vectors of width 512;
``--ten-million`` builds 10,000,000 of width 256 part by part (``--rows`` takes fewer), merges the parts on the disk,
and compares what it finds with exact search over the same parts. Vectors are unit vectors in clusters of a thousand,
spread within a cluster along 24 directions that all clusters share and a little in every other: neighbours that mean
something, which isotropic noise has not. They are made part by part, each from its own seed, so that nothing of their
size is in memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mofore.data.arrays import Float32, Int64
from mofore.data.settings import IndexSettings
from mofore.stages.vectors.build import build, trained
from mofore.stages.vectors.cost import measure
from mofore.stages.vectors.exact import Found, merged, ranked
from mofore.stages.vectors.faiss_library import faiss
from mofore.stages.vectors.normalize import l2_normalize
from mofore.stages.vectors.parts import LISTS, Shards, merge, read_merged, write_parts
from mofore.stages.vectors.vector_index import About, Items, VectorIndex

KINDS = ("flat", "ivf", "hnsw", "ivfpq")
VIDEOS, WIDTH = 13_320, 512

MEMBERS, DIRECTIONS, LARGE_WIDTH = 1000, 24, 256
PART = 250_000
FACTORY = "IVF4096,PQ32x8np"
SAMPLE = 262_144
QUERIES, SINGLES, NEIGHBOURS, K_FACTOR = 500, 200, 50, 10
NPROBES = (1, 4, 16, 64, 256)


@dataclass(frozen=True)
class Clusters:
    """Where vectors come from."""

    count: int
    width: int
    spread: float = 0.2
    noise: float = 0.01
    center_CE: Float32 = field(init=False, repr=False)
    direction_WE: Float32 = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        object.__setattr__(self, "center_CE", l2_normalize(rng.standard_normal((self.count, self.width), np.float32)))
        object.__setattr__(
            self, "direction_WE", l2_normalize(rng.standard_normal((DIRECTIONS, self.width), np.float32))
        )

    def draw(self, seed: int, count: int) -> Float32:
        """Unit vectors (N, E)."""
        rng = np.random.default_rng((1, seed))
        vectors_NE = rng.standard_normal((count, self.width), np.float32)
        vectors_NE *= self.noise
        along_NW = self.spread * rng.standard_normal((count, DIRECTIONS), np.float32)
        vectors_NE += along_NW @ self.direction_WE
        vectors_NE += self.center_CE[rng.integers(0, self.count, count)]
        vectors_NE /= np.linalg.norm(vectors_NE, axis=1, keepdims=True)
        return vectors_NE


def make_index(vectors_NE: Float32, kind: str) -> tuple[VectorIndex, float]:
    """An index of a kind, and the seconds of training and adding."""
    built = build(vectors_NE, IndexSettings(kind=kind))
    about = About("mofore", "video", "made up", kind, built.factory, built.search, built.why, {})
    mean_E = np.zeros(vectors_NE.shape[1], np.float32)
    return VectorIndex(built.index, made_up(len(vectors_NE)), mean_E, about, embeddings=vectors_NE), built.seconds


def made_up(count: int, first: int = 0) -> Items:
    """Names for rows."""
    videos = tuple({"id": f"v{number:08d}", "role": "train"} for number in range(first, first + count))
    return Items(videos, np.arange(count))


def update_seconds(index: VectorIndex, vectors_ME: Float32) -> float:
    """Taking the first hundredth of the rows out and adding as many."""
    begin = time.perf_counter()
    gone_N = np.arange(len(index.items)) < len(vectors_ME)
    index.without(gone_N).added(vectors_ME, made_up(len(vectors_ME), first=len(index.items)))
    return time.perf_counter() - begin


def print_kinds() -> None:
    """A row for each kind."""
    source = Clusters(101, WIDTH)
    vectors_NE, more_ME = source.draw(0, VIDEOS), source.draw(1, VIDEOS // 100)
    print(f"\n## Kinds of index, {VIDEOS:,} x {WIDTH}, {faiss().omp_get_max_threads()} threads of FAISS\n")
    print(
        "| kind | factory | agreement at 1, 10, 50 | build s | 1 % changed, s | bytes a vector "
        f"| queries/s, one by one | 256 at once |\n|{'---|' * 8}"
    )
    for kind in KINDS:
        index, seconds = make_index(vectors_NE, kind)
        with tempfile.TemporaryDirectory() as name:
            index.save(Path(name), vectors_NE)
            loaded = VectorIndex.load(Path(name))
            price = measure(loaded, Path(name), seconds)
            update_s = update_seconds(loaded, more_ME)
        search = ", ".join(f"{name} {value}" for name, value in index.about.search.items())
        agreements = " ".join(f"{share:.3f}" for share in price.agreement.values())
        print(
            f"| {kind} | {price.factory} {search} | {agreements} | {price.build_s:.2f} | {update_s:.2f} "
            f"| {price.bytes_per_vector:,.0f} | {price.single_qps:,.0f} | {price.many_qps:,.0f} |"
        )


@dataclass
class Large:
    """Ten million vectors: a part at a time goes to the index, to the exact answer, and to a file of float16 rows."""

    rows: int
    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    exact: Found | None = None

    def __post_init__(self) -> None:
        self.source = Clusters(max(1, self.rows // MEMBERS), LARGE_WIDTH)
        self.queries_QE = self.source.draw(1 << 30, QUERIES)
        self.path = self.folder / "rows.f16"

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Add to the seconds of one kind of work."""
        begin = time.perf_counter()
        yield
        self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - begin

    def parts(self) -> Iterator[Float32]:
        """The vectors, part by part; what else is done with each is timed apart."""
        with self.path.open("wb") as file:
            for number, first in enumerate(range(0, self.rows, PART)):
                with self.timed("drawing"):
                    vectors_ME = self.source.draw(number, min(PART, self.rows - first))
                with self.timed("exact search"):
                    self._compare(vectors_ME, first)
                with self.timed("rows to disk"):
                    vectors_ME.astype(np.float16).tofile(file)
                yield vectors_ME

    def _compare(self, vectors_ME: Float32, first: int) -> None:
        similarity_QK, row_QK = faiss().knn(
            self.queries_QE, vectors_ME, NEIGHBOURS, metric=faiss().METRIC_INNER_PRODUCT
        )
        found = [(similarity_QK, row_QK + first), *([self.exact] if self.exact else [])]
        self.exact = merged(found, NEIGHBOURS)

    def vectors_of(self, rows: Int64) -> Float32:
        """Rows of the file, one read each."""
        size = 2 * LARGE_WIDTH
        with self.path.open("rb") as file:
            pieces = [os.pread(file.fileno(), size, size * row) for row in rows.tolist()]
        return np.frombuffer(b"".join(pieces), np.float16).reshape(len(rows), LARGE_WIDTH).astype(np.float32)

    def agreement(self, row_QK: Int64) -> str:
        """At 1, 10 and 50."""
        assert self.exact is not None
        exact_QK = self.exact[1]
        shares = []
        for k in (1, 10, NEIGHBOURS):
            hits = [
                len({*mine[:k].tolist()} & {*theirs[:k].tolist()})
                for mine, theirs in zip(row_QK, exact_QK, strict=True)
            ]
            shares.append(f"{np.mean(hits) / k:.3f}")
        return " ".join(shares)


def print_large(rows: int, parent: Path | None) -> None:
    """Build, then a row for each nprobe."""
    print(f"\n## {rows:,} x {LARGE_WIDTH}, {FACTORY}, in parts of {PART:,}, {faiss().omp_get_max_threads()} threads\n")
    with tempfile.TemporaryDirectory(dir=parent) as name:
        large = Large(rows, Path(name))
        before = peak_gib()
        with large.timed("training"):
            empty = trained(FACTORY, large.source.draw(1 << 29, SAMPLE), 0)
        begin = time.perf_counter()
        paths = write_parts(empty, large.parts(), large.folder)
        beside = sum(large.seconds[what] for what in ("drawing", "exact search", "rows to disk"))
        large.seconds["adding"] = time.perf_counter() - begin - beside
        with large.timed("merging"):
            index = read_merged(merge(empty, paths, large.folder))
        size = sum((large.folder / file).stat().st_size for file in ("vectors.faiss", LISTS))
        print("seconds: " + ", ".join(f"{what} {seconds:.0f}" for what, seconds in large.seconds.items()))
        print(f"peak memory {peak_gib():.2f} GiB (libraries and queries alone {before:.2f})")
        print(f"{size / rows:.1f} bytes a vector; without: {4 * LARGE_WIDTH}\n")
        print_answers(large, index, Shards.read(paths, large.vectors_of))
        print(f"\npeak memory with the searches, mapped pages included: {peak_gib():.2f} GiB")


def print_answers(large: Large, index: Any, shards: Shards) -> None:
    """Agreement and speed by nprobe: of the codes, of candidates ranked by their vectors, and of the unmerged parts."""
    print(
        "| nprobe | agreement at 1, 10, 50 | ms, one by one | queries/s, many | ranked: agreement | ms "
        f"| {len(shards.indexes)} files: agreement | ms |\n|{'---|' * 8}"
    )

    def codes(queries_QE: Float32, k: int) -> Found:
        found: Found = index.search(queries_QE, k)
        return found

    def ranking(queries_QE: Float32, k: int) -> Found:
        return ranked(large.vectors_of, queries_QE, codes(queries_QE, K_FACTOR * k)[1], k)

    def sharded(queries_QE: Float32, k: int) -> Found:
        return shards.search(queries_QE, k, K_FACTOR)

    for nprobe in NPROBES:
        for each in (index, *shards.indexes):
            each.nprobe = nprobe
        cells = []
        for search in (codes, ranking, sharded):
            cells += [large.agreement(search(large.queries_QE, NEIGHBOURS)[1]), f"{single_ms(search, large):.2f}"]
        many = QUERIES / seconds_of(lambda: codes(large.queries_QE, 10))
        print(f"| {nprobe} | {cells[0]} | {cells[1]} | {many:,.0f} | {' | '.join(cells[2:])} |", flush=True)


def single_ms(search: Callable[[Float32, int], Found], large: Large) -> float:
    """Mean time of one query for ten neighbours."""
    return 1e3 * seconds_of(lambda: [search(large.queries_QE[q : q + 1], 10) for q in range(SINGLES)]) / SINGLES


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def peak_gib() -> float:
    """Most memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ten-million", action="store_true")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where 7 GB may be written")
    given = parser.parse_args([] if arguments is None else arguments)
    if given.ten_million:
        print_large(given.rows, given.folder)
    else:
        print_kinds()


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
