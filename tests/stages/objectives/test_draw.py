import torch

from mofore.data.clips import GapRange
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.objectives.draw import Draw

from .trained import motions, settings_of

AMONG = (1.0, 2.0, 4.0, 8.0)


def draw_of(**changes: object) -> Draw:
    settings = settings_of("playback_rate", **changes)
    memory = FrameTensors.of(motions(range(1, 2)), torch.device("cpu"))
    return Draw(settings, memory, torch.arange(20).repeat(20), torch.Generator().manual_seed(0), GapRange(0, 6))


def test_paces_that_fit_are_equally_likely() -> None:
    for length, fit in ((4, 4), (6, 4), (7, 3), (12, 3), (13, 2)):  # of 48 frames
        pace_P, fit_P = draw_of(clip_length=length).paces(AMONG)
        assert bool((fit_P == fit).all())
        assert pace_P.bincount().min() > 0.7 * len(pace_P) / fit
        assert int(pace_P.max()) == fit - 1


def test_paces_in_seconds_are_those_in_frames() -> None:
    pace_P, fit_P = draw_of(unit="seconds", clip_length=6, clip_stride=0.04).paces(AMONG)
    assert bool((fit_P == 4).all())
    assert set(pace_P.tolist()) == {0, 1, 2, 3}
