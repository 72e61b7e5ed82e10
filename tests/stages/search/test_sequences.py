import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from mofore.cache.shard import row_offsets
from mofore.cache.store import FrameTable
from mofore.data.clips import spread_parts
from mofore.data.fit_settings import FitSettings
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.model.spaces import Space
from mofore.stages.search.sequences import sequences

extents = st.lists(st.integers(1, 500), min_size=1, max_size=5)


@given(extents, st.integers(1, 20), st.integers(1, 64))
def test_parts_stay_inside_in_order_and_apart(frames: list[int], parts: int, span: int) -> None:
    extent_V = torch.tensor(frames)
    video_B, windows = spread_parts(extent_V, span=span, parts=parts)
    start_VP, span_VP = windows.start_B.view(len(frames), parts), windows.span_B.view(len(frames), parts)
    assert video_B.tolist() == [video for video in range(len(frames)) for _ in range(parts)]
    assert (start_VP >= 0).all()
    assert (start_VP + span_VP <= extent_V[:, None]).all()
    assert (span_VP == torch.clamp(extent_V // parts, min=1, max=span)[:, None]).all()
    whole = extent_V >= parts
    assert (start_VP[whole, 1:] >= (start_VP + span_VP)[whole, :-1]).all(), "they do not overlap"


@given(extents, st.integers(1, 20))
def test_parts_in_seconds_are_in_the_middle_of_theirs(seconds: list[int], parts: int) -> None:
    extent_V = torch.tensor(seconds, dtype=torch.float64)
    _, windows = spread_parts(extent_V, span=0.5, parts=parts)
    middle_VP = (windows.start_B + windows.span_B / 2).view(len(seconds), parts)
    expected_VP = (torch.arange(parts) + 0.5) * extent_V[:, None] / parts
    assert torch.allclose(middle_VP, expected_VP)


def test_a_sequence_of_the_space_of_frames_is_the_means_of_its_parts() -> None:
    features = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float16)
    table = FrameTable(features, np.arange(40) / 25, row_offsets([24, 16]), ("a", "b"))
    space = Space("frames", "", FitSettings(clip_length=100), 1, None)
    found_VSE = sequences(space, FrameTensors.of(table, torch.device("cpu")), 4)
    assert found_VSE.shape == (2, 4, 6)
    for video, (first, part) in enumerate(((0, 6), (24, 4))):
        for step in range(4):
            mean = features[first + step * part : first + (step + 1) * part].astype(np.float32).mean(axis=0)
            assert np.allclose(found_VSE[video, step], mean / np.linalg.norm(mean), atol=1e-5)
