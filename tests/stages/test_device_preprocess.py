from pathlib import Path

import av
import numpy as np
import pytest
import torch

from mofore.data.decode import decode
from mofore.data.pictures import rgb
from mofore.data.planes import copy_planes, plane_layout
from mofore.stages.device_preprocess import preprocess_planes, rgb_from_planes
from mofore.stages.preprocess import Preprocess

RANDOM = np.random.default_rng(0)


def frame(height: int, width: int, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    """A smooth random picture."""
    small = torch.from_numpy(RANDOM.random((1, 3, 6, 8), np.float32))
    large = torch.nn.functional.interpolate(small, (height, width), mode="bilinear")[0]
    picture = (large * 255).byte().permute(1, 2, 0).contiguous().numpy()
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p"])
@pytest.mark.parametrize("size", [(240, 320), (52, 37), (64, 63)])
def test_colours_are_swscales_to_the_bit(pix_fmt: str, size: tuple[int, int]) -> None:
    made = frame(*size, pix_fmt)
    layout = plane_layout(made)
    assert layout is not None
    assert layout.full_range == (pix_fmt == "yuvj420p")
    planes = torch.from_numpy(copy_planes(made, layout)[None])
    assert planes.shape == (1, layout.bytes)
    ours = rgb_from_planes(planes, layout)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(ours, rgb(made))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_frames_come_out_as_from_the_processor(interpolation: str) -> None:
    preprocess = Preprocess((96, 96), (110, 110), "shortest", interpolation, (0.5,) * 3, (0.5,) * 3)
    made = frame(240, 320)
    layout = plane_layout(made)
    assert layout is not None
    ours = preprocess_planes(torch.from_numpy(copy_planes(made, layout)[None]), layout, preprocess)
    theirs = preprocess(torch.from_numpy(rgb(made)[None].copy()))
    assert ours.shape == theirs.shape
    assert (ours.float() - theirs.float()).abs().mean() < 0.5


def test_other_pixel_formats_are_left_to_swscale() -> None:
    assert plane_layout(frame(31, 32)) is None
    assert plane_layout(frame(32, 32, "yuv444p")) is None
    assert plane_layout(frame(32, 32, "yuv420p10le")) is None
    assert plane_layout(frame(32, 32, "rgb24")) is None


@pytest.mark.real
def test_real_clips_come_out_as_from_the_processor(shared: Path) -> None:
    preprocess = Preprocess((224, 224), (256, 256), "shortest", "bicubic", (0.5,) * 3, (0.5,) * 3)
    for clip in sorted((shared / "data" / "ucf101-mini" / "videos").rglob("*.avi"))[::60]:
        made, _ = next(decode(clip))
        layout = plane_layout(made)
        assert layout is not None
        ours = preprocess_planes(torch.from_numpy(copy_planes(made, layout)[None]), layout, preprocess)
        theirs = preprocess(torch.from_numpy(rgb(made)[None].copy()))
        assert (ours.float() - theirs.float()).abs().mean() < 0.5
