"""What is shown at 60, 80, 120 and 200 columns: as wide as the terminal, and no figure ever cut.

The snapshots are what the terminal shows; after a change that is meant, `python -m tests.pipeline.show.test_widths`
within the package writes them anew, and the difference is read.
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest

from mofore.pipeline import console
from mofore.pipeline.made import read_metrics
from mofore.pipeline.show.metric_tables import metric_tables
from mofore.pipeline.show.summary import MOST_ROWS, summary_tables
from mofore.pipeline.show.table_layout import NOTHING, TableText, cell_len
from mofore.pipeline.workspace import Workspace

SNAPSHOTS = Path(__file__).parent / "snapshots"
WIDTHS = (60, 80, 120, 200)
TABLES: list[TableText] = [
    (
        "Retrieval, % (1,234 queries, 12,345 in the gallery, split official1; best trivial: neighbour_lda_mean_sd)",
        ["embedding", "R@1", "95 %", "R@50", "mAP", "95 %", "mAP against raw", "R@1 against best trivial"],
        [
            ["mofore", "25.0", "10.0-42.5", "100.0", "15.5", "13.8-17.5", "+2.9 better", "+2.5 no difference"],
            ["raw_mean_pool_uncentered", "0.0", "0.0-2.5", "97.5", "12.5", "11.7-13.5", "", "-12.5 no difference"],
        ],
    ),
    (
        "Forecast",
        ["gap, frames", "MSE", "persistence", "climatology", "skill", "skill of damped persistence", "n"],
        [
            ["g = 0", "4.79e-05", "0.000573", "0.0155", "-0.939", "0.009", "1,200"],
            ["all", "0.1", "-", "-", "-", "", "6"],
        ],
    ),
    (
        "Runs",
        ["run", "R@1", "measured", "backbone", "other settings"],
        [
            ["runs/ucf:lr3 *", "88.9", "2026-11-28 04:34", "open_clip:ViT-B-32/laion2b_s34b_b79k", "lr=0.001\nseed=1"],
            ["runs/a_folder_with_a_long_name/that_does_not_end:動画", "-", "-", "timm:resnet18", "-"],
        ],
    ),
    ("A line without a table that says at some length why there is nothing to be shown of what was asked for", [], []),
]


def shown(tables: list[TableText], width: int, patch: pytest.MonkeyPatch) -> str:
    """What a terminal of that width shows."""
    patch.setenv("COLUMNS", str(width))
    written = io.BytesIO()
    text = io.TextIOWrapper(written, encoding="utf-8")
    with contextlib.redirect_stdout(text):
        console.show_tables(tables)
    text.flush()
    return written.getvalue().decode()


@pytest.mark.parametrize("width", WIDTHS)
def test_tables_look_as_they_did(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(TABLES, width, monkeypatch) == (SNAPSHOTS / f"{width}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [20, 40, *WIDTHS])
def test_every_figure_of_a_run_is_shown_whole(width: int, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = read_metrics(Workspace(finished))
    for table in metric_tables(metrics):
        text = shown([table], width, monkeypatch)
        joined = "".join(text.split())
        cells = [cell for row in table[2] for cell in row if cell not in NOTHING]
        assert all("".join(cell.split()) in joined for cell in cells) if width < 60 else all(c in text for c in cells)
        assert "…" not in text
        if width >= 60:
            assert max(map(cell_len, text.splitlines())) <= width


def test_the_summary_of_a_run_fits_one_screen(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = read_metrics(Workspace(finished))
    text = shown(summary_tables(metrics), 80, monkeypatch)
    assert len(text.splitlines()) <= 21, "three lines are left for what is beside it"
    assert text.startswith("With mofore, the nearest video is of the query's class for ")
    (_, columns, rows), *_ = [table for table in summary_tables(metrics) if table[1]]
    assert len(rows) == MOST_ROWS
    assert [row[0] for row in rows][:3] == ["mofore", "predict", "raw_mean_pool"]
    assert "is the best" in {row[columns.index("mAP against best trivial")] for row in rows}


if __name__ == "__main__":
    for each in WIDTHS:
        os.environ["COLUMNS"] = str(each)
        with pytest.MonkeyPatch.context() as patched:
            (SNAPSHOTS / f"{each}.txt").write_text(shown(TABLES, each, patched), encoding="utf-8")
