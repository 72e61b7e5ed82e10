import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mofore.cache.shard import row_offsets
from mofore.cache.store import FrameTable
from mofore.data.fit_settings import FitSettings
from mofore.stages.evaluate.direction import BothWays, FramesDifference, arrow_of_time, reversal
from mofore.stages.frames.memory import Clips, FrameTensors
from mofore.stages.model.embedding import FramesMean

SETTINGS = FitSettings(clip_length=6, gap_max=4)
VIDEOS, FRAMES, WIDTH = 60, 24, 16


def memory(drift: float) -> FrameTensors:
    """Looks that differ, noise, and, if ``drift`` is not 0, one direction in which all videos go."""
    rng = np.random.default_rng(0)
    looks = 3 * rng.standard_normal((VIDEOS, 1, WIDTH))
    way = drift * np.linspace(-1, 1, FRAMES)[:, None] * np.eye(WIDTH)[0]
    features = (looks + way + 0.2 * rng.standard_normal((VIDEOS, FRAMES, WIDTH))).astype(np.float16)
    times = np.tile(np.arange(FRAMES) / 25, VIDEOS)
    ids = tuple(map(str, range(VIDEOS)))
    table = FrameTable(features.reshape(-1, WIDTH), times, row_offsets([FRAMES] * VIDEOS), ids)
    return FrameTensors.of(table, torch.device("cpu"))


def arrow(embedder: nn.Module, frames: FrameTensors) -> float:
    both = BothWays.of(embedder, frames, SETTINGS)
    train, test = np.arange(40), np.arange(40, VIDEOS)
    return float(arrow_of_time(both[train], both[test], train // 2, 0).mean())


class Recency(nn.Module):
    """Embeds a clip as its frames, the later the more."""

    def forward(self, clips: Clips) -> Tensor:
        weight = torch.arange(clips.features.shape[1], dtype=torch.float32)
        return (weight[:, None] * clips.features).sum(dim=1)


@pytest.mark.parametrize("embedder", [FramesDifference(), Recency()], ids=["difference", "recency"])
def test_a_drift_that_all_videos_share_is_an_arrow(embedder: nn.Module) -> None:
    assert arrow(embedder, memory(drift=3.0)) > 0.95


def test_without_a_drift_there_is_none() -> None:
    assert abs(arrow(FramesDifference(), memory(drift=0.0)) - 0.5) < 0.2


def test_a_mean_over_frames_has_exactly_a_half() -> None:
    frames = memory(drift=3.0)
    assert arrow(FramesMean(), frames) == 0.5
    assert set(reversal(BothWays.of(FramesMean(), frames, SETTINGS)).tolist()) == {0.5}


def test_windows_that_go_the_same_way_are_nearer_to_each_other() -> None:
    both = BothWays.of(FramesDifference(), memory(drift=3.0), SETTINGS)
    assert reversal(both).mean() > 0.95
    there_VE, back_VE = both.forwards[:, 0], both.backwards[:, 1]
    turned = BothWays(
        torch.stack([there_VE, back_VE], dim=1), torch.stack([both.backwards[:, 0], both.forwards[:, 1]], dim=1)
    )
    assert np.allclose(reversal(turned), 1 - reversal(both)), "a video that goes there and back"


def test_the_difference_of_a_reversed_clip_is_its_negative() -> None:
    both = BothWays.of(FramesDifference(), memory(drift=1.0), SETTINGS)
    assert torch.allclose(both.backwards, -both.forwards, atol=1e-5)
    clip = torch.arange(5.0)[None, :, None]
    assert FramesDifference()(Clips(clip)).item() == 3.0, "of 0 1 2 3 4: 3.5 less 0.5"
    assert FramesDifference()(Clips(clip[:, :1])).item() == 0.0
    assert functional.normalize(both.forwards, dim=-1).allclose(both.forwards, atol=1e-5)


def test_recordings_that_cannot_be_held_out_leave_a_fixed_regularisation() -> None:
    both = BothWays.of(FramesDifference(), memory(drift=3.0), SETTINGS)
    one_recording = np.zeros(40, np.int64)
    found = arrow_of_time(both[np.arange(40)], both[np.arange(40, VIDEOS)], one_recording, 0)
    assert found.shape == (20,)
    assert found.mean() > 0.95
