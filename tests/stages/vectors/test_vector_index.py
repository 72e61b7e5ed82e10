import shutil
from pathlib import Path

import numpy as np
import pytest

from mofore.data.errors import StaleError, StoreError
from mofore.stages.vectors.faiss_library import faiss
from mofore.stages.vectors.normalize import l2_normalize
from mofore.stages.vectors.vector_index import VectorIndex

from ..drawn_vectors import agreement, brute_force, clustered, indexed, items

KINDS = ("flat", "ivf", "hnsw", "ivfpq", "IVF16,PQ8x4fs,RFlat", "IDMap,Flat")


def saved(index: VectorIndex, folder: Path) -> VectorIndex:
    index.save(folder, index.embeddings_NE)
    return VectorIndex.load(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_index_answers_as_the_one_that_was_saved(kind: str, tmp_path: Path) -> None:
    index = indexed(clustered(1000), kind)
    loaded = saved(index, tmp_path)
    queries = index.vectors(np.arange(50))
    for mine, theirs in zip(loaded.search(queries, 10), index.search(queries, 10), strict=True):
        assert np.array_equal(mine, theirs)
    assert loaded.about == index.about


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_not_allowed_are_not_found(kind: str) -> None:
    vectors = clustered(1000)
    index, allowed = indexed(vectors, kind), np.arange(1000) % 3 == 1
    queries = index.vectors(np.arange(20))
    assert (index.search(queries, 10, allowed)[1] % 3 == 1).all()


def test_an_exact_index_finds_the_exact_allowed_rows() -> None:
    vectors = clustered(300)
    index, allowed = indexed(vectors, center=False), np.arange(300) % 3 == 1
    found = index.search(vectors[:9], 12, allowed)[1]
    assert np.array_equal(found, np.flatnonzero(allowed)[brute_force(vectors[:9], vectors[allowed], 12)[1]])


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_has_a_row_even_if_few_lists_are_looked_into(kind: str) -> None:
    index = indexed(clustered(1000), kind, recall=0.1)
    allowed = np.zeros(1000, bool)
    allowed[[5, 500, 900]] = True
    rows = index.search(index.vectors(np.arange(4)), 10, allowed)[1]
    assert np.array_equal(np.sort(rows, axis=1), np.tile([5, 500, 900], (4, 1)))
    assert index.search(index.vectors(np.arange(4)), 2000)[1].shape == (4, 1000), "k beyond the rows gives all"


@pytest.mark.parametrize("kind", KINDS)
def test_equal_vectors_are_equally_similar_and_go_by_row(kind: str) -> None:
    index = indexed(np.tile(clustered(500), (2, 1)), kind, recall=1.0)
    similarity, rows = index.search(index.vectors(np.arange(30)), 2)
    assert np.array_equal(rows, np.stack([np.arange(30), np.arange(500, 530)], axis=1))
    assert np.array_equal(similarity[:, 0], similarity[:, 1])


@pytest.mark.parametrize(("queries", "k"), [(0, 5), (3, 0), (3, -1)])
def test_nothing_asked_is_nothing_found(queries: int, k: int) -> None:
    index = indexed(clustered(20))
    assert index.search(index.vectors(np.arange(queries)), k)[1].shape == (queries, max(k, 0))


def test_an_empty_index_has_nothing_to_find(tmp_path: Path) -> None:
    index = saved(indexed(clustered(0), "ivfpq"), tmp_path)
    assert index.search(clustered(2), 5)[1].shape == (2, 0)


def test_another_model_is_refused(tmp_path: Path) -> None:
    indexed(clustered(20)).save(tmp_path, clustered(20))
    assert len(VectorIndex.load(tmp_path, model="model").items) == 20
    with pytest.raises(StaleError, match="was made by the model model, the query would be made by other: run"):
        VectorIndex.load(tmp_path, model="other")


@pytest.mark.parametrize("name", ["vectors.faiss", "items.json", "embeddings.safetensors", "index.json"])
def test_a_missing_or_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    indexed(clustered(20)).save(tmp_path / "whole", clustered(20))
    for content in (None, b"", b"\0" * 40):
        folder = Path(shutil.copytree(tmp_path / "whole", tmp_path / f"broken{content!r:.4}"))
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        with pytest.raises(StoreError, match=r"run `mofore index --force`"):
            VectorIndex.load(folder)
        shutil.rmtree(folder)


def test_vectors_that_are_not_of_the_items_are_refused(tmp_path: Path) -> None:
    indexed(clustered(20)).save(tmp_path, clustered(20))
    faiss().write_index(indexed(clustered(21)).faiss_index, str(tmp_path / "vectors.faiss"))
    with pytest.raises(StoreError, match="21 vectors of 20 items"):
        VectorIndex.load(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_added_and_removed_without_training(kind: str, tmp_path: Path) -> None:
    embeddings = clustered(1200)
    index = indexed(embeddings[:1000], kind, recall=0.99)
    gone = np.arange(1000) % 10 == 0
    changed = saved(index.without(gone).added(embeddings[1000:], items(200, first=1000)), tmp_path)
    left = np.concatenate([embeddings[:1000][~gone], embeddings[1000:]])
    assert np.array_equal(changed.embeddings_NE, left)
    assert np.array_equal(changed.vectors(np.arange(1100)), l2_normalize(left - index.mean_E))
    assert [changed.items.of(row)["id"] for row in (0, 899, 900, 1099)] == ["v00001", "v00999", "v01000", "v01199"]
    assert (changed.about.added, changed.about.removed) == (200, 100)
    assert agreement(changed, changed.vectors(np.arange(0, 1100, 9)), 10) > 0.9
    assert len(index.items) == 1000, "the index it came from is as it was"
    assert index.faiss_index.ntotal == 1000


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_removed_can_come_again(kind: str) -> None:
    embeddings = clustered(1000)
    index = indexed(embeddings, kind, recall=0.99)
    last = np.arange(1000) >= 900
    again = index.without(last).added(embeddings[900:], items(100, first=900))
    found = again.search(again.vectors(np.arange(850, 950)), 1)[1]
    assert (found[:, 0] == np.arange(850, 950)).mean() > 0.95


def test_an_exact_index_that_was_changed_is_the_one_built_anew() -> None:
    embeddings = clustered(120)
    changed = indexed(embeddings[:100], center=False).without(np.arange(100) < 30)
    changed = changed.added(embeddings[100:], items(20, first=100))
    anew = indexed(embeddings[30:], center=False)
    for mine, theirs in zip(changed.search(embeddings, 15), anew.search(embeddings, 15), strict=True):
        assert np.array_equal(mine, theirs)
