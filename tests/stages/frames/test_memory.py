import numpy as np
import pytest
import torch

from mofore.cache.shard import row_offsets
from mofore.cache.store import FrameTable
from mofore.data.clips import Windows
from mofore.stages.frames import memory as frame_memory
from mofore.stages.frames.memory import FrameTensors

from ..memory import counting_memory, table


def windows(starts: list[float], spans: list[float], *, seconds: bool = False) -> Windows:
    kind = torch.float64 if seconds else torch.int64
    return Windows(torch.tensor(starts, dtype=kind), torch.tensor(spans, dtype=kind))


def test_clips_are_the_frames_of_their_own_video_with_their_times() -> None:
    memory = counting_memory([5, 9])
    rows = memory.rows(torch.tensor([1, 0]), windows([4, 0], [3, 2]), 3)
    clips = memory.clips(rows)
    assert clips.features.tolist() == [[[1, 4], [1, 5], [1, 6]], [[0, 0], [0, 0], [0, 1]]]
    assert clips.times_s_BL is not None
    assert torch.allclose(clips.times_s_BL, torch.tensor([[0, 0.04, 0.08], [0, 0, 0.04]]))


def test_a_mean_counts_each_frame_once_with_and_without_prefix_sums() -> None:
    memory = counting_memory([5, 9])
    video_B = torch.tensor([1, 0, 1])
    rows = memory.rows(video_B, windows([4, 0, 0], [3, 2, 3]), 3)
    expected = [[1, 5], [0, 0.5], [1, 1]]
    assert torch.allclose(memory.means(video_B, rows, dense=True).features, torch.tensor(expected))
    assert torch.allclose(memory.with_prefix_sums().means(video_B, rows, dense=True).features, torch.tensor(expected))


def test_prefix_sums_are_exact_on_long_videos_and_where_frames_repeat() -> None:
    memory = FrameTensors.of(table([1776, 500], width=16), torch.device("cpu"))
    video_B = torch.tensor([0, 0, 1, 1])
    rows = memory.rows(video_B, windows([0, 1760, 484, 90], [16, 16, 16, 5]), 16)
    plain = memory.means(video_B, rows, dense=True).features
    summed = memory.with_prefix_sums().means(video_B, rows, dense=True).features
    assert torch.equal(plain, summed)


def test_long_clips_and_long_videos_are_summed_in_parts_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = FrameTensors.of(table([900, 700], width=16), torch.device("cpu"))
    video_B = torch.arange(2).repeat(20)
    rows = memory.rows(video_B, windows([7 * n for n in range(40)], [30 - n % 3 for n in range(40)]), 30)
    means, pooled = memory.means(video_B, rows, dense=True).features, memory.mean_pool()
    monkeypatch.setattr(frame_memory, "SUM_BYTES", 50_000)
    assert torch.equal(memory.means(video_B, rows, dense=True).features, means)
    assert torch.equal(memory.mean_pool(), pooled)


def test_sd_pool_is_the_deviation_over_all_frames() -> None:
    frames = table([5, 9, 1])
    videos = np.split(frames.features_ND.astype(np.float64), frames.offsets[1:-1])
    expected_VD = np.stack([frames_TD.std(axis=0) for frames_TD in videos])
    assert FrameTensors.of(frames, torch.device("cpu")).sd_pool().numpy() == pytest.approx(expected_VD, abs=1e-6)


def test_seconds_find_the_frame_that_is_shown_then_in_every_video() -> None:
    # the second video runs at 10 fps and pauses from 0.2 s to 1.0 s
    times = np.concatenate([np.arange(6) / 25, [0.0, 0.1, 0.2, 1.0, 1.1]])
    rows = np.arange(11, dtype=np.float16)[:, None]
    memory = FrameTensors.of(FrameTable(rows, times, row_offsets([6, 5]), ("a", "b")), torch.device("cpu"))
    assert torch.allclose(memory.duration_V, torch.tensor([0.24, 1.375], dtype=torch.float64))
    found = memory.rows(torch.tensor([0, 1, 1]), windows([0.08, 0.0, 0.9], [0.12, 1.2, 0.4], seconds=True), 4)
    assert found.tolist() == [[2, 2, 3, 4], [6, 8, 8, 8], [8, 9, 10, 10]]


def test_a_video_of_one_frame_has_no_duration_and_is_found() -> None:
    memory = FrameTensors.of(table([1, 10]), torch.device("cpu"))
    assert memory.duration_V[0] == 0
    assert memory.usable_V(0.0, "seconds").tolist() == [1]
    assert memory.rows(torch.tensor([0]), windows([0.0], [0.0], seconds=True), 3).tolist() == [[0, 0, 0]]


def test_a_frame_that_is_not_finite_is_named() -> None:
    broken = table([20, 25, 30])
    memory = FrameTensors.of(broken, torch.device("cpu"))
    assert memory.unsound_frame() is None
    broken.features_ND[27] = np.inf
    assert memory.unsound_frame() == (1, 7)
