"""A data set that a table describes: segments, three sides, several classes a video; and the folders around it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import Result

from mofore.data.arrays import Float32
from mofore.stages.vectors.vector_index import VectorIndex
from mofore.tests.conftest import TINY
from mofore.tests.sound import write_sound

Command = Callable[..., Result]
BACKBONE = ("--backbone", "random:test_efficientnet", "--no-estimate", "--set", "extract.compile=off")
CUTS = ((0.0, 0.5), (0.5, 1.0))  # seconds; the drawn clips have 24 frames, 25 a second


@pytest.fixture
def table(videos: Path, tmp_path: Path) -> Path:
    """Two segments of every clip, in turn of one class, another, or both; on three sides."""
    names = sorted(path.relative_to(videos).with_suffix("").as_posix() for path in videos.rglob("*.avi"))
    path = tmp_path / "videos.csv"
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["video", "label", "split", "start_s", "end_s", "camera"])
        rows = [(name, *cut) for name in names for cut in CUTS]
        for number, (name, start_s, end_s) in enumerate(rows):
            label = ("push;pull", "push", "pull", "lift")[number * 7 % 4]
            side = ("train", "train", "test", "val", "train")[number % 5]
            writer.writerow([name, label, side, start_s, end_s, f"camera {number % 2}"])
    return path


def features(work: Path) -> dict[str, tuple[Float32, list[float]]]:
    found = {}
    for path in (work / "features").glob("*/*.h5"):
        with h5py.File(path) as file:
            offsets = file["offsets"][:]
            for row, name in enumerate(file["video_id"].asstr()[:]):
                part = slice(offsets[row], offsets[row + 1])
                found[name] = (file["features"][part], file["times_s"][part].tolist())
    return found


def test_segments_have_the_features_of_their_frames(mofore: Command, videos: Path, table: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert mofore("init", videos, "-w", whole, *BACKBONE, *TINY).exit_code == 0
    said = mofore("init", videos, "-w", cut, "--table", table, *BACKBONE, *TINY)
    assert "40 videos, 3 classes" in said.output
    assert "split table: 24 to train on, 8 to test on, 8 more in val" in said.output
    for work in (whole, cut):
        assert mofore("extract", "-w", work).exit_code == 0
    of_whole, of_cut = features(whole), features(cut)
    for name, (all_TD, all_s) in of_whole.items():
        times_s = np.array(all_s)
        for start_s, end_s in CUTS:
            part_TD, part_s = of_cut[f"{name}#t={start_s:g},{end_s:g}"]
            inside_T = (times_s - times_s[0] >= start_s - 0.002) & (times_s - times_s[0] < end_s - 0.002)
            assert part_s == times_s[inside_T].tolist()
            np.testing.assert_array_equal(part_TD, all_TD[inside_T])
    assert json.loads(mofore("status", "-w", cut, "--json").output)["stages"]["extract"]["action"] == "skip"


def by_hand(index: VectorIndex) -> tuple[float, float, float]:
    """R@1, R@5 and mAP in percent, in plain loops: found is what shares a class with the query."""
    videos = index.items.videos
    classes = [set(video.get("labels") or [video["label"]]) for video in videos]
    vectors = index.vectors(np.arange(len(videos))).astype(np.float64)
    first, fifth, precision = [], [], []
    for query, video in enumerate(videos):
        if video["role"] != "test":
            continue
        gallery = [other for other in range(len(videos)) if videos[other]["role"] == "train"]
        gallery.sort(key=lambda other: -float(vectors[query] @ vectors[other]))
        right = [bool(classes[query] & classes[other]) for other in gallery]
        first.append(right[0])
        fifth.append(any(right[:5]))
        hits = [rank for rank, is_right in enumerate(right, 1) if is_right]
        precision.append(np.mean([count / rank for count, rank in enumerate(hits, 1)]))
    return 100 * float(np.mean(first)), 100 * float(np.mean(fifth)), 100 * float(np.mean(precision))


def test_a_whole_run_from_a_table(mofore: Command, videos: Path, table: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    mofore("init", videos, "-w", work, "--table", table, *BACKBONE, *TINY)
    result = mofore("run", "-w", work)
    assert result.exit_code == 0, result.output
    metrics = json.loads((work / "metrics.json").read_text())
    (folder,) = (work / "index").glob("*/mofore.video")
    row = metrics["retrieval"]["mofore"]
    assert (row["R@1"], row["R@5"], row["mAP"]) == pytest.approx(by_hand(VectorIndex.load(folder)), abs=1e-4)
    assert metrics["protocol"]["split"] == "table"
    assert {"table", "table, val"} <= set(metrics["protocols"])
    answer = json.loads(mofore("search", "-w", work, next(iter(features(work))), "--json").output)
    assert all(found["metadata"]["camera"].startswith("camera") for found in answer["neighbours"])
    asked = set(answer["label"].split(";"))
    assert all(found["right"] == bool(asked & set(found["label"].split(";"))) for found in answer["neighbours"])
    found = json.loads(
        mofore("search", "-w", work, next(iter(features(work))), "--split", "val", "-k", "40", "--json").output
    )
    assert len(found["neighbours"]) in (7, 8)
    assert (
        "there are: test, train, unassigned, val"
        in mofore("search", "-w", work, next(iter(features(work))), "--split", "dev").stderr
    )
    table.write_text(table.read_text().replace(",val,", ",test,"))
    plan = json.loads(mofore("status", "-w", work, "--json").output)["stages"]
    assert [plan[stage]["action"] for stage in ("extract", "fit", "index")] == ["skip", "skip", "run"]
    assert plan["index"]["reasons"] == ["classes, recordings, sides or other columns of videos changed"]


def test_segments_that_the_video_does_not_have_are_named(mofore: Command, videos: Path, tmp_path: Path) -> None:
    name = min(path.relative_to(videos).as_posix() for path in videos.rglob("*.avi"))
    path = tmp_path / "t.csv"
    path.write_text(f"video,start_s,end_s\n{name},0,0.5\n{name},90,95\n")
    mofore("init", videos, "-w", tmp_path / "w", "--table", path, *BACKBONE)
    result = mofore("extract", "-w", tmp_path / "w")
    assert result.exit_code == 3
    assert f"{name}#t=90,95: no frame in 90.00-95.00 s: is the video that long?" in result.stderr


def test_segments_that_end_after_their_file_are_told(mofore: Command, videos: Path, tmp_path: Path) -> None:
    names = sorted(path.relative_to(videos).as_posix() for path in videos.rglob("*.avi"))
    cuts = ["0,0.5", "0.5,1", "0.5,3", "0.25,2", "0.5,"]  # of 0.96 s
    rows = [f"{names[0]},{cut}" for cut in cuts] + [f"{name},," for name in names[1:]] + [f"{names[0]},90,95"]
    path, work = tmp_path / "t.csv", tmp_path / "w"
    path.write_text("video,start_s,end_s\n" + "\n".join(rows) + "\n")
    mofore("init", videos, "-w", work, "--table", path, *BACKBONE, *TINY, "--set", "data.layout=none")
    told = mofore("run", "-w", work).stderr
    ends = "2 segments end after their files, and are stored up to there: "
    assert f"{ends}'{names[0]}#t=0.5,3' by about 2.1 s, '{names[0]}#t=0.25,2' by about 1.1 s" in " ".join(told.split())
    refused = mofore("search", f"{names[0]}#t=90.0,95", "-w", work)
    assert refused.exit_code == 2
    assert f"'{names[0]}#t=90,95' is not in the index: it could not be read (no frame in 90.00-95.00" in refused.stderr
    name = Path(names[0]).stem
    assert mofore("search", f"{name}#t=0.50,3.0", "-w", work).exit_code == 0
    assert "its 5 segments are: give one of" in mofore("search", name, "-w", work).stderr


def test_sound_beside_videos_is_no_failure(mofore: Command, videos: Path, tmp_path: Path) -> None:
    folder = next(path.parent for path in videos.rglob("*.avi"))
    write_sound(folder / "song.ogg")
    write_sound(folder / "song.mp4")
    write_sound(folder / "song.wav")
    said = mofore("init", videos, "-w", tmp_path / "w", *BACKBONE, "--set", "extract.max_failure_rate=0")
    assert "21 videos" in said.output  # whether an .mp4 has pictures shows when it is read
    result = mofore("extract", "-w", tmp_path / "w")
    assert result.exit_code == 0
    assert "files without pictures (sound alone?), passed over: 1" in result.output
    assert "1 without pictures" in mofore("status", "-w", tmp_path / "w").output


def test_imported_features_take_classes_and_sides_from_a_table(mofore: Command, tmp_path: Path) -> None:
    folder = tmp_path / "features"
    folder.mkdir()
    for number in range(6):
        np.save(folder / f"clip{number}.npy", np.random.default_rng(number).random((20, 8), np.float32))
    rows = [f"clip{number}.mp4,{'ab'[number % 2]},{('train', 'test')[number // 4]}" for number in range(6)]
    (tmp_path / "t.csv").write_text("\n".join(["video,label,split", *rows]))
    said = mofore("import", folder, "-w", tmp_path / "w", "--table", tmp_path / "t.csv", *TINY[2:])
    assert "6 videos, 2 classes" in said.output
    assert "split table: 4 to train on, 2 to test on" in said.output
