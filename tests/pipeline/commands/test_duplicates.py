import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from mofore.pipeline.commands.duplicates import Duplicates, show
from mofore.tests.conftest import TINY

Command = Callable[..., Result]


@pytest.fixture
def work(mofore: Command, tmp_path: Path) -> Path:
    """Features of seven videos: a copy and a part across sides, a copy on one side, others."""
    rng = np.random.default_rng(0)
    films = {name: rng.standard_normal((40, 16)).astype(np.float32) for name in "abcdef"}
    given = {
        "train/a": films["a"],
        "test/a_again": films["a"],
        "train/b": films["b"],
        "test/b_part": films["b"][8:28],
        "train/c": films["c"],
        "train/c_again": films["c"],
        "test/d": films["d"],
    }
    for name, features in given.items():
        (tmp_path / "features" / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "features" / f"{name}.npy", features)
    table = tmp_path / "t.csv"
    table.write_text("video,label\n" + "\n".join(f"{name},{name.split('/')[1][0]}" for name in given))
    settings = (*TINY[2:], "--set", "index.levels=video, clip", "--set", "fit.gap_max=4")
    mofore("import", tmp_path / "features", "-w", tmp_path / "work", "--table", table, *settings)
    assert mofore("index", "-w", tmp_path / "work").exit_code == 0
    return tmp_path / "work"


def test_pairs_across_sides_come_first(mofore: Command, work: Path) -> None:
    found = json.loads(mofore("duplicates", "-w", work, "--json").output)
    pairs = [(each["video"], each["other"], each["kind"], each["across"]) for each in found["duplicates"]]
    assert [pair[3] for pair in pairs] == [True, True, False]
    assert {frozenset(pair[:2]) for pair in pairs[:2]} == {
        frozenset(["train/a", "test/a_again"]),
        frozenset(["train/b", "test/b_part"]),
    }
    (part,) = (each for each in found["duplicates"] if each["kind"] == "part")
    assert (part["video"], part["side"], part["other_side"]) == ("test/b_part", "test", "train")
    assert part["other_start_s"] - part["start_s"] == pytest.approx(8 / 25)
    assert part["same_class"]
    assert (found["pairs"], found["pairs_across"], found["queries_with_a_duplicate_in_training"]) == (3, 2, 2)


def test_table_csv_and_limits(mofore: Command, work: Path) -> None:
    shown = mofore("duplicates", "-w", work).output
    assert (
        "near-duplicate pairs among 7 videos: 3; between test and training: 2 (test videos that have one: 2)" in shown
    )
    assert max(map(len, shown.splitlines())) <= 100
    rows = list(csv.DictReader(io.StringIO(mofore("duplicates", "-w", work, "--csv", "--across").output)))
    assert [row["across"] for row in rows] == ["True", "True"]
    assert "and 2 more: --limit 0 shows all" in mofore("duplicates", "-w", work, "--limit", "1").output
    assert "more" not in mofore("duplicates", "-w", work, "--across").output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threshold", "1.5"), "--threshold 1.5"),
        (("--json", "--csv"), "give one of them"),
        (("--space", "nope"), "spaces are"),
        (("--space", "fit:0123"), "not indexed at the level of clips"),
    ],
)
def test_what_cannot_be_done_is_said(mofore: Command, work: Path, options: tuple[str, ...], message: str) -> None:
    result = mofore("duplicates", "-w", work, *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_nothing_alike_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    show(Duplicates((), 7, "frames", 0.9), ())
    assert "no near-duplicates among 7 videos" in capsys.readouterr().out
