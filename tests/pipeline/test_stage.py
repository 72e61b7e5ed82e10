"""A stage is one record: what follows from it without a word elsewhere."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from mofore.cache.atomic import write_json
from mofore.cache.ledger import Ledger
from mofore.data.errors import StaleError
from mofore.pipeline import road
from mofore.pipeline.cli import stage_command
from mofore.pipeline.config import load_config
from mofore.pipeline.snapshot import Snapshot, features_fingerprint, observe
from mofore.pipeline.stage import Made, Stage, Work
from mofore.pipeline.workspace import Workspace

Command = Callable[..., Result]


def count(work: Work) -> Made:
    """Of the frames of each video."""
    write_json(work.folder / "counts.json", {name: place.video.frames for name, place in work.snapshot.stored.items()})
    return Made(f"{len(work.snapshot.stored)} videos counted", ("counts.json",))


def config(snapshot: Snapshot) -> dict[str, Any]:
    return {"data.split": snapshot.split.name}


COUNT = Stage(
    name="count",
    version=1,
    what="Numbers of frames -> count/<key>/counts.json.",
    needs=("extract",),
    config=config,
    inputs=lambda snapshot, _plan: features_fingerprint(snapshot.features_of(sorted(snapshot.stored))),
    run=count,
    files=("counts.json", "inputs.json"),
    unit="videos",
    amount=lambda snapshot: len(snapshot.stored),
    summary=lambda snapshot, _record: f"{len(snapshot.stored)} videos",
)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> click.Command:
    """The command of a fifth stage, which is part of the road."""
    monkeypatch.setattr(road, "ROAD", (*road.ROAD, COUNT))
    return stage_command(COUNT)


def call(command: click.Command, *args: object) -> Result:
    return CliRunner().invoke(command, [*map(str, args)], catch_exceptions=False)


def planned(work: Path, *overrides: str) -> tuple[str, str]:
    workspace = Workspace.open(work)
    snapshot = observe(workspace, load_config(workspace.config, overrides), Ledger.open(workspace.ledger))
    plan = road.make_plan(snapshot)["count"]
    return plan.action, "; ".join(map(str, plan.reasons))


def test_a_stage_that_is_added_is_planned_run_and_skipped(command: click.Command, work: Path) -> None:
    assert planned(work) == ("run", "first run")
    assert "20 videos counted" in call(command, "-w", work).stderr
    (made,) = work.glob("count/*/counts.json")
    assert made.read_text().count("24") == 20
    assert planned(work) == ("skip", "")
    assert "count    up to date (20 videos)" in call(command, "-w", work).stderr


def test_it_runs_again_for_every_reason(
    mofore: Command, command: click.Command, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(command, "-w", work)
    assert planned(work, "data.split=random") == ("run", "config changed: data.split 'groups' -> 'random'")
    (made,) = work.glob("count/*/counts.json")
    name = made.relative_to(work).as_posix()
    made.write_text("{}")
    assert planned(work) == ("run", f"output missing or changed: {name}")
    assert "forced" in call(command, "--force", "-w", work).stderr
    video = next((work / "videos").rglob("*.avi"))
    video.unlink()
    removed = video.relative_to(work / "videos").as_posix()
    assert planned(work) == ("run", f"1 video removed ({removed})")
    monkeypatch.setattr(road, "ROAD", (*road.ROAD[:-1], replace(COUNT, version=2)))
    assert planned(work)[1].startswith("version raised: 1 -> 2")


def test_it_waits_for_the_stages_that_it_needs(mofore: Command, command: click.Command, work: Path) -> None:
    shard = next(work.glob("features/*/*.h5"))
    shard.unlink()
    assert planned(work) == ("run", "upstream: extract runs first")
    with pytest.raises(StaleError, match="--only count is refused"):
        call(command, "--only", "-w", work)
    assert call(command, "-w", work).exit_code == 0
    assert planned(work) == ("skip", "")


def test_every_stage_has_its_command_and_its_section() -> None:
    for stage in (*road.ROAD, *road.OPTIONAL):
        said = CliRunner().invoke(stage_command(stage), ["--help"]).output
        assert " ".join(stage.what.split()[:4]) in " ".join(said.split())
        assert all(shortcut.option in said for shortcut in stage.shortcuts)
        assert ("--retry-failed" in said) == stage.retries
    assert road.upto("index") == ("extract", "fit", "evaluate", "index")
    assert road.upto("finetune") == ("extract", "fit", "finetune")


def test_every_stage_that_ran_hands_back_memory(mofore: Command, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("mofore.stages.machine.device.release_memory", lambda: told.append("released"))
    for stages in (0, 1):
        assert mofore("index", "-w", work, *(["--force"] if stages else [])).exit_code == 0
        assert len(told) == stages
