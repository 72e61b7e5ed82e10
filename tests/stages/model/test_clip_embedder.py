"""The embedder over plain tensors."""

import pytest
import torch

from mofore.data.fit_settings import FitSettings
from mofore.stages.frames.memory import Clips
from mofore.stages.model.clip_embedder import ClipEmbedder
from mofore.stages.model.forecaster import Forecaster


@pytest.mark.parametrize(("unit", "stride", "step_s"), [("frames", 2.0, 0.08), ("seconds", 0.1, 0.1)])
@pytest.mark.parametrize("aggregator", ["mean", "transformer"])
def test_clips_without_times_have_those_of_the_fit(unit: str, stride: float, step_s: float, aggregator: str) -> None:
    settings = FitSettings(unit=unit, clip_stride=stride, aggregator=aggregator, clip_length=5)
    teacher = Forecaster(8, settings).eval().teacher
    clips_BLD = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    times_s_BL = (step_s * torch.arange(5.0)).expand(3, -1)
    module = ClipEmbedder(teacher, settings)
    assert torch.equal(module(clips_BLD), teacher(Clips(clips_BLD, times_s_BL)))
    assert torch.equal(module(clips_BLD), module(clips_BLD, times_s_BL.double()))
    assert module(clips_BLD.half()).dtype == torch.float32


def test_other_shapes_are_refused() -> None:
    settings = FitSettings(clip_length=5)
    with pytest.raises(ValueError, match=r"\(5, 8\)"):
        ClipEmbedder(Forecaster(8, settings).teacher, settings)(torch.zeros(5, 8))
