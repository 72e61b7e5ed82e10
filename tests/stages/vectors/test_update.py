"""An approximate index follows the catalogue without being trained anew."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mofore.data.index_settings import IndexSettings
from mofore.stages.vectors.update import find_previous, updated
from mofore.stages.vectors.vector_index import Items, VectorIndex

from ..drawn_vectors import agreement, clustered, indexed

EMBEDDINGS = clustered(1100)


def named(numbers: np.ndarray) -> Items:
    rows = [{"id": f"v{n:05d}", "label": None, "group": None, "role": "test"} for n in numbers]
    return Items(tuple(rows), np.arange(len(rows)))


def moved(kind: str, numbers: np.ndarray, embeddings: np.ndarray | None = None) -> VectorIndex | None:
    """An index of the first thousand, brought to others."""
    previous = indexed(EMBEDDINGS[:1000], kind)
    return updated(
        previous, named(numbers), EMBEDDINGS[numbers] if embeddings is None else embeddings, IndexSettings(kind=kind)
    )


@pytest.mark.parametrize("kind", ["ivf", "hnsw", "ivfpq"])
def test_rows_are_in_the_new_order(kind: str, tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).permutation(1100)[:1000]
    index = moved(kind, numbers)
    assert index is not None
    index.save(tmp_path, index.embeddings_NE)
    index = VectorIndex.load(tmp_path)
    assert [index.items.of(row)["id"] for row in range(5)] == [f"v{n:05d}" for n in numbers[:5]]
    queries = index.vectors(np.arange(100))
    assert (index.search(queries, 1)[1][:, 0] == np.arange(100)).mean() > 0.95
    assert agreement(index, queries, 10) > 0.9
    added, removed = int((numbers >= 1000).sum()), 1000 - int((numbers < 1000).sum())
    assert (index.about.added, index.about.removed) == (added, removed)
    assert index.about.why.startswith(f"not trained anew (items added since it was: {added}, removed: {removed}); ")


def test_the_mean_stays() -> None:
    index = moved("ivf", np.arange(900, 1000), EMBEDDINGS[900:1000])
    assert index is None, "nine tenths are gone"
    index = moved("ivf", np.arange(100, 1000))
    assert index is not None
    assert np.array_equal(index.mean_E, indexed(EMBEDDINGS[:1000], "ivf").mean_E)


def test_a_changed_video_is_removed_and_added() -> None:
    changed = EMBEDDINGS[:1000].copy()
    changed[7] = EMBEDDINGS[1050]
    index = moved("ivf", np.arange(1000), changed + np.float32(1e-7))
    assert index is not None
    assert (index.about.added, index.about.removed) == (1, 1)
    assert index.search(index.centered(EMBEDDINGS[1050:1051]), 1)[1].tolist() == [[7]]


def test_nothing_changed_is_nothing_done() -> None:
    index = moved("hnsw", np.arange(1000))
    assert index is not None
    assert (index.about.added, index.about.removed, index.faiss_index.ntotal) == (0, 0, 1000)


def test_many_small_changes_end_in_training() -> None:
    index: VectorIndex | None = indexed(EMBEDDINGS[:1000], "ivf")
    for last in (950, 900, 850, 800, 750):
        assert index is not None
        index = updated(index, named(np.arange(last)), EMBEDDINGS[:last], IndexSettings(kind="ivf"))
    assert index is None


def test_clips_are_told_apart_by_their_number_in_the_video() -> None:
    video = np.repeat(np.arange(250), 4)
    rows = named(np.arange(250)).videos
    clips = Items(rows, video, np.arange(1000.0), np.arange(1000.0) + 1)
    previous = replace(indexed(EMBEDDINGS[:1000], "ivf"), items=clips)
    less = clips.taken(np.flatnonzero(video != 30))
    index = updated(previous, less, EMBEDDINGS[:1000][video != 30], IndexSettings(kind="ivf"))
    assert index is not None
    assert (index.about.added, index.about.removed, len(index.items)) == (0, 4, 996)
    assert index.search(index.vectors(np.array([500])), 1)[1].tolist() == [[500]]


def test_too_few_left_for_the_kind_is_built_anew() -> None:
    previous = indexed(EMBEDDINGS[:640], "ivfpq")
    assert updated(previous, named(np.arange(600)), EMBEDDINGS[:600], IndexSettings(kind="ivfpq")) is None


@pytest.mark.parametrize(
    ("kind", "wanted", "model", "usable"),
    [
        ("ivf", {"kind": "ivf"}, "model", True),
        ("ivf", {"kind": "ivf", "recall": 0.5}, "model", True),
        ("ivf", {"kind": "ivf", "center": False}, "model", False),
        ("ivf", {"kind": "hnsw"}, "model", False),
        ("ivf", {"kind": "ivf"}, "other", False),
        ("flat", {"kind": "flat"}, "model", False),
    ],
)
def test_a_predecessor_is_of_the_same_model_and_kind(
    kind: str, wanted: dict[str, object], model: str, usable: bool, tmp_path: Path
) -> None:
    indexed(EMBEDDINGS[:100], kind).save(tmp_path, EMBEDDINGS[:100])
    assert (find_previous(tmp_path, model, IndexSettings(**wanted)) is not None) == usable  # type: ignore[arg-type]


def test_a_damaged_predecessor_is_none(tmp_path: Path) -> None:
    indexed(EMBEDDINGS[:100], "ivf").save(tmp_path, EMBEDDINGS[:100])
    (tmp_path / "vectors.faiss").write_bytes(b"")
    assert find_previous(tmp_path, "model", IndexSettings(kind="ivf")) is None
    assert find_previous(tmp_path / "nowhere", "model", IndexSettings(kind="ivf")) is None
