from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mofore.data.errors import StageError, StoreError
from mofore.data.index_settings import IndexSettings
from mofore.stages.vectors.build import build
from mofore.stages.vectors.normalize import center
from mofore.stages.vectors.on_disk import LISTS, CenteredRows, is_on_disk, lists_file
from mofore.stages.vectors.update import updated
from mofore.stages.vectors.vector_index import About, VectorIndex

from ..drawn_vectors import clustered, indexed, items

COUNT, WIDTH = 12_000, 32
EMBEDDINGS, MEAN = clustered(COUNT, WIDTH), clustered(1, WIDTH, seed=3)[0] / 10
IN_FIVE = IndexSettings(part_mb=1)  # 1 MB is of 7,812 vectors
KINDS = ("IVF32,Flat", "IVF32,PQ8x4np", "PCA16,IVF16,Flat")


def made(kind: str, folder: Path, *, part_mb: int) -> VectorIndex:
    settings = IndexSettings(kind=kind, part_mb=part_mb)
    folder.mkdir(exist_ok=True)
    with lists_file(folder) as data:
        built = build(CenteredRows(EMBEDDINGS, MEAN), settings, data=data)
        about = About("mofore", "video", "model", kind, built.factory, built.search, built.why, {})
        VectorIndex(built.index, items(COUNT), MEAN, about, embeddings=EMBEDDINGS).save(folder, EMBEDDINGS)
    return VectorIndex.load(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_merged_on_disk_answer_as_an_index_in_memory(kind: str, tmp_path: Path) -> None:
    whole, parts = made(kind, tmp_path / "whole", part_mb=0), made(kind, tmp_path / "parts", part_mb=1)
    assert is_on_disk(parts.faiss_index)
    assert not is_on_disk(whole.faiss_index)
    assert "made in 2 parts, merged on disk" in parts.about.why
    assert parts.about.search == whole.about.search
    queries = parts.centered(clustered(200, WIDTH, seed=9))
    allowed = np.arange(COUNT) % 3 == 0
    for given in (None, allowed):
        for ours, theirs in zip(parts.search(queries, 20, given), whole.search(queries, 20, given), strict=True):
            assert np.array_equal(ours, theirs)
    assert {path.name for path in (tmp_path / "parts").iterdir()} - {
        path.name for path in (tmp_path / "whole").iterdir()
    } == {LISTS}


def test_it_can_be_moved(tmp_path: Path) -> None:
    queries = clustered(10, WIDTH, seed=9)
    before = made("IVF32,Flat", tmp_path / "here", part_mb=1).search(queries, 5)
    (tmp_path / "here").rename(tmp_path / "there")
    moved = VectorIndex.load(tmp_path / "there").search(queries, 5)
    assert np.array_equal(before[1], moved[1])


def test_a_search_leaves_its_lists_as_they_are(tmp_path: Path) -> None:
    index = made("IVF32,Flat", tmp_path, part_mb=1)
    before = (tmp_path / LISTS).read_bytes()
    with pytest.raises(RuntimeError):
        index.faiss_index.add_with_ids(EMBEDDINGS[:1], np.array([COUNT]))
    assert (tmp_path / LISTS).read_bytes() == before


def test_lists_that_are_cut_off_are_no_index(tmp_path: Path) -> None:
    made("IVF32,Flat", tmp_path, part_mb=1)
    content = (tmp_path / LISTS).read_bytes()
    (tmp_path / LISTS).write_bytes(content[: len(content) // 2])
    with pytest.raises(
        StoreError, match=r"vectors.ivfdata' holds [\d,]+ of [\d,]+ bytes\): run `mofore index --force`"
    ):
        VectorIndex.load(tmp_path)
    (tmp_path / LISTS).unlink()
    with pytest.raises(StoreError, match="run `mofore index --force`"):
        VectorIndex.load(tmp_path)


def test_lists_of_an_earlier_index_go(tmp_path: Path) -> None:
    made("IVF32,Flat", tmp_path, part_mb=1)
    made("IVF32,Flat", tmp_path, part_mb=0)
    assert not (tmp_path / LISTS).exists()


def test_kinds_without_lists_are_made_in_memory(tmp_path: Path) -> None:
    index = made("HNSW8,Flat", tmp_path, part_mb=1)
    assert "in memory, since index.part_mb is for kinds with lists" in index.about.why
    assert not (tmp_path / LISTS).exists()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import os; os.abort()", r"it was killed; is the disk full\? They take [\d,]+ bytes there twice"),
        ("raise RuntimeError('lists of another kind')", "RuntimeError: lists of another kind"),
    ],
)
def test_what_breaks_off_says_why_and_leaves_nothing(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "script.py").write_text(script)
    monkeypatch.setattr("mofore.stages.vectors.on_disk.merge_lists", lambda: str(tmp_path / "script.py"))
    with pytest.raises(StageError, match=rf"could not be merged into .* \({message}\)"):
        made("IVF32,Flat", tmp_path / "index", part_mb=1)
    assert list((tmp_path / "index").iterdir()) == []


def test_faiss_tells_nothing_on_the_standard_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made("IVF32,Flat", tmp_path, part_mb=1)
    assert capfd.readouterr().out == ""


def test_it_is_made_anew_rather_than_updated() -> None:
    from mofore.stages.vectors.update import find_previous

    previous = indexed(EMBEDDINGS, "ivf")
    assert updated(previous, previous.items, EMBEDDINGS, IndexSettings(kind="ivf")) is not None
    assert find_previous(Path("nowhere"), "model", IndexSettings(kind="ivf", part_mb=1)) is None


def test_centred_rows_are_what_centring_all_gives() -> None:
    rows, whole = CenteredRows(EMBEDDINGS, MEAN), center(EMBEDDINGS, MEAN)
    assert rows.shape == whole.shape
    assert len(rows) == COUNT
    for some in (slice(5, 90), np.array([3, 1]), np.array([[0, 1], [2, 3]])):
        assert np.array_equal(rows[some], whole[some])


def test_settings_of_both_ways_differ() -> None:
    assert replace(IN_FIVE, part_mb=0).identity() != IN_FIVE.identity()
