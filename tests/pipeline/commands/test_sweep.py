import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import mofore as package
from mofore.data.errors import ConfigError
from mofore.pipeline.cli import cli
from mofore.pipeline.commands import sweep as sweeping
from mofore.pipeline.commands.compare import open_run
from mofore.stages.fit import stage as fit

Command = Callable[..., Result]
GRID = ("--set", "fit.lr=1e-4,1e-3", "--set", "fit.seed=0,1")


def made(work: Path) -> dict[str, int]:
    """How often each stage was recorded."""
    ledger = (work / "ledger.jsonl").read_text()
    return {
        stage: ledger.count(f'"stage": "{stage}"') + ledger.count(f'"stage":"{stage}"') for stage in ("fit", "evaluate")
    }


@pytest.fixture(scope="module")
def swept(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a sweep of four runs; never change it, copy it."""
    work = Path(shutil.copytree(finished, tmp_path_factory.mktemp("swept") / "work"))
    done = CliRunner().invoke(cli, ["sweep", "-w", str(work), *GRID])
    assert done.exit_code == 0, done.output
    (work / "said.txt").write_text(done.stdout)
    return work


def table(work: Path) -> dict:
    (path,) = work.glob("sweep/*/sweep.json")
    return json.loads(path.read_text())


def test_a_sweep_makes_the_fits_and_metrics_of_other_commands(swept: Path, mofore: Command) -> None:
    for lr in ("1e-4", "1e-3"):
        for seed in (0, 1):
            told = mofore("status", "-w", swept, "--set", f"fit.lr={lr}", "--set", f"fit.seed={seed}", "--json")
            stages = json.loads(told.stdout)["stages"]
            assert stages["fit"]["action"] == "skip"
            assert stages["evaluate"]["action"] in ("skip", "partial"), "partial: metrics.json shows another run's"
            assert not stages["evaluate"]["todo"]


def test_the_table_has_what_differs_figures_and_paired_intervals(swept: Path) -> None:
    rows = table(swept)["runs"]
    assert [row["values"] for row in rows] == [
        {"fit.lr": lr, "fit.seed": seed} for lr in (1e-4, 1e-3) for seed in (0, 1)
    ]
    for row in rows:
        metrics = json.loads((swept / "evaluate" / row["evaluate"] / "metrics.json").read_text())
        assert metrics["provenance"]["fit"] == row["fit"]
        assert row["figures"]["R@1"] == metrics["retrieval"]["mofore"]["R@1"]
        assert row["figures"]["mAP"] == metrics["retrieval"]["mofore"]["mAP"]
        assert row["trivial"] == metrics["protocol"]["best_trivial"]
        trivial = metrics["retrieval"][row["trivial"]]
        assert row["against_trivial"]["mAP"]["difference"] == pytest.approx(row["figures"]["mAP"] - trivial["mAP"])
    assert rows[0]["against_first"] is None
    for row in rows[1:]:
        tested = row["against_first"]["mAP"]
        assert tested["difference"] == pytest.approx(row["figures"]["mAP"] - rows[0]["figures"]["mAP"])
        low, high = tested["interval_by_group"] or tested["interval"]
        assert low <= tested["difference"] <= high


def test_seeds_are_taken_together(swept: Path) -> None:
    runs, seeds = table(swept)["runs"], table(swept)["seeds"]
    assert [(row["values"], row["seeds"]) for row in seeds] == [({"fit.lr": 1e-4}, 2), ({"fit.lr": 1e-3}, 2)]
    of_second = [row["figures"]["mAP"] for row in runs[2:]]
    assert seeds[1]["mAP"]["mean"] == pytest.approx(sum(of_second) / 2)
    assert seeds[1]["mAP"]["sd"] == pytest.approx(abs(of_second[0] - of_second[1]) / 2**0.5)
    of_first = [row["figures"]["mAP"] for row in runs[:2]]
    difference = seeds[1]["against_first"]["mAP"]["difference"]
    assert difference == pytest.approx((sum(of_second) - sum(of_first)) / 2)


def test_the_table_comes_as_text_and_csv(swept: Path) -> None:
    said = (swept / "said.txt").read_text()
    assert "lr=0.001 seed=1" in said
    assert "Over seeds" in said
    (path,) = swept.glob("sweep/*/sweep.csv")
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    for row, expected in zip(rows, table(swept)["runs"], strict=True):
        assert (float(row["fit.lr"]), int(row["fit.seed"])) == tuple(expected["values"].values())
        assert float(row["mAP"]) == expected["figures"]["mAP"]
        assert row["mAP_against_trivial_verdict"] == expected["against_trivial"]["mAP"]["verdict"]


def test_tables_fit_into_80_columns(swept: Path, mofore: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = mofore("sweep", "-w", swept, *GRID)
    assert max(map(len, said.stdout.splitlines())) <= 80


def test_what_is_done_is_used(swept: Path, mofore: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_args: object, **_given: object) -> None:
        raise AssertionError("everything is there")

    monkeypatch.setattr(fit, "run_several", never)
    before = made(swept)
    again = mofore("sweep", "-w", swept, *GRID, "--json")
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout) == table(swept)
    assert made(swept) == before
    plan = mofore("sweep", "-w", swept, *GRID, "--dry-run")
    assert plan.stdout.splitlines()[-1] == "4 runs, 4 of them done; 4 fits, 4 of them done"


def test_a_sweep_uses_a_fit_of_another_command_and_leaves_its_metrics_shown(work: Path, mofore: Command) -> None:
    shown, before = (work / "metrics.json").read_bytes(), made(work)
    plan = mofore("sweep", "-w", work, "--set", "fit.seed=0,1", "--dry-run").stdout.splitlines()
    assert plan[0].startswith("seed=0: fit/")
    assert plan[0].endswith("done; metrics done")
    assert plan[1].endswith("30 steps to take; metrics to be taken")
    assert plan[2] == "2 runs, 1 of them done; 2 fits, 1 of them done"
    assert made(work) == before, "a dry run makes nothing"
    assert mofore("sweep", "-w", work, "--set", "fit.seed=0,1").exit_code == 0
    assert made(work) == {stage: count + 1 for stage, count in before.items()}
    assert (work / "metrics.json").read_bytes() == shown
    assert open_run(work).metrics.fit == json.loads(shown)["provenance"]["fit"], "what `mofore compare` reads"


def test_a_sweep_over_how_videos_are_embedded_trains_once(work: Path, mofore: Command) -> None:
    before = made(work)
    done = mofore("sweep", "-w", work, "--set", "index.views=2,4", "--set", "fit.seed=5")
    assert done.exit_code == 0, done.stderr
    assert made(work) == {"fit": before["fit"] + 1, "evaluate": before["evaluate"] + 2}
    assert len({row["fit"] for row in table(work)["runs"]}) == 1
    assert not table(work)["seeds"]


def test_a_sweep_that_was_killed_goes_on(
    work: Path, mofore: Command, monkeypatch: pytest.MonkeyPatch, swept: Path
) -> None:
    publish, left = fit._publish, [2]

    def killed(*given: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        publish(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(fit, "_publish", killed)
    assert mofore("sweep", "-w", work, *GRID).exit_code == 130
    monkeypatch.undo()
    plan = mofore("sweep", "-w", work, *GRID, "--dry-run")
    assert "4 fits, 3 of them done" in plan.stdout, "one was there before, two were through"
    assert mofore("sweep", "-w", work, *GRID).exit_code == 0
    here, there = table(work)["runs"], table(swept)["runs"]
    for one, other in zip(here, there, strict=True):
        assert one["figures"]["mAP"] == pytest.approx(other["figures"]["mAP"], abs=0.5)


def test_only_fit_takes_no_metrics(work: Path, mofore: Command) -> None:
    before = made(work)
    done = mofore("sweep", "-w", work, "--set", "fit.seed=7,8", "--only-fit")
    assert done.exit_code == 0, done.stderr
    assert not done.stdout
    assert made(work) == {"fit": before["fit"] + 2, "evaluate": before["evaluate"]}


def test_a_run_that_fails_is_told_and_the_others_are_done(work: Path, mofore: Command) -> None:
    done = mofore("sweep", "-w", work, "--set", "fit.contrast_weight=1.0,1e39")
    assert done.exit_code == 1
    assert "1 run of the sweep failed (contrast_weight=1e+39: the loss is not finite" in done.stderr
    sound, failed = table(work)["runs"]
    assert sound["figures"]
    assert failed["figures"] is None
    assert "the loss is not finite" in failed["failed"]


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ("fit.seed=3", 2, "nothing to sweep"),
        ("fit.lr=1e-3,fast", 2, "fit.lr = 'fast': a number from 0 to 10 is needed"),
        ("extract.stride=1,2", 2, "use a command of its own"),
    ],
)
def test_a_wrong_grid_is_told_before_anything_runs(
    work: Path, mofore: Command, given: str, code: int, message: str
) -> None:
    before = made(work)
    refused = mofore("sweep", "-w", work, "--set", given)
    assert refused.exit_code == code
    assert message in refused.stderr
    assert made(work) == before


def test_python_sweeps_too(swept: Path) -> None:
    run = package.open(swept)
    found = run.sweep({"fit.lr": [1e-4, 1e-3], "fit.seed": range(2)})
    assert found.table is not None
    assert found.table.as_json() == table(swept)
    assert found.table.as_csv().count("\n") == 5
    assert not found.failed
    with pytest.raises(ConfigError, match="nothing was run"):
        run.sweep({"fit.lr": [1e-4, -1.0]})
    assert sweeping.FOLDER == "sweep"


def test_objectives_are_swept_over(mofore: Command, work: Path) -> None:
    told = mofore("sweep", "-w", work, "--set", "fit.objective=mofore,simclr,order", "--set", "fit.seed=0,1")
    assert told.exit_code == 0, told.stderr
    for objective, figure in (("simclr", "pretext"), ("order", "pretext")):
        assert len(re.findall(rf"{objective} .*30 steps, {figure} \d", told.stderr)) == 2, told.stderr
    assert {run["values"]["fit.objective"] for run in table(work)["runs"]} == {"mofore", "simclr", "order"}
