"""What is measured only when it is asked for, on sets whose outcome a reader can say."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mofore.cache.shard import row_offsets
from mofore.cache.store import FrameTable
from mofore.data.metrics import Metrics
from mofore.data.progress import Silent
from mofore.data.types import Split, Video
from mofore.stages.evaluate import mveb
from mofore.stages.evaluate import stage as evaluate
from mofore.stages.fit import stage as fit

from .test_report import FIT, FRAMES, MEASURED, TRAIN, VIDEOS, WIDTH, given, table

ALL = {"mveb": True, "harder": True, "chiral_pairs": ("A <> B",)}
ROWS = {"mofore", "untrained", "raw_mean_pool"}


@pytest.fixture(autouse=True)
def small_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """16,384 of the six queries say no more than 256 of them."""
    monkeypatch.setattr(mveb, "CLUSTERED", 256)


def measured(tmp_path: Path, frames: FrameTable, videos: tuple[Video, ...], split: Split, **asked: Any) -> Any:
    fit.run(FIT, frames, tmp_path / "fit" / "0a", progress=Silent())
    inputs = given(tmp_path, videos, frames, split)
    found, _ = evaluate.run(replace(MEASURED, **asked), inputs, tmp_path / "evaluate", progress=Silent())
    assert Metrics.from_json(json.loads((tmp_path / "evaluate" / "metrics.json").read_text())) == found
    return found.as_json()


def of_groups(videos: tuple[Video, ...] = VIDEOS) -> Split:
    return Split("groups", TRAIN, frozenset(v.id for v in videos) - TRAIN)


def test_all_that_is_asked_for_stands_beside_the_raw_features(tmp_path: Path) -> None:
    found = measured(tmp_path, table(VIDEOS), VIDEOS, of_groups(), **ALL)
    assert set(found["mveb"]) == {"mofore", "predict", "persistence", *ROWS} & set(found["retrieval"])
    raw = found["mveb"]["raw_mean_pool"]
    assert (raw["classification"]["accuracy"], raw["classification"]["n"]) == (100, 6)
    assert raw["classification"]["chance"] == pytest.approx(100 / 3)
    assert raw["clustering"]["v_measure"] == pytest.approx(100)
    harder = found["harder"]
    assert set(harder["attentive_probe"]) == ROWS
    for view in ("arrow_of_time", "reversal", "chirality"):
        assert set(harder[view]) == {*ROWS, "raw_difference"}
    probed = harder["attentive_probe"]["raw_mean_pool"]
    assert (probed["accuracy"], probed["mean"], probed["chance"], probed["n"]) == (100, 100, pytest.approx(100 / 3), 6)
    low, high = probed["interval_by_group"]
    assert low <= 100 <= high
    blind = harder["arrow_of_time"]["raw_mean_pool"]
    assert (blind["accuracy"], blind["chance"], blind["interval"]) == (50, 50, [50, 50])
    pair = harder["chirality"]["raw_mean_pool"]
    assert (pair["accuracy"], pair["chance"]) == (100, 50)
    assert pair["pairs"]["A <> B"]["n"] == 4


def test_nothing_is_measured_unless_it_is_asked_for(tmp_path: Path) -> None:
    found = measured(tmp_path, table(VIDEOS), VIDEOS, of_groups())
    assert not {"mveb", "harder"} & set(found)
    pairs_alone = measured(tmp_path / "pairs", table(VIDEOS), VIDEOS, of_groups(), chiral_pairs=("A <> B",))["harder"]
    assert pairs_alone.pop("chirality")
    assert set(map(str, pairs_alone.values())) == {"{}"}


def test_measuring_twice_gives_the_same(tmp_path: Path) -> None:
    once, again = (measured(tmp_path / name, table(VIDEOS), VIDEOS, of_groups(), **ALL) for name in ("a", "b"))
    assert once == again


def test_opposite_classes_of_one_look_are_told_apart_by_direction_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    videos = tuple(Video(f"v{n:02d}.avi", "AB"[n % 2], f"g{n // 2:02d}", 1, 1) for n in range(40))
    sign = np.array([1 if v.label == "A" else -1 for v in videos])[:, None, None]
    drift = sign * np.linspace(-1, 1, FRAMES)[:, None] * np.eye(WIDTH)[1]
    features = np.eye(WIDTH)[0] + drift + 0.05 * rng.standard_normal((40, FRAMES, WIDTH))
    frames = FrameTable(
        features.reshape(-1, WIDTH).astype(np.float16), np.tile(np.arange(FRAMES) / 25, 40),
        row_offsets([FRAMES] * 40), tuple(v.id for v in videos),
    )  # fmt: skip
    train = frozenset(v.id for v in videos[:24])
    split = Split("groups", train, frozenset(v.id for v in videos) - train)
    harder = measured(tmp_path, frames, videos, split, harder=True, chiral_pairs=("A <> B",))["harder"]
    assert harder["chirality"]["raw_difference"]["accuracy"] == 100
    assert harder["chirality"]["raw_mean_pool"]["accuracy"] < 85
    assert harder["reversal"]["raw_difference"]["accuracy"] > 95
    assert harder["arrow_of_time"]["raw_difference"]["accuracy"] < 80, "half of the videos go the other way"


def test_several_classes_leave_out_what_needs_one(tmp_path: Path) -> None:
    videos = tuple(replace(v, more_labels=("E",)) if n % 5 == 0 else v for n, v in enumerate(VIDEOS))
    found = measured(tmp_path, table(VIDEOS), videos, of_groups(), **ALL)
    assert "mveb" not in found
    assert {"mveb", "attentive_probe", "chirality"} <= set(found["left_out"]["figures"])
    assert (found["harder"]["attentive_probe"], found["harder"]["chirality"]) == ({}, {})
    assert set(found["harder"]["reversal"]) == {*ROWS, "raw_difference"}


def test_recordings_that_are_tested_are_not_fitted_on(tmp_path: Path) -> None:
    leaking = Split("random", frozenset(v.id for v in VIDEOS[::2]), frozenset(v.id for v in VIDEOS[1::2]))
    assert measured(tmp_path, table(VIDEOS), VIDEOS, leaking, harder=True)["harder"]["arrow_of_time"] == {}
