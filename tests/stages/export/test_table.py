"""The map of exported vectors, and the files that hold them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from mofore.data.errors import UsageError
from mofore.stages.export import parquet, plain_files
from mofore.stages.export.parquet import FramePart
from mofore.stages.export.table import COLUMNS, EmbeddingTable, Row, principal_plane

ROWS = (
    Row("=cmd|x.mp4", "/videos/=cmd|x.mp4", label="@home", group="g01", split="train"),
    Row("b\tb.mp4", None, 0.5, 2.0, None, None, "test"),
    Row("bad\udcff.mp4", "/videos/bad\udcff.mp4", label="a;b"),
)
ABOUT = {"space": "mofore", "centered": True}


@pytest.fixture
def table() -> EmbeddingTable:
    return EmbeddingTable.of(ROWS, np.random.default_rng(0).standard_normal((3, 4), np.float32), ABOUT)


def test_the_map_is_the_plane_of_largest_variance() -> None:
    vectors_NE = np.random.default_rng(0).standard_normal((200, 6)) @ np.diag([5, 3, 1, 1, 1, 1]) + 7
    left_NR, scale_R, _ = np.linalg.svd(vectors_NE - vectors_NE.mean(axis=0), full_matrices=False)
    plane_N2 = principal_plane(vectors_NE.astype(np.float32))
    assert np.allclose(np.abs(plane_N2), np.abs(left_NR * scale_R)[:, :2], atol=1e-3)
    assert np.array_equal(principal_plane(vectors_NE.astype(np.float32)), plane_N2)


def test_the_map_of_few_vectors_has_two_coordinates() -> None:
    assert principal_plane(np.zeros((0, 3), np.float32)).shape == (0, 2)
    assert not principal_plane(np.ones((1, 3), np.float32)).any()
    assert principal_plane(np.array([[0.0], [2.0]], np.float32)).tolist() == [[-1, 0], [1, 0]]


def test_parquet_holds_a_fixed_size_list_and_where_it_comes_from(table: EmbeddingTable, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet.write_embeddings(tmp_path / "e.parquet", table)
    read = pa.parquet.read_table(tmp_path / "e.parquet")
    assert read.schema.names == [*COLUMNS, "embedding"]
    assert read.schema.field("embedding").type == pa.list_(pa.float32(), 4)
    assert read.schema.field("start_s").type == pa.float64()
    assert np.array_equal(np.array(read["embedding"].to_pylist(), np.float32), table.vectors_NE)
    assert read["id"].to_pylist() == ["=cmd|x.mp4", "b\tb.mp4", "bad?.mp4"], "no cell of Parquet is a formula"
    assert read["start_s"].to_pylist() == [None, 0.5, None]
    assert json.loads(read.schema.metadata[b"mofore"]) == ABOUT
    assert [path.name for path in tmp_path.iterdir()] == ["e.parquet"]


def test_npy_and_csv_have_the_same_rows(table: EmbeddingTable, tmp_path: Path) -> None:
    plain_files.write_npy(tmp_path / "e.npy", table)
    assert np.array_equal(np.load(tmp_path / "e.npy"), table.vectors_NE)
    with (tmp_path / "e.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        head, *lines = csv.reader(file)
    assert tuple(head) == COLUMNS
    assert [line[0] for line in lines] == ["'=cmd|x.mp4", "b\tb.mp4", "bad\udcff.mp4"]
    assert lines[0][4] == "'@home"
    assert [float(line[7]) for line in lines] == table.plane_N2[:, 0].tolist(), "negative numbers stay numbers"


def test_the_projector_reads_what_was_written(table: EmbeddingTable, tmp_path: Path) -> None:
    plain_files.write_projector(tmp_path, table)
    tensors = np.loadtxt(tmp_path / "tensors.tsv", delimiter="\t")
    assert np.allclose(tensors, table.vectors_NE, rtol=1e-6)
    head, *lines = (tmp_path / "metadata.tsv").read_text(encoding="utf-8").split("\n")[:-1]
    assert head.split("\t") == [*COLUMNS]
    assert {len(line.split("\t")) for line in lines} == {len(COLUMNS)}
    assert [line.split("\t")[0] for line in lines] == ["'=cmd|x.mp4", "b b.mp4", "bad?.mp4"]
    assert 'tensor_path: "tensors.tsv"' in (tmp_path / "projector_config.pbtxt").read_text()


def parts() -> list[FramePart]:
    """Three parts of two videos."""
    draw = np.random.default_rng(0).standard_normal
    made = ((ROWS[0], 0, 3), (ROWS[0], 3, 2), (ROWS[1], 0, 4))
    return [FramePart(row, first, draw((n, 5)).astype(np.float16), np.arange(n) * 0.04) for row, first, n in made]


def test_features_are_written_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pa = pytest.importorskip("pyarrow")
    monkeypatch.setattr(parquet, "GROUP_BYTES", 4 * 5 * 4)  # four frames
    assert parquet.write_features(tmp_path / "f.parquet", iter(parts()), 5, ABOUT) == 9
    file = pa.parquet.ParquetFile(tmp_path / "f.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [3, 2, 4]
    read = file.read()
    assert read["frame"].to_pylist() == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert read["split"].to_pylist() == ["train"] * 5 + ["test"] * 4
    expected_ND = np.concatenate([part.features_TD for part in parts()])
    assert np.array_equal(np.array(read["feature"].to_pylist(), np.float32), expected_ND.astype(np.float32))
    assert plain_files.write_features_npy(tmp_path / "f.npy", iter(parts()), (9, 5)) == 9
    assert np.array_equal(np.load(tmp_path / "f.npy"), expected_ND)
    assert len((tmp_path / "f.csv").read_text().splitlines()) == 10


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> object:
        yield parts()[0]
        raise OSError("the disk is full")

    pytest.importorskip("pyarrow")
    with pytest.raises(OSError, match="full"):
        parquet.write_features(tmp_path / "f.parquet", failing(), 5, ABOUT)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="full"):
        plain_files.write_features_npy(tmp_path / "f.npy", failing(), (9, 5))  # type: ignore[arg-type]
    assert [*tmp_path.iterdir()] == []


def test_without_pyarrow_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'mofore\[export\]', or take --format npy"):
        parquet.arrow()
