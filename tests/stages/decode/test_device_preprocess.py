from pathlib import Path

import av
import numpy as np
import pytest
import torch

from mofore.data.colours import Matrix
from mofore.data.decode import decode
from mofore.data.pictures import rgb
from mofore.data.planes import PlaneLayout, copy_planes, plane_layout
from mofore.stages.decode.device_preprocess import preprocess_planes, rgb_from_planes
from mofore.stages.decode.preprocess import Preprocess
from mofore.stages.decode.source import Pieces, Reading

RANDOM = np.random.default_rng(0)


def frame(height: int, width: int, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    """A smooth random picture."""
    small = torch.from_numpy(RANDOM.random((1, 3, 6, 8), np.float32))
    large = torch.nn.functional.interpolate(small, (height, width), mode="bilinear")[0]
    picture = (large * 255).byte().permute(1, 2, 0).contiguous().numpy()
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)


def converted(made: av.VideoFrame, layout: PlaneLayout) -> np.ndarray:
    """The picture (H, W, 3) by way of the planes."""
    planes = torch.from_numpy(copy_planes(made, layout)[None])
    assert planes.shape == (1, layout.bytes)
    return rgb_from_planes(planes, layout)[0].permute(1, 2, 0).numpy()


def noise(height: int, width: int, pix_fmt: str) -> av.VideoFrame:
    """Any bytes at all, so that every colour that overflows is there too."""
    made = av.VideoFrame(width, height, pix_fmt)
    for plane in made.planes:
        plane.update(RANDOM.integers(0, 256, plane.buffer_size, np.uint8).tobytes())
    return made


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p"])
@pytest.mark.parametrize("size", [(240, 320), (52, 37), (64, 63)])
def test_colours_are_swscales_to_the_bit(pix_fmt: str, size: tuple[int, int]) -> None:
    made = frame(*size, pix_fmt)
    layout = plane_layout(made)
    assert layout is not None
    assert layout.full_range == (pix_fmt == "yuvj420p")
    assert np.array_equal(converted(made, layout), rgb(made))


@pytest.mark.parametrize("colour_range", [0, 1, 2])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p"])
@pytest.mark.parametrize("size", [(120, 160), (52, 37)])
def test_every_matrix_has_swscales_colours_to_the_bit(size: tuple[int, int], pix_fmt: str, colour_range: int) -> None:
    layouts = {}
    for tag in range(20):
        made = noise(*size, pix_fmt)
        made.colorspace, made.color_range = tag, colour_range
        layout = layouts[tag] = plane_layout(made)
        if layout is not None:
            assert layout.full_range == (colour_range == 2 or pix_fmt == "yuvj420p")
            assert np.array_equal(converted(made, layout), rgb(made)), tag
    assert [tag for tag, layout in layouts.items() if layout is None] == [8, 16, 17]  # YCgCo: the processor's
    assert len({layouts[tag] for tag in (1, 4, 5, 7, 9)}) == 5  # frames of different matrices make no common batch
    assert layouts[1] != layouts[5] == layouts[2] == layouts[6]


def test_a_video_whose_matrix_changes_is_cut_there(tmp_path: Path) -> None:
    path = tmp_path / "both.h264"
    for matrix in ("bt709", "smpte170m"):
        with av.open(str(tmp_path / "part.h264"), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"x264-params": f"colormatrix={matrix}"})
            stream.width, stream.height = 64, 48
            container.mux([*stream.encode(frame(48, 64)), *stream.encode()])
        with path.open("ab") as both:
            both.write((tmp_path / "part.h264").read_bytes())
    preprocess = Preprocess((32, 32), (32, 32), "shortest", "bilinear", (0.5,) * 3, (0.5,) * 3)
    pieces = list(Pieces(path, Reading(preprocess, planes=True), 0, lambda: None))
    assert [piece.layout for piece in pieces] == [
        PlaneLayout(48, 64, full_range=False, matrix=matrix) for matrix in (Matrix.BT709, Matrix.BT601)
    ]


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
