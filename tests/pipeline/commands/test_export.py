"""`mofore export` and `mofore embed`: what other tools read is what the run holds."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

import mofore as package
from mofore.data.errors import MoforeError
from mofore.pipeline.commands import export as exporting
from mofore.pipeline.commands.embed import embed_files

Command = Callable[..., Result]
ORBIT = "Orbit/v_Orbit_g01_c01.avi"


@pytest.fixture
def run(finished: Path) -> package.Run:
    return package.open(finished)


@pytest.fixture
def exported(run: package.Run, tmp_path: Path) -> Path:
    pytest.importorskip("pyarrow")
    run.export_embeddings(tmp_path / "e.parquet")
    return tmp_path / "e.parquet"


def neighbours(run: package.Run) -> list[str]:
    return [found.video_id for found in run.search(ORBIT, k=5)]


def test_duckdb_finds_the_neighbours_of_a_search(run: package.Run, exported: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    width = len(run.embeddings().mean)
    found = duckdb.sql(f"""
        with videos as (select id, embedding::FLOAT[{width}] as v from '{exported}')
        select id from videos where id != '{ORBIT}'
        order by array_cosine_similarity(v, (select v from videos where id = '{ORBIT}')) desc limit 5
    """).fetchall()
    assert [video for (video,) in found] == neighbours(run)


def test_polars_reads_arrays(run: package.Run, exported: Path) -> None:
    polars = pytest.importorskip("polars")
    read = polars.read_parquet(exported)
    width = len(run.embeddings().mean)
    assert read.schema["embedding"] == polars.Array(polars.Float32, width)
    index = run.session.searcher("mofore", "video").index
    assert read["id"].to_list() == [video["id"] for video in index.items.videos]
    assert np.array_equal(read["embedding"].to_numpy(), index.centered(index.embeddings_NE))
    assert read["path"].to_list() == [str(run.path / "videos" / video) for video in read["id"]]
    assert set(read["split"]) == {"train", "test"}
    assert np.allclose(read["x"].mean(), 0, atol=1e-5)


def test_lancedb_finds_the_neighbours_of_a_search(run: package.Run, exported: Path, tmp_path: Path) -> None:
    lancedb = pytest.importorskip("lancedb")
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(exported)
    made = lancedb.connect(tmp_path / "lance").create_table("videos", table)
    asked = table["embedding"][table["id"].to_pylist().index(ORBIT)].as_py()
    found = made.search(asked, vector_column_name="embedding").distance_type("cosine").limit(6).to_arrow()
    assert found["id"].to_pylist() == [ORBIT, *neighbours(run)]


def test_before_centring_they_are_those_of_the_run(run: package.Run, tmp_path: Path) -> None:
    files = run.export_embeddings(tmp_path / "e.npy", center=False)
    assert [path.name for path in files] == ["e.npy", "e.csv"]
    held = run.embeddings()
    assert np.array_equal(np.load(files[0]), held.vectors)
    with files[1].open(newline="") as file:
        assert [line["id"] for line in csv.DictReader(file)] == [*held.ids]


def test_clips_have_their_seconds(work: Path, mofore: Command, tmp_path: Path) -> None:
    sets = ("--set", "index.levels=video, clip")
    assert mofore("index", "-w", work, *sets).exit_code == 0
    done = mofore("export", "embeddings", tmp_path / "c.npy", "-w", work, "--level", "clip", *sets)
    assert done.exit_code == 0, done.output
    held = package.open(work, set={"index.levels": "video, clip"}).embeddings(level="clip")
    with (tmp_path / "c.csv").open(newline="") as file:
        lines = [*csv.DictReader(file)]
    assert held.start_s is not None
    assert [float(line["start_s"]) for line in lines] == held.start_s.tolist()
    assert len(np.load(tmp_path / "c.npy")) == len(lines)


def test_features_are_every_frame(run: package.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(exporting, "PART_BYTES", 2 * run.features.width * 7)  # seven frames
    run.export_features(tmp_path, formats=["parquet", "npy"])
    read = pq.read_table(tmp_path / "features.parquet")
    held = run.features[ORBIT]
    rows = [row for row, video in enumerate(read["id"].to_pylist()) if video == ORBIT]
    assert read["frame"].take(rows).to_pylist() == [*range(len(held))]
    assert read["time_s"].take(rows).to_pylist() == held.times_s.tolist()
    assert np.array_equal(np.array(read["feature"].take(rows).to_pylist()), held.features.astype(np.float64))
    array = np.load(tmp_path / "features.npy")
    assert array.shape == (sum(len(run.features[video]) for video in run.features), run.features.width)
    assert np.array_equal(array[rows], held.features)


def readme_code(folder: Path) -> str:
    (block,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    return block


@pytest.mark.parametrize(
    "sets",
    [
        {},
        {"fit.preset": "default", "fit.hidden_width": 16},
        {"fit.unit": "seconds", "fit.clip_stride": 0.05, "fit.gap_min": 0.0, "fit.gap_max": 0.1},
        {"fit.aggregator": "transformer", "fit.clip_length": 5, "fit.clip_stride": 8, "fit.neighbours": 0},
    ],
    ids=["views", "whole", "seconds", "short"],
)
def test_the_code_beside_the_model_makes_the_embeddings_of_the_run(
    work: Path, sets: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    run = package.open(work, set={"fit.steps": 5, "fit.passes": 0, **sets})
    run.index()
    run.export_model(work / "model")
    monkeypatch.chdir(work / "model")
    names: dict[str, Callable[..., np.ndarray]] = {}
    exec(readme_code(work / "model"), names)
    held = run.embeddings()
    for video, vector in zip(held.ids[:6], held.vectors, strict=False):
        frames = run.features[video]
        assert np.allclose(names["embed"](frames.features, frames.times_s), vector, atol=1e-5), video
    card = json.loads((work / "model/model.json").read_text())
    assert card["input"]["backbone"]["backbone"] == "random:test_efficientnet"
    assert card["output"]["embedding"]["shape"] == ["clips", len(held.mean)]
    assert max(file["difference"] for file in card["files"].values()) <= card["tolerance"] == 1e-5
    assert np.array_equal(np.load(work / "model/center.npy"), held.mean)


def test_what_cannot_be_exported_is_told(work: Path, mofore: Command, tmp_path: Path) -> None:
    (tmp_path / "e.npy").touch()
    for arguments, message in (
        (("embeddings", tmp_path / "e.npy"), "is there already: --force replaces"),
        (("embeddings", tmp_path / "e.txt"), "a file that ends in .parquet, .npy, or a folder"),
        (("embeddings", tmp_path / "x.npy", "--format", "projector"), "give a folder"),
        (("embeddings", tmp_path / "x.npy", "--space", "fits"), "spaces are mofore, frames, predict and fit:KEY"),
        (("embeddings", tmp_path / "x.npy", "--space", "fit:abc"), "is not indexed"),
        (("features", tmp_path / "e.npy" / "below", "--format", "npy"), "Not a directory"),
        (("model", tmp_path / "e.npy"), "is a file: the model goes into a folder"),
        (("model", tmp_path / "m", "--space", "frames"), "has no networks"),
        (("model", tmp_path / "m", "--space", "fit:abc"), "there is no fit 'abc'"),
        (("model", tmp_path / "m", "--set", "fit.lr=0.5", "--set", "extract.stride=2"), "run `mofore"),
    ):
        done = mofore("export", *arguments, "-w", work)
        assert done.exit_code in (1, 2), (arguments, done.output)
        assert message in done.output, (arguments, done.output)
    assert [path.name for path in tmp_path.iterdir() if path != work] == ["e.npy"]
    done = mofore("export", "embeddings", tmp_path / "e.npy", "-w", work, "--force")
    assert done.exit_code == 0
    assert len(np.load(tmp_path / "e.npy")) == 20


def test_a_run_that_was_not_fitted_has_nothing_to_export(work: Path, mofore: Command, tmp_path: Path) -> None:
    for folder in ("fit", "index"):
        shutil.rmtree(work / folder)
    for arguments, message in (
        (("export", "embeddings", tmp_path / "e.npy"), "run `mofore index -w "),
        (("export", "model", tmp_path / "m"), "run `mofore fit -w "),
        (("embed", work / "videos" / ORBIT, "-o", tmp_path / "e.npy"), "run `mofore index -w "),
    ):
        done = mofore(*arguments, "-w", work)
        assert done.exit_code == 2
        assert message in done.output


def test_new_videos_are_embedded_and_bad_ones_told(finished: Path, mofore: Command, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    shutil.copy(finished / "videos" / ORBIT, folder / "one.avi")
    (folder / "bad.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    sources = (tmp_path / "none.mp4", folder, tmp_path / "empty", finished / "videos/Bounce/v_Bounce_g01_c01.avi")
    done = mofore("embed", *sources, "-o", tmp_path / "new.npy", "-w", finished)
    assert done.exit_code == 3
    assert "3 videos could not be read" in done.output
    vectors = np.load(tmp_path / "new.npy")
    with (tmp_path / "new.csv").open(newline="") as file:
        assert [line["id"] for line in csv.DictReader(file)] == [str(folder / "one.avi"), str(sources[3])]
    index = package.open(finished).session.searcher("mofore", "video").index
    row = [video["id"] for video in index.items.videos].index(ORBIT)
    # Decoded here frame by frame instead of in the batches of extraction: sums in another order.
    assert vectors[0] @ index.centered(index.embeddings_NE)[row] > 0.9999


def test_embeddings_before_centring_need_no_index(work: Path, mofore: Command, tmp_path: Path) -> None:
    shutil.rmtree(work / "index")
    video = work / "videos" / ORBIT
    done = mofore("embed", video, "-o", tmp_path / "e.npy", "--no-center", "--space", "frames", "-w", work)
    assert done.exit_code == 0, done.output
    assert np.allclose(np.load(tmp_path / "e.npy")[0], package.open(work).embed(video, space="frames"), atol=1e-6)


def test_imported_features_have_no_path_and_embed_no_files(
    tmp_path: Path, mofore: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0).standard_normal
    (tmp_path / "arrays").mkdir()
    for number in range(6):
        np.save(tmp_path / "arrays" / f"=v{number}.npy", draw((30, 8)).astype(np.float32))
    sets = ("--set", "fit.preset=plain", "--set", "fit.steps=3", "--set", "fit.clip_length=4", "--set", "fit.gap_max=4")
    work = tmp_path / "work"
    assert mofore("import", tmp_path / "arrays", "-w", work, *sets).exit_code == 0
    assert mofore("index", "-w", work).exit_code == 0
    assert mofore("export", "embeddings", tmp_path / "e.npy", "-w", work).exit_code == 0
    with (tmp_path / "e.csv").open(newline="") as file:
        lines = [*csv.DictReader(file)]
    assert [line["id"] for line in lines] == [f"'=v{number}" for number in range(6)]
    assert {line["path"] for line in lines} == {""}
    with pytest.raises(MoforeError, match="were imported"):
        embed_files(package.open(work), [tmp_path / "arrays"], exporting.Target(tmp_path / "x.npy"))
