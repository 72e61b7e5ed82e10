"""What is said where there is nothing to show, of metrics as they are measured."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mofore.data.metrics import Metrics
from mofore.data.types import Split, Video
from mofore.pipeline.show.metric_tables import metric_tables

from ...stages.evaluate.test_report import VIDEOS, measure, video

LAST = frozenset(v.id for v in VIDEOS[12:])


def split_of(videos: tuple[Video, ...], test: frozenset[str] = LAST) -> Split:
    return Split("groups", frozenset(v.id for v in videos) - test, test)


def shown(metrics: dict[str, Any]) -> tuple[list[str], dict[str, list[str]]]:
    """Titles and lines in their order, and the columns of each table."""
    tables = metric_tables(Metrics.from_json(metrics))
    return [title for title, _, _ in tables], {title.split()[0]: columns for title, columns, _ in tables if columns}


def test_with_classes_on_both_sides_every_table_is_there(tmp_path: Path) -> None:
    titles, tables = shown(measure(tmp_path, VIDEOS, split_of(VIDEOS)))
    assert titles[0].startswith("Retrieval, % (6 queries, 12 in the gallery, split groups;")
    assert list(tables) == ["Retrieval,", "Classes", "The", "Health", "Forecast", "Table", "Cosine"]


def test_without_classes_one_line_after_all_that_needs_none(tmp_path: Path) -> None:
    videos = tuple(video(n, None) for n in range(12))
    metrics = measure(tmp_path, videos, split_of(videos, frozenset(v.id for v in videos[8:])))
    titles, tables = shown(metrics)
    assert list(tables) == ["Health", "Forecast", "Table", "Cosine"]
    assert titles[-1].startswith("Retrieval and classes: no video has a class.")
    assert "data.layout, data.table" in titles[-1]
    assert "mofore duplicates" in titles[-1]
    rows = next(rows for title, _, rows in metric_tables(Metrics.from_json(metrics)) if title.startswith("Table 2"))
    assert [row[0] for row in rows] == ["forecast_mse", "same_video", "different videos", "temporal_consistency"]


@pytest.mark.parametrize(("side", "name"), [("test", "no test video"), ("training", "no training video")])
def test_a_side_without_classes_is_named(side: str, name: str, tmp_path: Path) -> None:
    bare = tuple(replace(v, label=None) if (v.id in LAST) == (side == "test") else v for v in VIDEOS)
    titles, _ = shown(measure(tmp_path, bare, split_of(bare)))
    assert titles[-1].startswith(f"Retrieval and classes: {name} of split groups has a class.")


def test_without_test_videos_the_split_is_named(tmp_path: Path) -> None:
    titles, _ = shown(measure(tmp_path, VIDEOS, split_of(VIDEOS, frozenset())))
    assert titles[-1].startswith("Retrieval and classes: split groups has no test video to ask with (data.split).")


def test_one_class_has_no_figures_of_100_percent(tmp_path: Path) -> None:
    videos = tuple(replace(v, label="A") for v in VIDEOS)
    titles, tables = shown(measure(tmp_path, videos, split_of(videos)))
    assert titles[0].startswith("Retrieval: one class: 100 % is what anything gets")
    assert "Classes" not in tables
    assert tables["Health"][-2:] == ["group probe", "chance"], "recordings can be told apart"


def test_classes_that_the_gallery_lacks_are_named(tmp_path: Path) -> None:
    videos = tuple(replace(v, label="XY"[v.id in LAST]) for v in VIDEOS)
    titles, tables = shown(measure(tmp_path, videos, split_of(videos)))
    assert titles[0].startswith("Retrieval: the 6 test videos are of classes that the gallery lacks (Y),")
    assert "Classes" not in tables


def test_some_classes_that_the_gallery_lacks_are_counted(tmp_path: Path) -> None:
    new = {VIDEOS[12].id: "X", VIDEOS[13].id: "X", VIDEOS[14].id: "Y"}
    videos = tuple(replace(v, label=new.get(v.id, v.label)) for v in VIDEOS)
    titles, _ = shown(measure(tmp_path, videos, split_of(videos)))
    assert "(3 queries (and 3 left out, of classes that the gallery lacks: X: 2, Y: 1), 12 in the gallery" in titles[0]
    assert titles[1].endswith("(1-NN, 20-NN, probe: of all queries; a class that the gallery lacks counts as wrong)")


def test_several_classes_a_video_leave_figures_out_and_say_so(tmp_path: Path) -> None:
    videos = tuple(replace(v, more_labels=("X",)) if n < 2 else v for n, v in enumerate(VIDEOS))
    titles, _ = shown(measure(tmp_path, videos, split_of(videos)))
    assert titles[2] == (
        "Not measured, since 2 videos have several classes: few shot, probe, confusions, clustering, group probe"
    )


def test_an_empty_forecast_says_what_would_fill_it(tmp_path: Path) -> None:
    metrics = measure(tmp_path, VIDEOS, split_of(VIDEOS))
    assert "why_empty" not in metrics["forecast"]
    why = {"videos": 6, "median": 12, "clip": 16, "gap": 0.0, "long_enough": 0, "settings": {"clip_length": 4}}
    metrics["forecast"] = {"unit": "frames", "gaps": {}, "all": {}, "why_empty": {**why, "suits": 6}}
    titles, _ = shown(metrics)
    assert (
        "Forecast: not measured, since of 6 test videos none holds two clips of 16 frames and a gap of 0, that is 32; "
        "the median one has 12. --set fit.clip_length=4 would let 6"
    ) in titles
    metrics["forecast"]["why_empty"] = {**why, "videos": 1, "suits": 1}
    assert "Forecast: not measured, since it takes two test videos and there is one (data.split)" in shown(metrics)[0]
