"""`mofore compare`: runs side by side, and what makes them incomparable."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from ...conftest import TINY

Command = Callable[..., Result]


@pytest.fixture
def two(mofore: Command, videos: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two fits on the same features."""
    first, second = tmp_path / "first", tmp_path / "second"
    backbone = ("--backbone", "random:test_vit", "--no-estimate")
    assert mofore("init", videos, "-w", first, *backbone, *TINY).exit_code == 0
    assert mofore("run", "-w", first).exit_code == 0
    shutil.copytree(first, second)
    assert mofore("run", "-w", second, "--set", "fit.seed=1").exit_code == 0
    return first, second


def test_differences_are_paired_over_the_shared_queries(mofore: Command, two: tuple[Path, Path]) -> None:
    result = mofore("compare", *two, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    newest = [max(run.glob("evaluate/*/queries.json"), key=lambda p: p.stat().st_mtime_ns) for run in two]
    queries = [json.loads(path.read_text()) for path in newest]
    ap = [np.array(of_run["rows"]["mofore"]["AP"], float) for of_run in queries]
    tested = found["differences"]["second"]["mofore"]["mAP"]
    assert found["against"] == "first"
    assert tested["difference"] == pytest.approx(100 * float(np.mean(ap[1] - ap[0])))
    assert tested["interval"][0] <= tested["difference"] <= tested["interval"][1]
    raw = found["differences"]["second"]["raw_mean_pool"]["mAP"]
    assert (raw["difference"], raw["verdict"]) == (0.0, "no difference")
    assert found["notes"] == []
    shown = mofore("compare", *two).stdout
    assert "first" in shown
    assert "no difference" in shown


def test_other_splits_and_rows_are_noted_or_refused(mofore: Command, two: tuple[Path, Path]) -> None:
    first, second = two
    assert mofore("run", "-w", second, "--set", "data.split=random", "--set", "index.views=2").exit_code == 0
    notes = json.loads(mofore("compare", first, second, "--json").stdout)["notes"]
    assert any("splits random and groups" in note for note in notes)
    assert any("share" in note and "queries" in note for note in notes)
    assert any("index.views" in note for note in notes)
    unknown = mofore("compare", first, second, "--row", "magic")
    assert unknown.exit_code == 2
    assert "has no row 'magic'; it has mofore" in unknown.stderr


def test_one_run_or_none_indexed_is_refused(mofore: Command, two: tuple[Path, Path], tmp_path: Path) -> None:
    first, _ = two
    assert "two runs" in mofore("compare", first).stderr
    assert "given twice" in mofore("compare", first, first).stderr
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(first / "mofore.toml", bare)
    refused = mofore("compare", first, bare)
    assert refused.exit_code != 0
    assert "nothing is measured" in refused.stderr


def test_an_older_run_is_compared_by_its_first_hits(mofore: Command, two: tuple[Path, Path]) -> None:
    means = []
    for run in two:
        path = max(run.glob("evaluate/*/queries.json"), key=lambda p: p.stat().st_mtime_ns)
        queries = json.loads(path.read_text())
        for row in queries["rows"].values():
            del row["R@1"]
        path.write_text(json.dumps(queries))
        means.append(np.mean([hit == 1 for hit in queries["rows"]["mofore"]["first_hit"]]))
    found = json.loads(mofore("compare", *two, "--json").stdout)["differences"]["second"]["mofore"]["R@1"]
    assert found["difference"] == pytest.approx(100 * (means[1] - means[0]))


def test_runs_without_classes_have_no_differences_and_say_so(mofore: Command, tmp_path: Path) -> None:
    features = np.random.default_rng(0).standard_normal((120, 8)).astype(np.float16)
    np.savez(tmp_path / "bare.npz", features=features, lengths=np.full(12, 10), ids=[f"v{n:02}" for n in range(12)])
    runs = tmp_path / "a", tmp_path / "b"
    for run, seed in zip(runs, (0, 1), strict=True):
        options = ("--set", f"fit.seed={seed}", "--set", "fit.steps=5", "--set", "evaluate.resamples=20")
        assert mofore("import", tmp_path / "bare.npz", "-w", run, *TINY, *options).exit_code == 0
        assert mofore("run", "-w", run).exit_code == 0
    shown = mofore("compare", *runs).stdout
    assert "No differences: the runs share no query with a class that the gallery holds" in shown
    assert "R@1" not in shown
    assert "forecast skill" in shown
