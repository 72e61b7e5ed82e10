"""What is said of short videos, and that following it helps."""

from dataclasses import replace

import numpy as np
import pytest

from mofore.data.fit_settings import FitSettings
from mofore.data.short_videos import NEARLY_ALL, ShortVideos

SETTINGS = FitSettings()  # clips of 16 frames, gaps from 0 to 16


@pytest.mark.parametrize(
    ("frames", "changes"),
    [
        (48, {}),
        (47, {"clip_length": 15}),
        (40, {"clip_length": 13, "gap_max": 14}),
        (20, {"clip_length": 6, "gap_max": 8}),
        (3, {"clip_length": 1, "gap_max": 1}),
        (2, {"clip_length": 1, "gap_max": 0}),
        (1, {}),
    ],
)
def test_the_suggestion_is_what_the_videos_hold(frames: int, changes: dict[str, float]) -> None:
    found = ShortVideos.of([frames] * 12, SETTINGS)
    assert found.changes == changes
    assert found.few == (frames >= 48)
    assert found.suits == (12 if changes else 0)


@pytest.mark.parametrize("unit", ["frames", "seconds"])
def test_suggestions_are_allowed_and_suit_nearly_all(unit: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        gap_min = float(rng.integers(0, 20))
        settings = FitSettings(
            unit=unit,
            clip_length=int(rng.integers(2, 30)),
            clip_stride=float(rng.integers(1, 5)),
            gap_min=gap_min,
            gap_max=gap_min + float(rng.integers(0, 40)),
            gap_distribution=str(rng.choice(["uniform", "fixed"])),
            inputs="differenced",
            aggregator="gru",
        )
        extents = rng.integers(4, 100, int(rng.integers(1, 80))).tolist()
        found = ShortVideos.of(extents, settings)
        if found.few:
            assert found.changes == {}
            continue
        suited = replace(settings, **found.changes)
        assert ShortVideos.of(extents, suited).few
        assert found.suits >= NEARLY_ALL * len(extents)


def test_videos_of_one_frame_are_passed_over_by_the_suggestion() -> None:
    found = ShortVideos.of([1, 1, 30, 30], SETTINGS)
    assert (found.changes, found.suits) == ({"clip_length": 10, "gap_max": 10}, 2)


def test_both_gaps_are_told() -> None:
    said = ShortVideos.of([40, 20, 20], SETTINGS).told()
    assert "3 of 3 videos cannot hold two clips of 16 frames with the largest gap of 16 between (48; " in said
    assert "the median video has 20), 2 not even with the smallest gap (32)" in said
    assert "--set fit.clip_length=6 --set fit.gap_max=8 would let 3 of 3" in said
    assert "smallest" not in ShortVideos.of([20], replace(SETTINGS, gap_distribution="fixed")).told()
