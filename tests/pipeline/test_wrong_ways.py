"""Wrong ways that people take: the message names the thing, the value and a way out, and the way out works."""

from __future__ import annotations

import errno
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result

from mofore.cache import lock

Command = Callable[..., Result]
ID = "v_Orbit_g01_c01"


def refused(result: Result, *said: str) -> None:
    """Exit code 2, one line, and all of this in it."""
    assert result.exit_code == 2, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    for text in said:
        assert text in last, last
    assert "Traceback" not in result.stderr


@pytest.fixture
def imported(mofore: Command, tmp_path: Path) -> Path:
    """A work folder of features that were made elsewhere."""
    ids = [f"v_{label}_g{group:02d}_c01" for label in "AB" for group in range(1, 6)]
    features = np.random.default_rng(0).normal(size=(len(ids) * 24, 16)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", features=features, lengths=np.full(len(ids), 24), ids=np.array(ids))
    assert mofore("import", tmp_path / "mine.npz", "-w", tmp_path / "imported").exit_code == 0
    return tmp_path / "imported"


def test_finetune_of_imported_features(mofore: Command, imported: Path) -> None:
    refused(mofore("finetune", "-w", imported), "import:mine", "mofore init VIDEOS -w NEW", "mofore fit")
    assert not (imported / "fit").exists(), "nothing was begun"
    quick = (
        "--set",
        "fit.preset=plain",
        "--set",
        "fit.steps=2",
        "--set",
        "fit.clip_length=4",
        "--set",
        "fit.gap_max=4",
    )
    assert mofore("fit", "-w", imported, *quick).exit_code == 0


def test_a_setting_given_as_an_option(mofore: Command, work: Path) -> None:
    refused(mofore("extract", "-w", work, "--weights", "x.pth"), "--weights", "--set extract.weights=VALUE")
    refused(mofore("fit", "-w", work, "--lr", "0.1"), "--set fit.lr=VALUE", "mofore fit --help")
    assert mofore("status", "-w", work, "--set", "fit.lr=0.1").exit_code == 0


def test_a_setting_under_the_name_of_another_program(mofore: Command, work: Path) -> None:
    refused(mofore("fit", "-w", work, "--set", "fit.learning_rate=0.1"), "fit.learning_rate", "did you mean 'fit.lr'?")
    refused(mofore("fit", "-w", work, "--set", "fit.epochs=3"), "did you mean 'fit.passes'?")
    assert mofore("status", "-w", work, "--set", "fit.lr=0.1").exit_code == 0


def test_weights_that_are_none(mofore: Command, videos: Path, tmp_path: Path) -> None:
    garbage, good, work = tmp_path / "garbage.pth", tmp_path / "good.pth", tmp_path / "new"
    garbage.write_bytes(bytes(range(256)) * 4)
    asked = ("init", videos, "-w", work, "--backbone", "timm:test_efficientnet", "--weights")
    refused(mofore(*asked, garbage), f"'{garbage}'", "torch.save(model.state_dict()")
    refused(mofore(*asked, garbage, "--no-estimate"), f"'{garbage}'", "torch.save(model.state_dict()")
    assert not (work / "mofore.toml").exists()
    import timm

    torch.save(timm.create_model("test_efficientnet", pretrained=False).state_dict(), good)
    assert mofore(*asked, good).exit_code == 0


def test_a_span_that_begins_before_the_video(mofore: Command, work: Path) -> None:
    refused(mofore("search", ID, "--from", "-1", "-w", work), "--from", "-1", "x>=0")
    assert mofore("search", ID, "--from", "0", "--to", "0.5", "-w", work).exit_code == 0


def test_a_sheet_where_nothing_can_be_written(mofore: Command, work: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    refused(mofore("search", ID, "-w", work, "--sheet", tmp_path / "file" / "out.png"), "file/out.png", "name a place")
    refused(mofore("search", ID, "-w", work, "--sheet", "/proc/out.png"), "/proc/out.png", "cannot be written to")
    absent = tmp_path / "not" / "yet" / "out.png"
    done = mofore("search", ID, "-w", work, "--sheet", absent)
    assert done.exit_code == 0
    assert absent.exists()
    assert f"sheet: {absent}" in done.stderr


def test_lists_as_toml_has_them(mofore: Command, work: Path) -> None:
    refused(mofore("index", "-w", work, "--set", "index.levels=[video, clip]"), """'index.levels=["video", "clip"]'""")
    both = mofore("index", "-w", work, "--set", 'index.levels=["video", "clip"]')
    assert both.exit_code == 0, both.stderr
    assert mofore("search", ID, "--level", "clip", "-w", work, "--set", "index.levels=video, clip").exit_code == 0


def test_names_that_the_terminal_has_no_letters_for(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mofore.pipeline import console

    shown = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", shown)
    console.show_lines(["v_動画_g01"])
    console.show_tables([("動画 ±", ["embedding", "R@1"], [["動画", "12.5"]])])
    shown.flush()
    told = shown.buffer.getvalue().decode("cp1252")  # type: ignore[attr-defined]
    assert "v_\\u52d5\\u753b_g01" in told
    assert "±" in told, "what the encoding has stays"
    assert "12.5" in told


def test_verifying_a_folder_that_cannot_be_written_to(
    mofore: Command, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    shard = next(work.glob("features/*/*.h5"))
    with monkeypatch.context() as patched:
        patched.setattr(lock.os, "open", refuse)
        assert "all sound" in mofore("verify", "-w", work).stdout
        before = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}
        with shard.open("r+b") as file:
            file.seek(shard.stat().st_size // 2)
            file.write(b"\xff" * 64)
        found = mofore("verify", "-w", work)
        assert found.exit_code == 1
        assert f"damaged  features/{shard.parent.name}/{shard.name}" in found.stdout
        assert "cannot be written to" in found.stdout
        assert "mofore verify -w COPY" in found.stdout
        after = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}
        assert {**after, shard: 0} == {**before, shard: 0}, "nothing was put aside"
    copy = Path(shutil.copytree(work, tmp_path / "copy"))
    assert "what is damaged was put aside" in mofore("verify", "-w", copy).stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("stage", ["extract", "fit", "index"])
def test_a_device_that_is_not_there(mofore: Command, work: Path, stage: str) -> None:
    result = mofore("run", "--force", "-w", work, "--set", f"{stage}.device=cuda")
    refused(result, f"{stage}.device = 'cuda'", f"--set {stage}.device=auto")
    assert "run " not in result.stderr, "nothing was begun"
    assert mofore(stage, "--force", "-w", work, "--set", f"{stage}.device=auto").exit_code == 0


def test_gc_beside_a_second_backbone(mofore: Command, work: Path) -> None:
    other = ("--set", "extract.backbone=random:test_vit")
    assert mofore("run", "-w", work, *other).exit_code == 0
    listed = mofore("gc", "-w", work).stdout
    assert "random-test_vit" in listed
    assert f"mofore run -w {work} --set extract.backbone=random:test_vit --name NAME" in listed
    assert mofore("run", "-w", work, *other, "--name", "vit").exit_code == 0
    kept = mofore("gc", "-w", work, "--delete").stdout
    assert "kept for their names: vit" in kept
    assert list(work.glob("features/random-test_vit*/*.h5"))
    assert mofore("show", "vit", "-w", work).exit_code == 0


def test_runs_that_differ_in_a_setting(mofore: Command, work: Path) -> None:
    assert mofore("run", "-w", work, "--name", "base").exit_code == 0
    changed = ("--set", "fit.lr=0.002", "--set", "index.views=2")
    assert mofore("run", "-w", work, *changed, "--name", "fast").exit_code == 0
    found = json.loads(mofore("compare", "base", "fast", "-w", work, "--json").stdout)
    assert found["settings"] == {
        "fit.lr": {"base": 0.001, "fast": 0.002},
        "index.views": {"base": 3, "fast": 2},
    }
    shown = mofore("compare", "base", "fast", "-w", work).stdout
    assert "Settings that differ" in shown
    assert "fit.lr" in shown


def test_a_search_for_a_file_that_is_no_video(mofore: Command, work: Path, tmp_path: Path) -> None:
    passwords = tmp_path / "passwd"
    passwords.write_text("root:x:0:0:root:/root:/bin/sh\n")
    refused(mofore("search", passwords, "-w", work), str(passwords), "the id of a video of the index")
    assert mofore("search", work / "videos" / "Orbit" / f"{ID}.avi", "-w", work).exit_code == 0


def test_commands_that_do_not_exist(mofore: Command) -> None:
    refused(mofore("serach"), "'serach'", "did you mean search?", "mofore --help")
    refused(mofore("--version2"), "--version2", "mofore --help")


def test_a_wrong_setting_in_the_file_is_told_with_its_line(mofore: Command, work: Path) -> None:
    config = work / "mofore.toml"
    text = config.read_text().replace("[fit]\n", "[fit]\nlrr = 1\n", 1)
    line = text.splitlines().index("lrr = 1") + 1
    config.write_text(text)
    refused(mofore("status", "-w", work), f"'{config}', line {line}: ", "did you mean 'fit.lr'?")
    config.write_text(text.replace("lrr = 1", "lr = -1.0", 1))
    refused(mofore("status", "-w", work), f"'{config}', line {line}: fit.lr = -1.0")
    given = mofore("status", "-w", work, "--set", "fit.lr=-2")
    refused(given, "error: fit.lr = -2.0")  # which the file does not say


def test_weights_of_another_model_without_an_estimate(mofore: Command, videos: Path, tmp_path: Path) -> None:
    import timm

    other = tmp_path / "other.pth"
    torch.save(timm.create_model("test_vit").state_dict(), other)
    asked = ("init", videos, "-w", tmp_path / "new", "--backbone", "timm:test_efficientnet", "--weights", other)
    refused(mofore(*asked, "--no-estimate"), f"'{other}'", "are not the weights of timm:test_efficientnet")
    assert not (tmp_path / "new").exists()


def test_one_video_in_place_of_its_folder(mofore: Command, videos: Path, tmp_path: Path) -> None:
    video = next(path for path in sorted(videos.rglob("*")) if path.is_file())
    refused(mofore("init", video, "-w", tmp_path / "new", "--no-estimate"), f"give its folder: '{video.parent}'")


def test_places_that_cannot_be_written_to(mofore: Command, videos: Path, imported: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    made = mofore("init", videos, "-w", blocked / "new", "--backbone", "random:test_vit")
    refused(made, f"-w '{blocked / 'new'}'", "cannot be written to")
    assert "measuring" not in made.stderr, "it is found out before the work"
    target = blocked / "all.npy"
    refused(mofore("export", "features", target, "-w", imported), f"'{target}'", "cannot be written to")
    assert blocked.read_text() == "no folder"


def test_files_that_are_not_there(mofore: Command, imported: Path, tmp_path: Path) -> None:
    refused(
        mofore("embed", tmp_path / "nope.avi", "-w", imported, "-o", tmp_path / "x.npy"), "nope.avi' does not exist"
    )


def test_an_error_of_the_system_names_the_file_that_is_meant(
    mofore: Command, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mofore.pipeline import opened_folder, run_folder

    def full(*_given: object, **_named: object) -> None:
        raise OSError(errno.EIO, "Input/output error", str(work / ".metrics.json.1234.tmp"))

    monkeypatch.setattr(opened_folder, "execute", full)
    failed = mofore("extract", "-w", work)
    assert failed.exit_code == 1
    said = "metrics.json': Input/output error: mend it and run the same command again; what was finished is kept"
    assert said in failed.stderr
    monkeypatch.setattr(run_folder, "look", full)
    looked = mofore("status", "-w", work)
    assert looked.exit_code == 1
    assert "what was finished" not in looked.stderr, "nothing was to be finished"
