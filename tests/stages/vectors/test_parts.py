"""What is built in parts, or searched in parts, is what one piece would have been."""

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mofore.data.errors import StageError, StoreError
from mofore.stages.vectors.build import fill, trained
from mofore.stages.vectors.faiss_library import faiss
from mofore.stages.vectors.parts import LISTS, Shards, build_in_parts, read_merged, write_parts

from . import brute_force, clustered

FACTORY = "IVF16,PQ8x4np"
VECTORS = clustered(1500)


def parts(sizes: tuple[int, ...] = (700, 1, 799)) -> Iterator[np.ndarray]:
    first = 0
    for size in sizes:
        yield VECTORS[first : first + size]
        first += size


@pytest.mark.parametrize("factory", [FACTORY, "IVF16,Flat", "PCA16,IVF16,PQ8x4np"])
def test_parts_merged_on_disk_equal_one_build(factory: str, tmp_path: Path) -> None:
    merged = read_merged(build_in_parts(parts(), factory, VECTORS, tmp_path))
    whole = fill(trained(factory, VECTORS, 0), VECTORS)
    assert merged.ntotal == 1500
    for nprobe in (1, 4, 16):
        for index in (merged, whole):
            faiss().extract_index_ivf(index).nprobe = nprobe
        mine, theirs = merged.search(VECTORS[:50], 10), whole.search(VECTORS[:50], 10)
        assert np.allclose(mine[0], theirs[0], atol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vectors.faiss", "vectors.ivfdata"]


def test_a_merged_index_can_be_moved(tmp_path: Path) -> None:
    path = build_in_parts(parts(), FACTORY, VECTORS, tmp_path / "here")
    before = read_merged(path).search(VECTORS[:5], 3)[1]
    there = Path(shutil.move(tmp_path / "here", tmp_path / "there"))
    assert np.array_equal(read_merged(there / path.name).search(VECTORS[:5], 3)[1], before)


def test_missing_lists_are_said(tmp_path: Path) -> None:
    path = build_in_parts(parts(), FACTORY, VECTORS, tmp_path)
    (tmp_path / LISTS).unlink()
    with pytest.raises(StoreError, match="or its lists cannot be read"):
        read_merged(path)


def test_only_lists_can_be_merged(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="'HNSW8' has no inverted lists"):
        build_in_parts(parts(), "HNSW8", VECTORS, tmp_path)


@pytest.mark.parametrize("k", [1, 10, 700, 2000])
def test_exact_shards_equal_one_exact_index(k: int, tmp_path: Path) -> None:
    vectors = np.concatenate([VECTORS[:200], VECTORS[:200], VECTORS[:33]])
    cuts = (0, 200, 201, 433)
    pieces = [vectors[begin:end] for begin, end in pairwise(cuts)]
    shards = Shards.read(write_parts(faiss().IndexFlatIP(32), pieces, tmp_path))
    found, expected = shards.search(vectors[:9], k), brute_force(vectors[:9], vectors, k)
    assert np.array_equal(found[1], expected[1])
    assert np.array_equal(found[0], expected[0])


def test_approximate_shards_find_what_the_merged_index_finds(tmp_path: Path) -> None:
    empty = trained("IVF16,Flat", VECTORS, 0)
    shards = Shards.read(write_parts(empty, parts(), tmp_path), VECTORS.__getitem__)
    whole = fill(trained("IVF16,Flat", VECTORS, 0), VECTORS)
    for index in (*shards.indexes, whole):
        index.nprobe = 3
    assert np.array_equal(shards.search(VECTORS[:50], 10)[1], whole.search(VECTORS[:50], 10)[1])


def test_ranking_by_true_vectors_finds_more(tmp_path: Path) -> None:
    paths = write_parts(trained(FACTORY, VECTORS, 0), parts(), tmp_path)
    plain, ranked = Shards.read(paths), Shards.read(paths, VECTORS.__getitem__)
    for index in (*plain.indexes, *ranked.indexes):
        index.nprobe = 16
    exact = brute_force(VECTORS[:40], VECTORS, 10)[1]

    def agreement(rows: np.ndarray) -> float:
        return float(np.mean([len({*mine} & {*theirs}) / 10 for mine, theirs in zip(rows, exact, strict=True)]))

    assert agreement(ranked.search(VECTORS[:40], 10, k_factor=20)[1]) > agreement(plain.search(VECTORS[:40], 10)[1])


def test_no_shards_find_nothing() -> None:
    assert Shards((), ()).search(VECTORS[:2], 5)[1].shape == (2, 0)
