"""What indexes cost: every kind at UCF101's size.

Vectors are unit vectors in 101 clusters, spread within a cluster along 24 directions that all clusters share
and a little in every other: neighbours that mean something, which isotropic noise has not.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mofore.data.arrays import Float32
from mofore.data.index_settings import IndexSettings
from mofore.stages.vectors.build import build
from mofore.stages.vectors.cost import measure
from mofore.stages.vectors.faiss_library import faiss
from mofore.stages.vectors.normalize import l2_normalize
from mofore.stages.vectors.vector_index import About, Items, VectorIndex

KINDS = ("flat", "ivf", "hnsw", "ivfpq")
VIDEOS, WIDTH = 13_320, 512
DIRECTIONS = 24


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


def main() -> None:
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


if __name__ == "__main__":
    main()
