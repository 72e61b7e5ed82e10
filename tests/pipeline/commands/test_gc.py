"""What nothing refers to is listed, and deleted when asked; what mofore does not know is never touched."""

import contextlib
import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from mofore.cache.lock import exclusive
from mofore.pipeline.commands.gc import Folder, References, choose

Command = Callable[..., Result]
OTHER = ("--set", "fit.lr=0.01")


def listed(mofore: Command, work: Path, *args: str | Path) -> dict[str, Any]:
    result = mofore("gc", "--json", "-w", work, *args)
    assert result.exit_code == 0, result.stderr
    listing: dict[str, Any] = json.loads(result.stdout)
    return listing


def kinds(mofore: Command, work: Path, *args: str | Path) -> list[str]:
    return [item["kind"] for item in listed(mofore, work, *args)["items"]]


def files(work: Path) -> set[str]:
    return {p.relative_to(work).as_posix() for p in work.rglob("*") if p.is_file() and p.name != ".mofore.lock"}


def nothing_to_do(mofore: Command, work: Path) -> bool:
    return mofore("run", "-w", work).stderr.count("up to date") == 5


@pytest.fixture
def littered(mofore: Command, work: Path) -> Path:
    """A finished folder with one piece of everything that may go."""
    assert mofore("run", "-w", work, *OTHER).exit_code == 0
    assert mofore("run", "-w", work).exit_code == 0
    (store,) = (work / "features").iterdir()
    shutil.copytree(store, store.with_name("random-other-0123456789ab"))
    (store / "shard-aa.h5.damaged").write_bytes(b"x" * 100)
    (store / ".shard-bb.h5.4711.tmp").write_bytes(b"x" * 100)
    (work / ".metrics.json.4711.tmp").write_bytes(b"x")
    return work


ALL = ["damaged", "evaluate", "features", "fit", "index", "report", "temporary", "temporary"]


def test_a_finished_folder_has_nothing_to_reclaim(mofore: Command, work: Path) -> None:
    assert mofore("gc", "-w", work).stdout == "nothing to reclaim\n"


def test_a_listing_names_everything_and_deletes_nothing(mofore: Command, littered: Path) -> None:
    before = files(littered)
    assert sorted(kinds(mofore, littered)) == ALL
    result = mofore("gc", "-w", littered)
    assert "nothing was deleted: give --delete" in result.stdout
    assert files(littered) == before


def test_deleting_leaves_what_the_settings_refer_to(mofore: Command, littered: Path, finished: Path) -> None:
    listing = listed(mofore, littered, "--delete")
    assert listing["deleted"]
    assert listing["bytes"] > 10_000
    assert files(littered) == files(finished)
    assert not (littered / "features" / "random-other-0123456789ab").exists()
    assert nothing_to_do(mofore, littered)
    assert mofore("verify", "-w", littered).exit_code == 0, "the ledger names nothing that was deleted"
    assert kinds(mofore, littered) == []


def test_further_settings_keep_their_outputs(mofore: Command, littered: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    text = (littered / "mofore.toml").read_text()
    other.write_text(text.replace("[fit]", "[fit]\nlr = 0.01", 1).replace("\nlr = 0.0001", ""))
    assert sorted(kinds(mofore, littered, "--keep", other)) == ["damaged", "features", "temporary", "temporary"]
    assert mofore("gc", "--keep", tmp_path / "none.toml", "-w", littered).exit_code == 2


def test_overrides_count_as_settings(mofore: Command, littered: Path) -> None:
    (named,) = [i["path"] for i in listed(mofore, littered)["items"] if i["kind"] == "fit"]
    (other,) = [i["path"] for i in listed(mofore, littered, *OTHER)["items"] if i["kind"] == "fit"]
    assert named != other


def test_while_the_keys_are_unknown_every_fit_and_index_is_kept(mofore: Command, littered: Path) -> None:
    for motion in ("Bounce", "Orbit"):
        for clip in ("c02", "c03"):  # in the training split or not, the index cannot be known
            source = littered / f"videos/{motion}/v_{motion}_g01_c01.avi"
            shutil.copy(source, source.with_name(f"v_{motion}_g01_{clip}.avi"))
            shutil.copy(source, source.with_name(f"v_{motion}_g02_{clip}.avi"))
    listing = listed(mofore, littered)
    assert {item["kind"] for item in listing["items"]} == {"damaged", "features", "temporary"}
    assert any("every fit is kept" in remark for remark in listing["remarks"])
    assert any("every index is kept" in remark for remark in listing["remarks"])


def test_a_fit_in_progress_is_referred_to(mofore: Command, work: Path) -> None:
    (fit,) = (work / "fit").iterdir()
    lines = (work / "ledger.jsonl").read_text().splitlines(keepends=True)
    (work / "ledger.jsonl").write_text("".join(line for line in lines if '"stage":"fit"' not in line))
    (fit / "resume.safetensors").write_bytes(b"x")
    assert kinds(mofore, work) == []


def test_rows_of_removed_videos_are_reclaimed(mofore: Command, work: Path) -> None:
    removed = sorted((work / "videos" / "Bounce").iterdir())
    for path in removed:
        path.unlink()
    assert mofore("run", "-w", work).exit_code == 0
    before = sum(p.stat().st_size for p in work.glob("features/*/*.h5"))
    (item,) = [item for item in listed(mofore, work, "--delete")["items"] if item["kind"] == "rows"]
    assert item["videos"] == [f"Bounce/{path.name}" for path in removed]
    after = sum(p.stat().st_size for p in work.glob("features/*/*.h5"))
    assert before - after == pytest.approx(item["bytes"], rel=0.7)
    assert nothing_to_do(mofore, work)
    assert mofore("verify", "-w", work).exit_code == 0
    assert kinds(mofore, work) == []


def test_rows_of_a_video_that_is_still_to_be_redone_stay(mofore: Command, work: Path) -> None:
    for path in (work / "videos" / "Bounce").iterdir():
        path.write_bytes(path.read_bytes() + b"JUNK\x04\x00\x00\x00abcd")
    assert "rows" not in kinds(mofore, work)


def test_a_row_or_two_are_not_worth_a_new_shard(mofore: Command, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    next((work / "videos" / "Bounce").iterdir()).unlink()
    assert "rows" in kinds(mofore, work), "1 of 20 is 5 %"
    monkeypatch.setattr("mofore.pipeline.commands.gc.NOTICEABLE", 0.06)
    assert "rows" not in kinds(mofore, work)


def test_many_missing_videos_are_not_believed_to_be_gone(mofore: Command, work: Path) -> None:
    for motion in sorted((work / "videos").iterdir())[1:]:
        shutil.rmtree(motion)
    before = files(work)
    assert any("are not in the data folder" in remark for remark in listed(mofore, work)["remarks"])
    refused = mofore("gc", "--delete", "-w", work)
    assert refused.exit_code == 2
    assert "is a disk not mounted?" in refused.stderr
    assert files(work) == before
    assert mofore("gc", "--delete", "--missing-videos", "-w", work).exit_code == 0
    assert files(work) != before


def test_videos_that_are_all_gone_are_an_error(mofore: Command, work: Path) -> None:
    shutil.rmtree(work / "videos")
    assert mofore("gc", "--delete", "-w", work).exit_code == 2


def test_what_mofore_does_not_know_is_never_touched(mofore: Command, littered: Path, tmp_path: Path) -> None:
    (other,) = [item["path"] for item in listed(mofore, littered)["items"] if item["kind"] == "fit"]
    mine = [f"{other}/notes.txt", "fit/mine/model.safetensors", "features/mine/shard-a.h5", "index/0123456789ab/x.txt"]
    for name in mine:
        (littered / name).parent.mkdir(parents=True, exist_ok=True)
        (littered / name).write_text("mine")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "model.json").write_text("{}")
    (littered / "fit" / "00112233aabb").symlink_to(outside)
    listing = listed(mofore, littered, "--delete")
    assert set(mine) <= files(littered)
    assert (outside / "model.json").exists()
    assert not (littered / other / "model.safetensors").exists(), "the rest of a folder that is known went"
    assert any("fit/mine is left alone" in remark for remark in listing["remarks"])


def test_a_linked_folder_is_left_alone(mofore: Command, littered: Path, tmp_path: Path) -> None:
    elsewhere = (littered / "fit").rename(tmp_path / "fits")
    (littered / "fit").symlink_to(elsewhere)
    assert "fit" not in kinds(mofore, littered)


def test_a_run_at_work_keeps_gc_from_deleting_but_not_from_listing(mofore: Command, littered: Path) -> None:
    with exclusive(littered / ".mofore.lock"):
        assert mofore("gc", "--delete", "-w", littered).exit_code == 2
        assert sorted(kinds(mofore, littered)) == ALL


@pytest.mark.parametrize(
    ("step", "times"),
    [
        ("cache.store.FeatureStore.rewrite", 0),
        ("pipeline.commands.gc._forget", 0),
        ("pipeline.commands.gc._forget", 2),
        ("pipeline.commands.gc._delete", 0),
        ("pipeline.commands.gc._delete", 1),
        ("pipeline.commands.gc._delete", 4),
    ],
)
def test_a_kill_between_any_steps_leaves_nothing_to_do(
    mofore: Command, work: Path, monkeypatch: pytest.MonkeyPatch, step: str, times: int
) -> None:
    """The step is killed before it does anything, after so many calls of it."""
    (store,) = (work / "features").iterdir()
    (store / "shard-aa.h5.damaged").write_bytes(b"x" * 100)
    for name in ("0123456789ab", "0123456789ac"):
        shutil.copytree(next((work / "fit").iterdir()), work / "fit" / name)
    for path in (work / "videos" / "Bounce").iterdir():
        path.unlink()
    assert mofore("run", "-w", work).exit_code == 0
    assert len(kinds(mofore, work)) == 8
    module, _, name = step.rpartition(".")
    outer, _, last = module.rpartition(".")
    is_class = last[0].isupper()
    owner: Any = importlib.import_module(f"mofore.{outer if is_class else module}")
    owner = getattr(owner, last) if is_class else owner
    original, calls = getattr(owner, name), [0]

    def killed(*args: Any, **kwargs: Any) -> Any:
        if calls[0] == times:
            raise RuntimeError("killed")
        calls[0] += 1
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        with contextlib.suppress(RuntimeError):
            mofore("gc", "--delete", "-w", work)
    assert nothing_to_do(mofore, work)
    assert mofore("gc", "--delete", "-w", work).exit_code == 0
    assert kinds(mofore, work) == []
    assert nothing_to_do(mofore, work)
    assert mofore("verify", "-w", work).exit_code == 0


def test_the_decision_reads_nothing() -> None:
    folders = [
        Folder("features", "a-000000000000", {"shard-1.h5": 7, "shard-2.h5.damaged": 2}, (), known=True),
        Folder("features", "b-000000000000", {"shard-1.h5": 5}, (), known=False),
        Folder("fit", "000000000000", {"model.json": 3}, (), known=True),
        Folder("index", "000000000001", {"videos.json": 3}, ("x",), known=False),
    ]
    keys = {
        "features": frozenset({"a-000000000000"}),
        "fit": None,
        "finetune": frozenset[str](),
        "evaluate": frozenset[str](),
        "index": frozenset[str](),
        "report": frozenset[str](),
    }
    items, remarks = choose(folders, References(keys), [])
    assert [(item.kind, item.path, item.bytes) for item in items] == [
        ("damaged", "features/a-000000000000/shard-2.h5.damaged", 2),
        ("features", "features/b-000000000000", 5),
    ]
    assert len(remarks) == 2
