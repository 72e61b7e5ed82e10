"""Runs: found, named, listed beside one another, shown whole, and never in each other's way."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import mofore as package
from mofore.data.errors import UsageError

from .test_cli import loaded

Command = Callable[..., Result]


@pytest.fixture
def two(mofore: Command, work: Path) -> Path:
    """A work folder with two named runs, `seed1` the one that is shown."""
    assert mofore("run", "-w", work, "--name", "base").exit_code == 0
    assert mofore("run", "-w", work, "--set", "fit.seed=1", "--name", "seed1").exit_code == 0
    return work


def listed(mofore: Command, *args: str | Path) -> dict[str, dict[str, object]]:
    result = mofore("list", *args, "--json")
    assert result.exit_code == 0, result.stderr
    return {run["run"]: run for run in json.loads(result.stdout)}


def test_runs_are_listed_with_settings_and_figures(mofore: Command, two: Path) -> None:
    found = listed(mofore, two)
    assert [*found] == [f"{two}:base", f"{two}:seed1"], "in the order of time"
    base, other = found.values()
    assert (base["name"], base["shown"], other["shown"]) == ("base", False, True)
    assert base["backbone"] == "random:test_efficientnet"
    assert base["preset"] == "plain"
    assert base["settings"] == {
        "fit.steps": 30,
        "fit.clip_length": 4,
        "fit.gap_max": 4.0,
        "extract.precision": "fp32",
        "index.views": 3,
    }
    assert other["settings"] == {**base["settings"], "fit.seed": 1}  # type: ignore[dict-item]
    metrics = json.loads((two / "metrics.json").read_text())
    assert other["figures"] == {
        "R@1": metrics["retrieval"]["mofore"]["R@1"],
        "mAP": metrics["retrieval"]["mofore"]["mAP"],
        "skill": metrics["forecast"]["all"]["skill"],
    }
    shown = mofore("list", two).stdout
    assert f"{two}:seed1*" in shown.replace(" ", "").replace("\n", "")
    assert "seed=1" in shown


def test_runs_of_many_work_folders_are_found_below_one(mofore: Command, two: Path, tmp_path: Path) -> None:
    shutil.copytree(two, tmp_path / "runs" / "deep" / "one")
    (tmp_path / "runs" / "features" / "not_looked_at").mkdir(parents=True)
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "runs" / "empty" / "mofore.toml").write_text("")
    found = listed(mofore, tmp_path / "runs")
    assert [run["name"] for run in found.values()] == ["base", "seed1", None]
    assert found[str(tmp_path / "runs" / "empty")]["key"] is None


def test_a_damaged_run_is_told_and_the_others_are_listed(mofore: Command, two: Path) -> None:
    keys = {run["name"]: run["key"] for run in listed(mofore, two).values()}
    (two / "evaluate" / str(keys["base"]) / "metrics.json").write_text("{")
    found = listed(mofore, two)
    assert "damaged" in str(found[f"{two}:base"]["damage"])
    assert found[f"{two}:base"]["figures"] == {"R@1": None, "mAP": None, "skill": None}
    assert found[f"{two}:seed1"]["damage"] is None
    assert "`mofore evaluate --force`" in mofore("list", two).stdout
    (two / "runs.json").write_text('{"schema": 1, "runs": []}')
    assert [run["name"] for run in listed(mofore, two).values()] == [None, None]
    (two / "ledger.jsonl").write_text("nothing\nthat is read\n")
    (only,) = listed(mofore, two).values()
    assert "ledger" in str(only["damage"])


def test_a_fit_that_was_not_measured_is_listed(mofore: Command, work: Path) -> None:
    assert mofore("fit", "-w", work, "--set", "fit.seed=5").exit_code == 0
    damage = [run["damage"] for run in listed(mofore, work).values()]
    assert damage == [None, "not measured yet"]


def test_a_name_is_one_runs_alone_until_it_is_forgotten(mofore: Command, two: Path) -> None:
    taken = mofore("run", "-w", two, "--set", "fit.seed=2", "--name", "base")
    assert taken.exit_code == 2
    assert "--forget base" in taken.stderr
    assert "fit      run" not in taken.stderr, "nothing was run"
    assert mofore("list", two, "--forget", "base").exit_code == 0
    assert mofore("run", "-w", two, "--set", "fit.seed=2", "--name", "base").exit_code == 0
    assert listed(mofore, two)[f"{two}:base"]["settings"]["fit.seed"] == 2  # type: ignore[index]
    unknown = mofore("list", two, "--forget", "never")
    assert unknown.exit_code == 2
    assert "names are: seed1, base" in unknown.stderr


@pytest.mark.parametrize("name", ["", "a b", "../up", "0123456789ab", "-x", "a" * 65])
def test_names_that_could_be_something_else_are_refused(work: Path, name: str) -> None:
    if not name:  # no name at all
        package.open(work).run(name=name)
        assert not (work / "runs.json").exists()
        return
    with pytest.raises(UsageError, match="for example --name base"):
        package.open(work).run(name=name)


def test_a_run_is_met_by_name_key_and_folder(mofore: Command, two: Path) -> None:
    key = str(listed(mofore, two)[f"{two}:base"]["key"])
    first = mofore("show", "base", "-w", two).stdout
    for given in (
        ("base", "-w", two),
        (key, "-w", two),
        (key[:6], "-w", two),
        (f"{two}:base",),
        (two / "evaluate" / key,),
    ):
        assert mofore("show", *given).stdout == first
    assert mofore("show", two).stdout == mofore("show", "seed1", "-w", two).stdout
    wrong = mofore("show", "nobody", "-w", two)
    assert wrong.exit_code == 2
    assert "base" in wrong.stderr
    assert "seed1" in wrong.stderr


def test_what_show_says_makes_the_run_again(mofore: Command, two: Path) -> None:
    told = mofore("show", "seed1", "-w", two).stdout
    assert "Retrieval" in told
    assert "Table 2" in told
    again = next(line for line in told.splitlines() if line.startswith("again")).removeprefix("again").split(maxsplit=1)
    result = mofore(*shlex.split(again[1]))
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("up to date") == 5
    whole = json.loads(mofore("show", "seed1", "-w", two, "--json").stdout)
    assert whole["metrics"] == json.loads((two / "metrics.json").read_text())
    assert whole["all_settings"]["fit.seed"] == 1


def test_listing_and_showing_load_no_networks(two: Path) -> None:
    assert loaded("list", two, "--json") == ["0"]
    assert loaded("show", "base", "-w", two, "--json") == ["0"]


def test_gc_keeps_what_has_a_name(mofore: Command, two: Path) -> None:
    assert mofore("list", two, "--forget", "seed1").exit_code == 0
    kept = mofore("gc", "-w", two, "--delete")
    assert "kept for their names: base" in kept.stdout
    assert [run["name"] for run in listed(mofore, two).values()] == ["base"]


def test_the_log_has_what_was_said(mofore: Command, work: Path) -> None:
    assert mofore("index", "--force", "-w", work, "-q").stderr == ""
    log = (work / "mofore.log").read_text()
    assert "index    done" in log
    refused = mofore("run", "-w", work, "--set", "fit.seed=1", "--set", "data.split=official1")
    assert refused.exit_code != 0
    assert "ERROR" in (work / "mofore.log").read_text()
