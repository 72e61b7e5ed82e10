"""Rows that are windows of frames: clips of them, and the gaps between, by what they have really seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mofore.cache.shard import row_offsets
from mofore.cache.store import FrameTable
from mofore.data.clips import Windows
from mofore.data.fit_settings import FitSettings
from mofore.data.sampling import Span
from mofore.stages.frames.memory import FrameTensors, evenly_spread
from mofore.stages.frames.sampler import make_sampler
from mofore.stages.search.embedding import cut

FPS = 10.0
SETTINGS = FitSettings(clip_length=2, gap_min=0, gap_max=2, batch_size=4, aggregator="conv", steps=20)


def windowed(frames: list[int], window: int, hop: int) -> FrameTable:
    """Row t of video v is (v, its first frame, its last frame)."""
    rows, counts = [], []
    for video, number in enumerate(frames):
        firsts = range(0, number - window + 1, hop)
        rows += [(video, first, first + window - 1) for first in firsts]
        counts.append(len(firsts))
    features = np.array(rows, np.float16)
    starts, ends = features[:, 1].astype(np.float64) / FPS, (features[:, 2].astype(np.float64) + 1) / FPS
    return FrameTable(features, starts, row_offsets(counts), tuple(f"v{n}" for n in range(len(frames))), ends)


def memory_of(window: int, hop: int) -> FrameTensors:
    return FrameTensors.of(windowed([90, 120, 75, 200, 60], window, hop), torch.device("cpu"))


@pytest.mark.parametrize(
    ("window", "hop", "rows", "seconds"),
    [(8, 8, 0, 0.0), (8, 4, 1, 0.4), (8, 2, 3, 0.6), (8, 3, 2, 0.5), (4, 6, 0, 0.0)],
)
def test_what_windows_share_is_counted(window: int, hop: int, rows: int, seconds: float) -> None:
    memory = memory_of(window, hop)
    assert memory.shared_V("frames").tolist() == [rows] * 5
    assert memory.shared_V("seconds").tolist() == pytest.approx([seconds] * 5)


@pytest.mark.parametrize("objective_unit", ["frames", "seconds"])
@pytest.mark.parametrize(("window", "hop"), [(8, 8), (8, 4), (8, 2), (8, 3), (4, 6)])
@pytest.mark.parametrize("predictor", ["mlp", "horizons"])
def test_a_future_never_sees_a_frame_of_its_context(window: int, hop: int, objective_unit: str, predictor: str) -> None:
    step_s = hop / FPS
    settings = replace(SETTINGS, predictor=predictor)
    if objective_unit == "seconds":
        settings = replace(settings, unit="seconds", clip_stride=step_s, gap_max=1.0)
    memory = memory_of(window, hop)
    sampler = make_sampler(settings, memory, memory.usable_V(settings.gap_least, settings.unit))
    looked_at = 0
    for batch in sampler.batches(0, 20):
        horizons = batch.gap_BH.shape[1]
        context_end = (batch.context.features[:, -1, 2] + 1).repeat_interleave(horizons)
        apart_s = (batch.target.features[:, 0, 1] - context_end) / FPS
        assert (apart_s >= -1e-6).all(), "they share a frame"
        gap_s = batch.gap_BH.flatten() * (step_s if objective_unit == "frames" else 1.0)
        assert (apart_s >= gap_s - step_s - 1e-6).all(), "the gap is real time, to within a row as with frames"
        looked_at += len(apart_s)
    assert looked_at >= 80


def test_gaps_of_single_rows_without_overlap_are_exact() -> None:
    memory = memory_of(8, 8)
    item_B, pairs = evenly_spread(memory, SETTINGS, gap=2, starts=3)
    first = memory.rows(item_B, pairs.future, 2)[:, 0]
    last = memory.rows(item_B, pairs.context, 2)[:, -1]
    assert torch.equal(first - last, torch.full_like(first, 3))


def test_a_clip_is_seen_to_the_end_of_its_last_window() -> None:
    memory = memory_of(8, 4)
    assert memory.duration_V.tolist() == pytest.approx([8.4, 11.6, 6.8, 19.6, 5.6]), "a step for each window"
    video_B = torch.tensor([1, 1])
    start_s, end_s = memory.seconds(video_B, Windows(torch.tensor([0, 3]), torch.tensor([2, 2])), 2)
    assert start_s.tolist() == pytest.approx([0.0, 1.2])
    assert end_s.tolist() == pytest.approx([1.2, 2.4])


def test_a_span_takes_the_windows_whose_middle_is_in_it() -> None:
    table = windowed([60, 60], 8, 4)
    found = cut(table, [Span(1.0, 2.0), None])
    assert np.diff(found.offsets).tolist() == [2, 14]
    assert found.ends_s_N is not None
    middles = (found.times_s_N[:2] + found.ends_s_N[:2]) / 2
    assert middles.tolist() == pytest.approx([1.2, 1.6])  # of 0.4, 0.8, 1.2, 1.6, 2.0, ... from the first frame
