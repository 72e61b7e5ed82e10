"""Only what changed runs again, and `status` says so beforehand: the whole road on a drawn motion set."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from mofore.cache.checkpoint import load_arrays
from mofore.cache.ledger import Ledger
from mofore.pipeline.config import load_config
from mofore.pipeline.road import ROAD
from mofore.pipeline.snapshot import observe
from mofore.pipeline.workspace import Workspace

Command = Callable[..., Result]
ALL_SKIP = {"extract": "skip", "fit": "skip", "evaluate": "skip", "index": "skip"}


def plan_of(mofore: Command, work: Path, *args: str) -> dict[str, dict[str, object]]:
    result = mofore("status", "--json", "-w", work, *args)
    assert result.exit_code == 0, result.output
    stages: dict[str, dict[str, object]] = json.loads(result.stdout)["stages"]
    return stages


def actions(mofore: Command, work: Path, *args: str) -> dict[str, object]:
    """Of the stages of the road; the page has tests of its own."""
    return {name: stage["action"] for name, stage in plan_of(mofore, work, *args).items() if name != "report"}


def reasons(mofore: Command, work: Path, stage: str, *args: str) -> str:
    return "; ".join(plan_of(mofore, work, *args)[stage]["reasons"])  # type: ignore[arg-type]


def indexed(work: Path) -> list[dict[str, Any]]:
    return list(json.loads(next(work.glob("index/*/mofore.video/items.json")).read_text()))


def test_a_new_work_folder_runs_everything_for_the_first_time(mofore: Command, videos: Path, tmp_path: Path) -> None:
    assert mofore("init", videos, "--backbone", "random:test_efficientnet", "-w", tmp_path).exit_code == 0
    plan = plan_of(mofore, tmp_path)
    assert plan["extract"] == {"action": "run", "reasons": ["first run"], "todo": 20}
    assert plan["fit"]["reasons"] == ["upstream: extract runs first"]


def test_a_second_run_executes_nothing(mofore: Command, work: Path) -> None:
    before = {
        path: path.stat().st_mtime_ns
        for path in work.rglob("*")
        if path.is_file() and path.name not in (".mofore.lock", "mofore.log")
    }
    assert actions(mofore, work) == ALL_SKIP
    result = mofore("run", "-w", work)
    assert result.exit_code == 0
    assert result.stderr.count("up to date") == 5
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_touched_file_runs_nothing_and_is_read_only_once(mofore: Command, work: Path) -> None:
    path = work / "videos" / "Bounce" / "v_Bounce_g01_c01.avi"
    os.utime(path, ns=(1, 1))
    assert actions(mofore, work) == ALL_SKIP
    assert mofore("run", "-w", work).stderr.count("up to date") == 5
    assert '"key":"Bounce/v_Bounce_g01_c01.avi"' in (work / "ledger.jsonl").read_text(), "its new time is remembered"


def test_two_added_videos_are_two_extracted(mofore: Command, work: Path) -> None:
    for motion in ("Bounce", "Orbit"):
        shutil.copy(work / f"videos/{motion}/v_{motion}_g01_c01.avi", work / f"videos/{motion}/v_{motion}_g01_c02.avi")
    plan = plan_of(mofore, work)
    assert (plan["extract"]["action"], plan["extract"]["todo"]) == ("partial", 2)
    assert reasons(mofore, work, "extract").startswith("2 videos added (Bounce/v_Bounce_g01_c02.avi, Orbit")
    result = mofore("run", "-w", work)
    assert "done       2 videos, 48 frames" in result.stderr
    assert actions(mofore, work) == ALL_SKIP


def test_a_replaced_video_is_one_extracted(mofore: Command, work: Path) -> None:
    shutil.copy(work / "videos/Orbit/v_Orbit_g01_c01.avi", work / "videos/Bounce/v_Bounce_g01_c01.avi")
    assert reasons(mofore, work, "extract") == "1 video changed (Bounce/v_Bounce_g01_c01.avi)"
    assert "done       1 video, 24 frames" in mofore("run", "-w", work).stderr
    assert actions(mofore, work) == ALL_SKIP


def test_a_removed_video_extracts_nothing_and_updates_what_read_it(mofore: Command, work: Path) -> None:
    train = next(row["id"] for row in indexed(work) if row["role"] == "train")
    (work / "videos" / train).unlink()
    assert actions(mofore, work) == {"extract": "skip", "fit": "run", "evaluate": "run", "index": "run"}
    assert reasons(mofore, work, "fit") == f"1 video removed ({train})"
    assert mofore("run", "-w", work).exit_code == 0
    newest = max(work.glob("index/*/mofore.video/items.json"), key=os.path.getmtime)
    assert train not in newest.read_text()
    assert actions(mofore, work) == ALL_SKIP


def test_a_removed_test_video_does_not_train_again(mofore: Command, work: Path) -> None:
    test = next(row["id"] for row in indexed(work) if row["role"] == "test")
    (work / "videos" / test).unlink()
    assert actions(mofore, work) == {"extract": "skip", "fit": "skip", "evaluate": "run", "index": "run"}


def test_what_is_embedded_runs_evaluate_and_index(mofore: Command, work: Path) -> None:
    views = ("--set", "index.views=2")
    assert actions(mofore, work, *views) == {"extract": "skip", "fit": "skip", "evaluate": "run", "index": "run"}
    for stage in ("evaluate", "index"):
        assert reasons(mofore, work, stage, *views) == "config changed: index.views 3 -> 2"


@pytest.mark.parametrize(
    ("setting", "stage"),
    [
        ("index.kind=hnsw", "index"),
        ("index.recall=0.5", "index"),
        ("index.latency_ms=1", "index"),
        ("index.levels=video, clip", "index"),
        ("index.seed=1", "index"),
        ("evaluate.resamples=30", "evaluate"),
        ("evaluate.seed=1", "evaluate"),
    ],
)
def test_metrics_and_indexes_are_made_apart(mofore: Command, work: Path, setting: str, stage: str) -> None:
    assert actions(mofore, work, "--set", setting) == {**ALL_SKIP, stage: "run"}


def test_another_kind_of_index_takes_the_embeddings_that_are_there(
    mofore: Command, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before,) = work.glob("index/*/mofore.video/embeddings.safetensors")
    monkeypatch.setattr("mofore.stages.model.spaces.Space.of_videos", None)
    monkeypatch.setattr("mofore.pipeline.stages.index.load", None)  # frames are not even read
    assert mofore("run", "-w", work, "--set", "index.kind=IVF2,Flat").exit_code == 0
    after = next(path for path in work.glob("index/*/mofore.video/embeddings.safetensors") if path != before)
    arrays = [load_arrays(path, ["embeddings_NE", "mean_E", "video_N"]) for path in (before, after)]
    for name, array in arrays[0].items():
        np.testing.assert_array_equal(array, arrays[1][name])


def test_embeddings_are_the_same_whoever_makes_them(mofore: Command, work: Path) -> None:
    """Of the evaluation of the same run (``work``), and of the index itself: whole videos, and clips of them."""
    (evaluated,) = work.glob("index/*/mofore.video/embeddings.safetensors")
    first = evaluated.read_bytes()
    assert mofore("index", "--force", "-w", work).exit_code == 0
    assert evaluated.read_bytes() == first
    levels = ("--set", "index.levels=video, clip")
    assert mofore("index", *levels, "-w", work).exit_code == 0
    (clips,) = work.glob("index/*/mofore.clip/embeddings.safetensors")
    once = clips.read_bytes()
    assert mofore("index", *levels, "--set", "index.recall=0.5", "-w", work).exit_code == 0
    again = next(path for path in work.glob("index/*/mofore.clip/embeddings.safetensors") if path != clips)
    assert again.read_bytes() == once


def test_clips_of_raw_features_follow_the_windows_of_the_fit(mofore: Command, work: Path) -> None:
    """Their vectors are of no fit, but where a clip begins and ends is the fit's: they are not taken from before."""
    clips = ("-w", work, "--set", "index.spaces=frames", "--set", "index.levels=clip")
    longer = (*clips, "--set", "fit.clip_length=6")
    for options in (clips, longer):
        assert mofore("index", *options).exit_code == 0
    newest = max(work.glob("index/*/frames.clip/embeddings.safetensors"), key=os.path.getmtime)
    taken = newest.read_bytes()
    assert mofore("index", "--force", *longer).exit_code == 0
    assert newest.read_bytes() == taken


def test_a_fit_setting_runs_fit_and_index(mofore: Command, work: Path) -> None:
    assert actions(mofore, work, "--set", "fit.lr=0.01") == {
        "extract": "skip",
        "fit": "run",
        "evaluate": "run",
        "index": "run",
    }
    assert reasons(mofore, work, "fit", "--set", "fit.lr=0.01") == "config changed: fit.lr 0.001 -> 0.01"


def test_going_back_to_an_earlier_setting_runs_nothing_but_shows_its_metrics(mofore: Command, work: Path) -> None:
    first = (work / "metrics.json").read_text()
    assert mofore("run", "-w", work, "--set", "fit.lr=0.01").exit_code == 0
    assert (work / "metrics.json").read_text() != first
    plan = plan_of(mofore, work)
    assert plan["fit"]["action"] == "skip"
    assert plan["evaluate"]["action"] == "partial"
    assert mofore("run", "-w", work).exit_code == 0
    assert (work / "metrics.json").read_text() == first


def test_another_backbone_is_a_second_store_beside_the_first(mofore: Command, work: Path) -> None:
    other = ("--set", "extract.backbone=random:test_vit")
    assert reasons(mofore, work, "extract", *other) == (
        "config changed: extract.backbone 'random:test_efficientnet' -> 'random:test_vit'"
    )
    assert mofore("run", "-w", work, *other).exit_code == 0
    assert len(list((work / "features").iterdir())) == 2
    assert plan_of(mofore, work)["extract"]["action"] == "skip"
    assert plan_of(mofore, work)["fit"]["action"] == "skip"


def test_a_moved_and_copied_work_folder_stays_up_to_date(mofore: Command, work: Path, tmp_path: Path) -> None:
    moved = work.rename(tmp_path / "elsewhere")
    assert actions(mofore, moved) == ALL_SKIP
    copied = shutil.copytree(moved, tmp_path / "copy", copy_function=shutil.copyfile)  # every time of change is new
    assert actions(mofore, copied) == ALL_SKIP
    assert mofore("run", "-w", copied).stderr.count("up to date") == 5


def test_a_lost_ledger_costs_no_features(mofore: Command, work: Path) -> None:
    (work / "ledger.jsonl").unlink()
    assert actions(mofore, work) == {"extract": "skip", "fit": "run", "evaluate": "run", "index": "run"}


def test_a_missing_output_is_made_again_with_the_reason(mofore: Command, work: Path) -> None:
    model = next(work.glob("fit/*/model.safetensors"))
    content = model.read_bytes()
    model.unlink()
    assert reasons(mofore, work, "fit").startswith("output missing or changed: fit/")
    assert mofore("run", "-w", work).exit_code == 0
    assert model.read_bytes() == content
    assert actions(mofore, work) == ALL_SKIP


def test_a_damaged_shard_is_put_aside_and_its_videos_are_redone(mofore: Command, work: Path) -> None:
    shard = next(work.glob("features/*/*.h5"))
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    shard.write_bytes(damaged)
    assert plan_of(mofore, work)["extract"]["todo"] == 20
    assert "output missing or changed" in reasons(mofore, work, "extract")
    assert mofore("run", "-w", work).exit_code == 0
    assert actions(mofore, work) == ALL_SKIP, "the same features: fit and index did not have to run"
    assert len(list(work.glob("features/*/*.damaged"))) == 1


def test_force_runs_the_stage_and_identical_results_stop_there(mofore: Command, work: Path) -> None:
    result = mofore("extract", "--force", "-w", work)
    assert result.exit_code == 0
    assert "20 videos: forced" in result.stderr
    assert len(list(work.glob("features/*/*.h5"))) == 1
    assert actions(mofore, work) == ALL_SKIP
    result = mofore("fit", "--force", "-w", work)
    assert "30 steps: forced" in result.stderr
    assert actions(mofore, work) == ALL_SKIP


def test_only_refuses_a_stale_stage_above(mofore: Command, work: Path) -> None:
    result = mofore("index", "--only", "-w", work, "--set", "fit.lr=0.01")
    assert result.exit_code == 2
    assert "fit: config changed: fit.lr" in result.stderr
    assert mofore("index", "--only", "-w", work, "--set", "index.views=2").exit_code == 0


def test_unreadable_videos_make_exit_code_3_now_and_on_every_later_run(mofore: Command, work: Path) -> None:
    (work / "videos" / "Bounce" / "v_Bounce_g01_c05.avi").write_text("no video")
    first = mofore("run", "-w", work)
    assert first.exit_code == 3
    assert "v_Bounce_g01_c05.avi: not a readable video" in first.stderr
    assert actions(mofore, work) == ALL_SKIP, "what failed and did not change is not tried again"
    again = mofore("run", "-w", work)
    assert (again.exit_code, again.stderr.count("up to date")) == (3, 5)
    assert plan_of(mofore, work)["extract"]["todo"] == 0
    assert "1 video: retry of 1 failed video" in mofore("extract", "--retry-failed", "-w", work).stderr


def test_a_raised_version_runs_the_stage(mofore: Command, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raised = tuple(replace(stage, version=99) if stage.name == "fit" else stage for stage in ROAD)
    monkeypatch.setattr("mofore.pipeline.road.ROAD", raised)
    assert "version raised: 2 -> 99" in reasons(mofore, work, "fit")


def test_features_that_come_out_the_same_stop_the_rerun_at_extract(mofore: Command, work: Path) -> None:
    """A file of other bytes and the same pictures is extracted, and nothing below runs."""
    path = work / "videos" / "Bounce" / "v_Bounce_g01_c01.avi"
    path.write_bytes(path.read_bytes() + b"JUNK\x04\x00\x00\x00abcd")  # a chunk behind the video
    assert plan_of(mofore, work)["extract"]["todo"] == 1
    result = mofore("run", "-w", work)
    assert result.exit_code == 0, result.stderr
    assert "extract  done       1 video, 24 frames" in result.stderr
    assert result.stderr.count("up to date") == 4


def test_a_changed_file_of_weights_in_several_is_another_encoder(work: Path) -> None:
    """The index is the same whatever its files hold."""
    for name in ("a.safetensors", "b.safetensors"):
        (work / name).write_bytes(b"weights of " + name.encode())
    index = work / "w.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}))
    workspace = Workspace(work)
    config = load_config(workspace.config, ["extract.weights=w.safetensors.index.json"])

    def key() -> str:
        return observe(workspace, config, Ledger.open(workspace.ledger)).store_key

    before = key()
    assert key() == before
    (work / "b.safetensors").write_bytes(b"weights of another training")
    assert key() != before
