import pytest
import torch
from torch import Tensor, nn

from mofore.data.fit_settings import FitSettings
from mofore.stages.evaluate.order_sensitivity import order_sensitivity
from mofore.stages.frames.memory import Clips, FrameTensors
from mofore.stages.model.forecaster import make_forecaster

from ..memory import table

SETTINGS = FitSettings(clip_length=4, gap_max=4, embedding_width=6, hidden_width=8)


class LastFrame(nn.Module):
    """Embeds a clip as its last frame."""

    def forward(self, clips: Clips) -> Tensor:
        return clips.features[:, -1]


def memory() -> FrameTensors:
    return FrameTensors.of(table([30, 40, 22, 60]), torch.device("cpu"))


def test_a_mean_is_blind_to_order() -> None:
    forecaster = make_forecaster(6, SETTINGS).eval()
    found = order_sensitivity(forecaster.teacher, memory(), SETTINGS, 0)
    assert found.reversed.mean == pytest.approx(1.0, abs=1e-5)
    assert found.shuffled.mean == pytest.approx(1.0, abs=1e-5)
    assert (found.half_speed.mean or 0) < 1 - 1e-5, "which frames there are is not the same"
    assert found.reversed.n == 4 * 3


def test_the_last_frame_of_a_reversed_clip_is_its_first() -> None:
    frames = memory()
    found = order_sensitivity(LastFrame(), frames, SETTINGS, 0)
    starts = torch.cat([torch.tensor([0, (n - 4) // 2, n - 4]) for n in (30, 40, 22, 60)])
    rows = starts + frames.first_V.repeat_interleave(3)
    first, last = frames.clips(rows[:, None]).features[:, 0], frames.clips(rows[:, None] + 3).features[:, 0]
    expected = nn.functional.cosine_similarity(first, last, dim=1)
    assert found.reversed.mean == pytest.approx(float(expected.mean()), abs=1e-5)
    second = frames.clips(rows[:, None] + 1).features[:, 0]
    halved = nn.functional.cosine_similarity(second, last, dim=1)
    assert found.half_speed.mean == pytest.approx(float(halved.mean()), abs=1e-5), "frames 0 0 1 1"
