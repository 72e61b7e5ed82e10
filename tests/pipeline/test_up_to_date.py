"""What is up to date is known again without a plan, and whatever changes is found as if there were no such memory."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from mofore.cache.ledger import Ledger
from mofore.pipeline import up_to_date
from mofore.pipeline.config import load_config
from mofore.pipeline.run_folder import Run
from mofore.pipeline.workspace import Workspace

Command = Callable[..., Result]
LATER_NS = 5_000_000_000


def no_ledger(path: Path) -> Ledger:
    raise AssertionError(f"'{path}' is read, so a plan is made")


def later(path: Path) -> None:
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + LATER_NS))


def rewrite(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    later(path)


def a_video(work: Path) -> Path:
    return sorted((work / "videos").rglob("*.avi"))[0]


CHANGES: dict[str, Callable[[Path], object]] = {
    "a video of another content": lambda work: rewrite(a_video(work)),
    "a video of another time": lambda work: later(a_video(work)),
    "a video more": lambda work: (a_video(work).parent / "v_New_g09_c01.avi").write_bytes(a_video(work).read_bytes()),
    "a video fewer": lambda work: a_video(work).unlink(),
    "a video in another folder": lambda work: a_video(work).rename(work / "videos" / "moved.avi"),
    "no videos at all": lambda work: (work / "videos").rename(work / "elsewhere"),
    "a shard fewer": lambda work: next(work.glob("features/*/*.h5")).unlink(),
    "a shard cut short": lambda work: os.truncate(next(work.glob("features/*/*.h5")), 4096),
    "another shard": lambda work: next(work.glob("features/*/*.h5")).with_name("shard-0.h5").write_bytes(b"none"),
    "no model": lambda work: next(work.glob("fit/*/model.safetensors")).unlink(),
    "another index": lambda work: rewrite(next(work.glob("index/*/*/vectors.faiss"))),
    "other metrics": lambda work: (work / "metrics.json").write_text("{}"),
    "no ledger": lambda work: (work / "ledger.jsonl").unlink(),
    "another setting": lambda work: (work / "mofore.toml").write_text(
        (work / "mofore.toml").read_text().replace("steps = 30", "steps = 31")
    ),
}


@pytest.fixture
def remembered(work: Path, mofore: Command) -> Path:
    """A finished work folder that a run has left word in."""
    assert mofore("run", "-w", work).exit_code == 0
    assert (work / up_to_date.NAME).exists()
    return work


def test_a_run_with_nothing_to_do_is_planned_once(
    remembered: Path, mofore: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (remembered / up_to_date.NAME).unlink()
    planned = mofore("run", "-w", remembered), mofore("status", "-w", remembered, "--json")
    monkeypatch.setattr(Ledger, "open", no_ledger)
    known = mofore("run", "-w", remembered), mofore("status", "-w", remembered, "--json")
    for first, again in zip(planned, known, strict=True):
        assert (again.exit_code, again.stdout, again.stderr) == (first.exit_code, first.stdout, first.stderr)


def test_a_run_that_finishes_everything_leaves_word(finished: Path) -> None:
    assert json.loads((finished / up_to_date.NAME).read_text())["plan"]


def test_what_is_asked_for_again_is_planned(remembered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(remembered)
    run = Run(workspace, load_config(workspace.config))
    monkeypatch.setattr(Ledger, "open", no_ledger)
    assert run.run().ran == []
    for asked in ({"force": True}, {"retry_failed": True}):
        with pytest.raises(AssertionError, match="a plan is made"):
            run.run(**asked)


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_found_as_without_a_memory(change: str, remembered: Path, mofore: Command) -> None:
    before = mofore("status", "-w", remembered, "--json").output
    CHANGES[change](remembered)
    told = mofore("status", "-w", remembered, "--json").output
    (remembered / up_to_date.NAME).unlink()
    assert told == mofore("status", "-w", remembered, "--json").output
    if change not in ("a video of another time", "no videos at all", "another shard"):
        assert told != before


def test_a_report_that_is_not_whole_is_made_again(remembered: Path, mofore: Command) -> None:
    for path in (remembered / "report" / "index.html", next(remembered.glob("report/*/data/*.js"))):
        path.unlink()
        assert "report   done" in mofore("run", "-w", remembered).stderr
        assert path.exists()
        assert "report   up to date" in mofore("run", "-w", remembered).stderr


def test_a_sweep_that_came_since_is_for_the_report(remembered: Path) -> None:
    workspace = Workspace.open(remembered)
    seen = up_to_date.look(workspace, load_config(workspace.config))
    assert up_to_date.recall(workspace, seen) is not None
    sweep = remembered / "sweep" / "0" / "sweep.json"
    sweep.parent.mkdir(parents=True)
    sweep.write_text("{}")
    assert up_to_date.recall(workspace, seen) is None


def test_a_damaged_memory_is_none(remembered: Path, mofore: Command) -> None:
    before = mofore("status", "-w", remembered, "--json").output
    for content in (b"", b"{}", b"\xff", b'{"key": "1", "places": [], "states": {}, "plan": [], "failures": []}'):
        (remembered / up_to_date.NAME).write_bytes(content)
        assert mofore("status", "-w", remembered, "--json").output == before


def test_an_output_that_changes_after_the_plan_is_not_remembered(
    remembered: Path, mofore: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (remembered / up_to_date.NAME).unlink()
    word = up_to_date.leave_word

    def meanwhile(*given: object) -> None:
        later(next(remembered.glob("fit/*/model.safetensors")))
        word(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("mofore.pipeline.run.leave_word", meanwhile)
    assert mofore("run", "-w", remembered).exit_code == 0
    assert not (remembered / up_to_date.NAME).exists()
