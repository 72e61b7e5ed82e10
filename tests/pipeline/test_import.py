"""Features that were made elsewhere become a work folder; what is wrong with them is said before anything is made."""

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from mofore.pipeline.cli import cli

from ..conftest import TINY
from .brought import FRAMES, WIDTH, Brought, make
from .commands.test_verify import check, features, flip, place
from .test_cli import loaded
from .test_rerun import ALL_SKIP, actions, reasons

Command = Callable[..., Result]


@pytest.fixture
def brought() -> Brought:
    return make()


@pytest.fixture(scope="session")
def imported_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished work folder of imported features, which lie inside it; never change it, copy it."""
    root = tmp_path_factory.mktemp("imported")
    source = make().write(root / "mine.h5")
    for args in (["import", str(source), *TINY[2:]], ["run"]):
        done = CliRunner().invoke(cli, [*args, "-w", str(root)])
        assert done.exit_code == 0, done.output
    return root


@pytest.fixture
def work(imported_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(imported_once, tmp_path / "work"))


def split_of(work: Path) -> dict[str, str]:
    rows = json.loads(next(work.glob("index/*/mofore.video/items.json")).read_text())
    return {row["id"]: row["role"] for row in rows}


def some(work: Path, brought: Brought, role: str) -> int:
    """Number of a video on one side of the split."""
    roles = split_of(work)
    return next(number for number, name in enumerate(brought.ids) if roles[name] == role)


def labels(work: Path) -> dict[str, tuple[str | None, str | None]]:
    rows = json.loads(next(work.glob("index/*/mofore.video/items.json")).read_text())
    return {row["id"]: (row["label"], row["group"]) for row in rows}


def states(work: Path) -> dict[Path, tuple[int, bytes]]:
    files = [path for path in work.rglob("*") if path.is_file() and path.name != ".mofore.lock"]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def results(work: Path) -> dict[str, bytes]:
    """Everything but names of shards, times of change, and how long it took."""
    names = (
        "mofore.toml",
        "encoder.json",
        "imported.json",
        "model.safetensors",
        "metrics.json",
        "embeddings.safetensors",
    )
    return {str(p.relative_to(work)): p.read_bytes() for name in names for p in work.rglob(name)}


def test_imported_features_go_down_the_road(mofore: Command, work: Path, brought: Brought) -> None:
    metrics = json.loads((work / "metrics.json").read_text())
    assert metrics["retrieval"]["raw_mean_pool"]["R@1"] == 100.0, "the classes are far apart"
    assert metrics["protocol"]["split"] == "groups", "read from the ids"
    assert metrics["provenance"]["encoder"]["source"]["name"] == "mine.h5"
    assert actions(mofore, work) == ALL_SKIP
    status = mofore("status", "-w", work).stdout
    frames = len(brought.features)
    assert f"extract  skip     up to date (imported: 15 videos, {frames} frames)" in status
    assert mofore("run", "-w", work).stderr.count("up to date") == 5
    assert "imported: 15 videos" in mofore("extract", "-w", work).stderr
    found = json.loads(mofore("search", "v_Run_g01_c01", "-k", "3", "--json", "-w", work).stdout)["neighbours"]
    assert {neighbour["label"] for neighbour in found} == {"Run"}


def test_status_of_imported_features_loads_nothing_heavy(work: Path) -> None:
    assert loaded("status", "-w", work) == ["0"]
    assert loaded("run", "-w", work) == ["0"]


@pytest.mark.parametrize("kind", ["npz", "compressed", "folder", "text", "half"])
def test_every_form_gives_the_same_features(
    mofore: Command, brought: Brought, work: Path, tmp_path: Path, kind: str
) -> None:
    match kind:
        case "npz":
            source = brought.write(tmp_path / "mine.npz", times_s=None)
        case "compressed":
            source = tmp_path / "mine.npz"
            np.savez_compressed(source, **vars(brought))
        case "folder":
            source = brought.write_folder(tmp_path / "mine")
        case "text":
            texts = np.array([str(name).encode() for name in brought.ids], object)
            source = brought.write(tmp_path / "mine.hdf5", ids=texts)
        case _:
            source = brought.write(tmp_path / "mine.h5", features=brought.features.astype(np.float16))
    other = tmp_path / "other"
    assert mofore("import", source, "-w", other).exit_code == 0
    assert features(other) == features(work)
    assert [p.name for p in other.glob("features/*")] == [p.name for p in work.glob("features/*")]


def test_large_videos_and_small_memory_give_the_same_features(
    mofore: Command, brought: Brought, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = 2 * WIDTH
    monkeypatch.setattr("mofore.stages.import_features.stage.PUBLISH_BYTES", 3 * FRAMES * row)
    monkeypatch.setattr("mofore.stages.import_features.stage.SPILL_BYTES", FRAMES * row)  # 14 frames go through a file
    monkeypatch.setattr("mofore.stages.import_features.source.BLOCK_BYTES", 4 * 2 * row)
    source = tmp_path / "mine.npz"
    np.savez_compressed(source, **vars(brought))
    assert mofore("import", source, "-w", tmp_path / "other").exit_code == 0
    shards = list((tmp_path / "other").glob("features/*/*.h5"))
    assert 5 <= len(shards) <= 8
    assert all(h5py.File(path)["features"].shape[0] <= 3 * FRAMES for path in shards)
    assert features(tmp_path / "other") == features(work)
    assert not list((tmp_path / "other").glob("features/*/partial"))
    assert mofore("verify", "-w", tmp_path / "other").exit_code == 0


def test_given_classes_groups_and_times_are_taken(mofore: Command, brought: Brought, tmp_path: Path) -> None:
    count, frames = len(brought.ids), len(brought.features)
    source = brought.write(
        tmp_path / "mine.h5",
        ids=np.array([f"clip{number}" for number in range(count)]),
        labels=np.arange(count) % 3,
        groups=np.array(["", *"abcdefghijklmn"]),
        times_s=np.arange(frames) * 0.5,
    )
    work = tmp_path / "work"
    made = mofore("import", source, "-w", work, "--set", "data.split=random", *TINY[2:])
    assert "with their times" in made.stderr
    assert mofore("run", "-w", work).exit_code == 0
    assert labels(work)["clip4"] == ("1", "d")
    assert labels(work)["clip0"] == ("0", None), "an empty group is none"
    times = np.frombuffer(features(work)["clip1"][1])
    assert times[0] == brought.lengths[0] * 0.5
    assert "leave --fps away" in mofore("import", source, "--fps", "25", "-w", work).stderr


def test_a_folder_tree_gives_classes(mofore: Command, tmp_path: Path) -> None:
    for name in ("cat/one", "cat/two", "dog/one"):
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "mine" / f"{name}.npy", np.asfortranarray(np.ones((4, 3), np.float64)))
    made = mofore("import", tmp_path / "mine", "--fps", "5", "-w", tmp_path / "work")
    assert "3 videos, 2 classes (layout folders)" in made.stderr
    assert "at 5 frames a second" in made.stderr
    stored = features(tmp_path / "work")
    assert set(stored) == {"cat/one", "cat/two", "dog/one"}
    assert np.frombuffer(stored["dog/one"][1]).tolist() == [0.0, 0.2, 0.4, 0.6]


def test_the_same_content_changes_nothing(mofore: Command, work: Path) -> None:
    before = states(work)
    again = mofore("import", work / "mine.h5", "-w", work)
    assert again.exit_code == 0
    assert "nothing changed" in again.stderr
    assert states(work) == before


@pytest.mark.parametrize(("role", "fit"), [("train", "run"), ("test", "skip")])
def test_a_changed_video_is_the_only_one_stored(
    mofore: Command, work: Path, brought: Brought, role: str, fit: str
) -> None:
    number = some(work, brought, role)
    brought.changed(number).write(work / "mine.h5")
    assert actions(mofore, work) == ALL_SKIP, "the file itself is of no more interest"
    assert "stored 1 of 15 videos;" in mofore("import", work / "mine.h5", "-w", work).stderr
    assert actions(mofore, work) == {"extract": "skip", "fit": fit, "evaluate": "run", "index": "run"}
    assert reasons(mofore, work, "fit" if role == "train" else "index") == f"1 video changed ({brought.ids[number]})"
    assert mofore("run", "-w", work).exit_code == 0
    assert check(mofore, work)["sound"]
    brought.write(work / "mine.h5")
    assert "stored 0 of 15 videos;" in mofore("import", work / "mine.h5", "-w", work).stderr, "its features are there"
    assert actions(mofore, work) == {"extract": "skip", "fit": "skip", "evaluate": "partial", "index": "skip"}
    assert "metrics.json put back" in mofore("run", "-w", work).stderr
    assert check(mofore, work)["sound"]


def test_a_removed_video_is_no_longer_of_the_work_folder(mofore: Command, work: Path, brought: Brought) -> None:
    number = some(work, brought, "train")
    brought.without(number).write(work / "mine.h5")
    said = mofore("import", work / "mine.h5", "-w", work).stderr
    assert "stored 0 of 14 videos, 1 no longer there" in said
    assert reasons(mofore, work, "fit") == f"1 video removed ({brought.ids[number]})"
    assert "imported: 14 videos" in mofore("status", "-w", work).stdout


def test_other_classes_run_the_index_alone(mofore: Command, work: Path, brought: Brought) -> None:
    brought.write(work / "mine.h5", labels=np.array(["same"] * 15))
    assert "stored 0 of 15 videos;" in mofore("import", work / "mine.h5", "-w", work).stderr
    assert actions(mofore, work) == {"extract": "skip", "fit": "skip", "evaluate": "run", "index": "run"}


def test_features_of_another_width_take_the_place_of_all(mofore: Command, work: Path, brought: Brought) -> None:
    wider = replace(brought, features=np.concatenate([brought.features, brought.features], axis=1))
    wider.write(work / "mine.h5")
    assert "stored 15 of 15" in mofore("import", work / "mine.h5", "-w", work).stderr
    assert mofore("run", "-w", work).exit_code == 0
    listing = json.loads(mofore("gc", "--delete", "--json", "-w", work).stdout)
    assert {item["kind"] for item in listing["items"]} == {"rows", "fit", "evaluate", "index", "report"}
    assert check(mofore, work)["sound"]
    assert actions(mofore, work) == ALL_SKIP


def test_settings_that_are_there_are_not_replaced_unasked(mofore: Command, work: Path, brought: Brought) -> None:
    before = (work / "mofore.toml").read_text()
    other = brought.write(work / "other.h5")
    for args, what in (
        ((other,), "extract.backbone = 'import:mine' instead of 'import:other'"),
        ((work / "mine.h5", "--set", "fit.steps=3"), "fit.steps = 30 instead of 3"),
        ((work / "mine.h5", "--set", "seed=3"), "data.split_seed = 0 instead of 3"),
    ):
        refused = mofore("import", *args, "-w", work)
        assert refused.exit_code == 2
        assert what in refused.stderr
        assert "--force" in refused.stderr
    assert (work / "mofore.toml").read_text() == before
    assert len(list(work.glob("features/*"))) == 1
    assert mofore("import", other, "--name", "mine", "-w", work).exit_code == 0, "the same features from another file"
    assert mofore("import", other, "--force", "-w", work).exit_code == 0
    assert len(list(work.glob("features/*"))) == 2
    assert "import:other" in (work / "mofore.toml").read_text()


def test_a_folder_of_videos_is_not_replaced_unasked(
    mofore: Command, finished: Path, brought: Brought, tmp_path: Path
) -> None:
    work = shutil.copytree(finished, tmp_path / "videos-too")
    refused = mofore("import", brought.write(tmp_path / "mine.h5"), "-w", work)
    assert refused.exit_code == 2
    assert "extract.backbone = 'random:test_efficientnet' instead of 'import:mine'" in refused.stderr
    assert actions(mofore, work) == ALL_SKIP


@pytest.mark.parametrize(
    ("further", "message"),
    [
        ({"features": (3, 2, np.nan)}, "frame 3: a feature is nan, leave the video out"),
        ({"features": (14, 0, -np.inf)}, "a feature is -inf"),
        (
            {"features": (5, 2, 1e6)},
            "frame 5: a feature is 1e+06, beyond float16's 65504: multiply all features by one",
        ),
        (
            {"features": (2, slice(None), 1e-8)},
            "frame 2: a feature is 1e-08, and none is larger, too small for float16",
        ),
        ({"features": np.ones(30, np.float32)}, "features has shape (30,): frames by features are needed"),
        ({"features": np.ones((204, 0), np.float32)}, "features has shape (204, 0)"),
        ({"features": np.ones((204, 4), np.int64)}, "features has type int64: float16, float32 or float64 is needed"),
        ({"lengths": np.full(15, 13)}, "lengths sum to 195, but features has"),
        ({"lengths": np.full(14, 13)}, "lengths has shape (14,) and type int64; whole numbers, one for each of the 15"),
        ({"lengths": np.full(15, 13.0)}, "lengths has shape (15,) and type float64"),
        ({"lengths": np.array([*[13] * 14, -1])}, "has length -1: a number of frames is needed"),
        ({"ids": np.array([*"abcdefghijklmn", "a"])}, "the id 'a' comes more than once"),
        ({"ids": np.array([*"abcdefghijklmn", ""])}, "the id of video 14 (of 15, from 0) is empty"),
        ({"ids": np.array([*"abcdefghijklmn", " "])}, "the id of video 14"),
        ({"ids": np.linspace(0, 1, 15)}, "ids has type float64: texts are needed"),
        ({"ids": np.full((15, 2), "a")}, "ids has shape (15, 2): one text for each video"),
        (
            {"ids": None},
            "has no ids: features (N, D), lengths (V,) and ids (V,) are needed, it holds features, lengths",
        ),
        ({"labels": np.array(["a", "b"])}, "labels has 2 entries, but ids 15"),
        ({"times_s": np.arange(3.0)}, "times_s has shape (3,)"),
    ],
)
@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_what_cannot_be_stored_is_named_and_nothing_is_written(
    mofore: Command, brought: Brought, tmp_path: Path, suffix: str, further: dict[str, Any], message: str
) -> None:
    if isinstance(further.get("features"), tuple):
        row, column, value = further["features"]
        table = brought.features.copy()
        table[row, column] = value
        further = {"features": table}
    source = brought.write(tmp_path / f"mine{suffix}", **further)
    result = mofore("import", source, "-w", tmp_path / "work")
    assert result.exit_code == 2
    assert message in result.stderr
    assert str(source) in result.stderr
    assert not (tmp_path / "work").exists()


def test_the_frame_is_counted_within_its_video(mofore: Command, brought: Brought, tmp_path: Path) -> None:
    table = brought.features.copy()
    table[brought.lengths[:3].sum() + 7, 1] = np.nan
    result = mofore("import", brought.write(tmp_path / "mine.h5", features=table), "-w", tmp_path / "work")
    assert f"'{brought.ids[3]}', frame 7: a feature is nan" in result.stderr


def test_other_files_are_refused(mofore: Command, brought: Brought, tmp_path: Path) -> None:
    def said(path: Path, *args: str) -> str:
        result = mofore("import", path, "-w", tmp_path / "work", *args)
        assert result.exit_code == 2
        assert not (tmp_path / "work").exists()
        return result.stderr

    assert "does not exist" in said(tmp_path / "nothing.h5")
    (tmp_path / "mine.pt").write_bytes(b"x")
    assert "a file ending in .h5, .hdf5, .npz or a folder of .npy is needed" in said(tmp_path / "mine.pt")
    for name in ("bad.h5", "bad.npz"):
        (tmp_path / name).write_bytes(b"no array" * 100)
        assert "cannot be read" in said(tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert "no .npy below" in said(tmp_path / "empty")
    objects = tmp_path / "objects.npz"
    np.savez(objects, **{**vars(brought), "ids": brought.ids.astype(object)})
    assert "ids holds Python objects" in said(objects)
    assert "column by column" in said(brought.write(tmp_path / "f.npz", features=np.asfortranarray(brought.features)))
    assert "--fps 0: a number from 0.001" in said(brought.write(tmp_path / "mine.h5"), "--fps", "0")
    assert "see --name" in said(tmp_path / "mine.h5", "--set", "extract.backbone=timm:resnet18")
    assert "so it would do nothing" in said(tmp_path / "mine.h5", "--set", "extract.stride=2")
    assert "does not exist: it is for UCF101's lists" in said(tmp_path / "mine.h5", "--splits", str(tmp_path / "lists"))


def test_a_folder_of_arrays_that_don_t_belong_together_is_refused(
    mofore: Command, brought: Brought, tmp_path: Path
) -> None:
    root = brought.write_folder(tmp_path / "mine")
    for array, message in (
        (np.ones((4, WIDTH + 1), np.float32), f"of width {WIDTH + 1}, but"),
        (np.ones(WIDTH, np.float32), f"has shape ({WIDTH},)"),
    ):
        np.save(root / "z.npy", array)
        result = mofore("import", root, "-w", tmp_path / "work")
        assert (result.exit_code, message in result.stderr, "z.npy" in result.stderr) == (2, True, True)
    (root / "z.npy").write_bytes(b"nothing")
    assert "z.npy' is no .npy" in mofore("import", root, "-w", tmp_path / "work").stderr
    assert not (tmp_path / "work").exists()


def test_a_damaged_archive_is_named(mofore: Command, brought: Brought, tmp_path: Path) -> None:
    source = brought.write(tmp_path / "mine.npz")
    at = zipfile.ZipFile(source).getinfo("features.npy").header_offset + 1000
    flip(source, at)
    result = mofore("import", source, "-w", tmp_path / "work")
    assert (result.exit_code, "Bad CRC-32" in result.stderr) == (2, True)


def test_arrays_that_mean_nothing_here_are_named(mofore: Command, brought: Brought, tmp_path: Path) -> None:
    source = brought.write(tmp_path / "mine.h5", label=np.arange(15))
    assert f"not used of '{source}': label" in mofore("import", source, "-w", tmp_path / "work").stderr


STEPS = (
    "cache.store.FeatureStore.publish",
    "cache.ledger.Ledger.add_shard",
    "cache.store.FeatureStore.pin_encoder",
    "cache.imported.ImportRecord.write",
    "cache.ledger.Ledger.add_stage",
    "pipeline.commands.import_features.write_bytes",
)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("before", [True, False])
def test_an_import_that_is_killed_at_any_step_goes_on(
    mofore: Command, brought: Brought, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, before: bool
) -> None:
    """``before`` the step is done, or right after it."""
    import importlib

    monkeypatch.setattr("mofore.stages.import_features.stage.PUBLISH_BYTES", 5 * FRAMES * 2 * WIDTH)
    source, work = brought.write(tmp_path / "mine.h5"), tmp_path / "work"
    command = ("import", source, *TINY[2:])
    module, _, name = step.rpartition(".")
    owner_name = module.rpartition(".")[2]
    owner = importlib.import_module(f"mofore.{module.rpartition('.')[0] if owner_name[0].isupper() else module}")
    owner = getattr(owner, owner_name) if owner_name[0].isupper() else owner
    real = getattr(owner, name)

    def killed(*args: Any, **kwargs: Any) -> None:
        if not before:
            real(*args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        assert mofore(*command, "-w", work).exit_code == 130
    whole = tmp_path / "whole"
    for root in (work, whole):
        assert mofore(*command, "-w", root).exit_code == 0
        assert mofore("run", "-w", root).exit_code == 0
        source_path = json.loads(next(root.glob("features/*/imported.json")).read_text())["content"]["path"]
        assert source_path == str(source)
    assert results(work) == results(whole)
    assert features(work) == features(whole)
    assert sum(len(h5py.File(path)["video_id"]) for path in work.glob("features/*/*.h5")) == 15, "each stored once"
    assert not list(work.rglob("*.tmp"))
    assert check(mofore, work)["sound"]
    assert mofore("gc", "-w", work).stdout == "nothing to reclaim\n"


@pytest.mark.parametrize("step", STEPS[:-1])
def test_a_change_that_is_killed_leaves_the_old_state_or_the_new(
    mofore: Command, work: Path, brought: Brought, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    brought.changed(0).write(work / "mine.h5")
    with monkeypatch.context() as patch:
        patch.setattr(f"mofore.{step}", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        mofore("import", work / "mine.h5", "-w", work)
    assert mofore("status", "-w", work).exit_code == 0
    assert actions(mofore, work)["extract"] == "skip"
    assert check(mofore, work)["sound"]
    assert mofore("import", work / "mine.h5", "-w", work).exit_code == 0
    assert mofore("run", "-w", work).exit_code == 0
    assert len({*features(work)}) == 15
    assert check(mofore, work)["sound"]


def test_a_lost_shard_asks_for_the_import_and_costs_nothing_else(mofore: Command, work: Path) -> None:
    (shard,) = work.glob("features/*/*.h5")
    shard.unlink()
    command = f"mofore import {work}/mine.h5 --fps 25 --name mine -w {work}"
    assert reasons(mofore, work, "extract") == (
        f"output missing or changed: {shard.name}; the features of 15 imported videos are gone or damaged; "
        f"bring them again: {command}"
    )
    for stage in ("run", "fit", "index"):
        result = mofore(stage, "-w", work)
        assert result.exit_code == 1
        assert f"bring them again: {command}" in result.stderr
    assert mofore(*command.split()[1:]).exit_code == 0
    assert actions(mofore, work) == ALL_SKIP, "the same features: fit and index need not run"


def test_verify_names_the_lost_video_and_the_command(mofore: Command, work: Path) -> None:
    (shard,) = work.glob("features/*/*.h5")
    at, video = place(shard, "features", 7)
    flip(shard, at + 3)
    result = mofore("verify", "-w", work)
    assert result.exit_code == 1
    assert f"1 video to redo: {video}; 14 kept" in result.stdout
    command = f"mofore import {work}/mine.h5 --fps 25 --name mine -w {work}"
    assert f"Make it anew with: {command} && mofore run -w {work}" in result.stdout
    assert actions(mofore, work)["extract"] == "partial"
    assert "stored 1 of 15 videos" in mofore(*command.split()[1:]).stderr
    assert actions(mofore, work) == ALL_SKIP
    assert check(mofore, work)["sound"]


@pytest.mark.parametrize("verifying", [True, False])
def test_a_damaged_record_is_found_and_brought_again(mofore: Command, work: Path, verifying: bool) -> None:
    (path,) = work.glob("features/*/imported.json")
    flip(path, path.read_text().index("v_Jump") + 3)
    if verifying:
        (found,) = check(mofore, work)["damage"]  # type: ignore[misc]
        assert found["path"] == path.relative_to(work).as_posix()
        assert path.with_name("imported.json.damaged").exists()
    result = mofore("status", "-w", work)
    assert result.exit_code == (2 if verifying else 1)
    assert "mofore import" in result.stderr
    assert mofore("import", work / "mine.h5", "-w", work).exit_code == 0
    assert actions(mofore, work) == ALL_SKIP


def test_a_lost_record_is_missed(mofore: Command, work: Path) -> None:
    (path,) = work.glob("features/*/imported.json")
    path.unlink()
    (found,) = check(mofore, work)["damage"]  # type: ignore[misc]
    assert found["complaint"] == "it is gone"
    assert "bring them with `mofore import FEATURES --name mine" in mofore("run", "-w", work).stderr


def test_a_lost_ledger_costs_no_features(mofore: Command, work: Path) -> None:
    (work / "ledger.jsonl").unlink()
    assert actions(mofore, work) == {"extract": "skip", "fit": "run", "evaluate": "run", "index": "run"}


def test_a_moved_folder_stays_up_to_date(mofore: Command, work: Path, tmp_path: Path) -> None:
    moved = work.rename(tmp_path / "elsewhere")
    assert actions(mofore, moved) == ALL_SKIP
    assert "nothing changed" in mofore("import", moved / "mine.h5", "-w", moved).stderr


def test_superseded_features_are_reclaimed(mofore: Command, work: Path, brought: Brought) -> None:
    assert mofore("gc", "-w", work).stdout == "nothing to reclaim\n"
    for _ in range(10):
        brought = brought.without(0)
    brought.write(work / "mine.h5")
    assert mofore("import", work / "mine.h5", "-w", work, "--set", "data.split=auto").exit_code == 0
    assert mofore("run", "-w", work).exit_code == 0
    listing = json.loads(mofore("gc", "--delete", "--json", "-w", work).stdout)
    assert {item["kind"] for item in listing["items"]} == {"rows", "fit", "evaluate", "index", "report"}
    assert len(features(work)) == 5
    assert actions(mofore, work) == ALL_SKIP
    assert check(mofore, work)["sound"]


def test_a_file_cannot_be_searched_for(mofore: Command, work: Path, videos: Path) -> None:
    result = mofore("search", next(videos.rglob("*.avi")), "-w", work)
    assert result.exit_code == 2
    assert "the encoder that made them is not here" in result.stderr


def test_a_sheet_needs_videos(mofore: Command, work: Path, tmp_path: Path) -> None:
    result = mofore("search", "v_Run_g01_c01", "--sheet", tmp_path / "sheet.png", "-w", work)
    assert result.exit_code == 2
    assert "there are no videos to take pictures of" in result.stderr


def test_force_extracts_nothing(mofore: Command, work: Path) -> None:
    assert "up to date (imported" in mofore("extract", "--force", "-w", work).stderr
    forced = mofore("run", "--force", "-w", work)
    assert forced.exit_code == 0
    assert forced.stderr.count("done ") == 4


def test_init_and_run_say_that_imported_features_are_imported(
    mofore: Command, work: Path, videos: Path, tmp_path: Path
) -> None:
    assert (
        "see `mofore import --help`" in mofore("init", videos, "--backbone", "import:x", "-w", tmp_path / "new").stderr
    )
    other = mofore("status", "-w", work, "--set", "extract.backbone=import:other")
    assert other.exit_code == 2
    assert "no such features are in" in other.stderr


MEASURED = {
    "raw_mean_pool": {"R@1": 88.6, "R@5": 93.7, "mAP": 68.5},
    "raw_expanded": {"R@1": 88.0, "mAP": 78.0},
    "neighbour_lda": {"R@1": 90.5, "mAP": 83.3},
    "neighbour_lda_mean_sd": {"R@1": 91.2, "mAP": 84.6},
    "neighbour_lda_mean_sd+mp": {"R@1": 92.7, "mAP": 85.2},
}
"""1,865 real videos, mean of the three official splits; the first row independently, the others by another program."""


@pytest.mark.real
def test_real_features_score_what_was_measured_independently(mofore: Command, shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "features" / "ucf101-vgg16-14classes.h5"
    splits = shared / "data" / "ucf101-mini" / "splits"
    made = mofore(
        "import", source, "--splits", splits, "-w", tmp_path, "--set", "fit.steps=20", "--set", "index.views=2"
    )
    assert made.exit_code == 0, made.stderr
    assert "1,865 videos, 14 classes (layout ucf101); split official1: 1,341 to train on, 524 to test on" in made.stderr
    assert "1,865 of 1,865 videos cannot hold two clips of 16 frames with the largest gap of 16" in made.stderr
    assert "--set fit.clip_length=8 --set fit.gap_max=9 would let 1,865 of 1,865" in made.stderr
    clips = (
        "fit.preset=plain",
        "fit.clip_length=4",
        "fit.gap_max=8",
        "evaluate.mutual_proximity=true",
        "evaluate.resamples=20",
    )
    options = [word for setting in clips for word in ("--set", setting)]
    found = []
    for split in ("official1", "official2", "official3"):
        chosen = ("-w", tmp_path, "--set", f"data.split={split}", *options)
        assert mofore("fit", "--only", *chosen).exit_code == 0
        assert mofore("evaluate", "--only", *chosen).exit_code == 0
        found.append(json.loads((tmp_path / "metrics.json").read_text()))
    for row, expected in MEASURED.items():
        for name, value in expected.items():
            mean = np.mean([metrics["retrieval"][row][name] for metrics in found])
            assert mean == pytest.approx(value, abs=0.5), (row, name)
    for metrics in found:
        assert metrics["protocol"]["best_trivial"] == "neighbour_lda_mean_sd+mp"
        whole = metrics["forecast"]["all"]  # the teacher of 20 steps is still the mean of the raw frames
        assert whole["damped"]["skill"] == pytest.approx(0.06, abs=0.02)
        assert whole["four_scalars"]["skill"] == pytest.approx(0.12, abs=0.02)
