"""Decoded frames as RGB, against the formulas of H.273 in floating point."""

import gc
import io
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from mofore.data.colours import Matrix, matrix_of
from mofore.data.decode import decode
from mofore.data.pictures import Orientation, of_display_matrix, rgb

TAGS = range(20)  # 0 to 17 have names; a decoder may hand on others
LUMA = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
UNTAGGED = {0: 5, 2: 5, 3: 5, 18: 5, 19: 5}
STANDS_IN = {10: 9, 11: 9, 12: 1, 13: 1, 14: 9, 15: 9}
MPEG, JPEG = 1, 2
# swscale rounds down, after each step where chroma has less than full size.
WITHIN = {
    "yuv444p": 0.6, "yuvj444p": 0.6, "yuv420p": 3.0, "yuvj420p": 3.0, "yuv422p": 3.0, "nv12": 3.5, "yuva420p": 3.0,
    "yuv420p10le": 4.0, "yuv422p10le": 4.0, "p010le": 4.0,
}  # fmt: skip
COLOURS = np.random.default_rng(0).random((40, 3))


def plain(pix_fmt: str, values: tuple[int, ...], *, size: tuple[int, int] = (16, 16)) -> av.VideoFrame:
    """A frame of one colour; ``values`` by component."""
    frame = av.VideoFrame(size[1], size[0], pix_fmt)
    bits = frame.format.components[0].bits
    sample = np.uint8 if bits == 8 else np.uint16
    samples = [np.array([value << 6 if pix_fmt == "p010le" else value], sample) for value in values]
    if pix_fmt in ("nv12", "p010le"):
        samples = [samples[0], np.concatenate(samples[1:3])]
    for plane, pattern in zip(frame.planes, samples, strict=False):
        plane.update(np.tile(pattern, plane.buffer_size // pattern.nbytes).tobytes())
    return frame


def frames_of(path: Path) -> Iterator[av.VideoFrame]:
    return (frame for frame, _ in decode(path))


def coded(colour: np.ndarray, luma: tuple[float, float], bits: int, *, full: bool) -> tuple[int, int, int]:
    """Y, U and V of a colour from 0 to 1."""
    (kr, kb), (red, green, blue) = luma, colour
    y = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - y) / (2 * (1 - kb)), (red - y) / (2 * (1 - kr))
    unit, middle = 1 << (bits - 8), 1 << (bits - 1)
    if full:
        most = (1 << bits) - 1
        return round(y * most), min(round(u * most) + middle, most), min(round(v * most) + middle, most)
    return round((219 * y + 16) * unit), round(224 * u * unit) + middle, round(224 * v * unit) + middle


def decoded(yuv: tuple[int, int, int], luma: tuple[float, float], bits: int, *, full: bool) -> np.ndarray:
    """RGB from 0 to 255, not rounded."""
    kr, kb = luma
    unit, middle, most = 1 << (bits - 8), 1 << (bits - 1), (1 << bits) - 1
    y = yuv[0] / most if full else (yuv[0] - 16 * unit) / (219 * unit)
    u, v = ((value - middle) / (most if full else 224 * unit) for value in yuv[1:])
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    return np.clip(255 * np.array([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue]), 0, 255)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pix_fmt", WITHIN)
def test_colours_are_of_the_matrix_and_the_range_that_the_tags_say(pix_fmt: str, full: bool) -> None:
    full = full or pix_fmt.startswith("yuvj")
    bits = av.VideoFormat(pix_fmt).components[0].bits
    for tag in sorted({*LUMA, *UNTAGGED, *STANDS_IN}):
        luma = LUMA[{**UNTAGGED, **STANDS_IN}.get(tag, tag)]
        for colour in COLOURS:
            yuv = coded(colour, luma, bits, full=full)
            frame = plain(pix_fmt, (*yuv, 255))
            frame.colorspace, frame.color_range = tag, JPEG if full else MPEG
            seen = rgb(frame)[8, 8]
            assert np.abs(seen - decoded(yuv, luma, bits, full=full)).max() <= WITHIN[pix_fmt], (tag, colour)


@pytest.mark.parametrize(
    "pix_fmt",
    ["yuv420p", "yuvj420p", "yuv410p", "yuyv422", "nv12", "yuv444p", "yuva420p", "yuv420p10le", "p010le", "yuv444p12le",
     "gray", "gray10le", "ya8", "gbrp", "gbrp10le", "rgb24", "rgba", "xyz12le"],
)  # fmt: skip
def test_no_frame_fails_for_its_tag(pix_fmt: str) -> None:
    for tag in TAGS:
        for primaries in (1, 2, 6, 9):
            for colour_range in (0, MPEG, JPEG):
                frame = av.VideoFrame(51, 37, pix_fmt)
                for plane in frame.planes:
                    plane.update(bytes(plane.buffer_size))
                frame.colorspace, frame.color_primaries, frame.color_range = tag, primaries, colour_range
                assert rgb(frame).shape == (37, 51, 3)
                assert frame.colorspace == tag


@pytest.mark.parametrize(("primaries", "matrix"), [(1, 1), (2, 1), (6, 7), (7, 7), (9, 9)])
def test_a_matrix_derived_from_the_primaries_is_the_one_of_these(primaries: int, matrix: int) -> None:
    frame = plain("yuv420p", (100, 90, 160))
    for tag in (12, 13):
        frame.colorspace, frame.color_primaries = tag, primaries
        assert matrix_of(frame) == matrix


def in_ycgco(rgb_3N: np.ndarray) -> np.ndarray:
    red, green, blue = rgb_3N
    return np.stack([(red + 2 * green + blue) / 4, (2 * green - red - blue) / 4, (red - blue) / 2])


def in_ycgco_r(rgb_3N: np.ndarray) -> np.ndarray:
    red, green, blue = rgb_3N
    co = red - blue
    rest = blue + (co >> 1)
    cg = green - rest
    return np.stack([rest + (cg >> 1), cg, co])


def frame_of(planes_3HW: np.ndarray, pix_fmt: str) -> av.VideoFrame:
    height, width = planes_3HW.shape[1:]
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, values_HW in zip(frame.planes, planes_3HW, strict=True):
        values_HW = values_HW.astype(np.uint8 if pix_fmt[-2:] != "le" else "<u2")
        lines = np.zeros((height, plane.line_size // values_HW.itemsize), values_HW.dtype)
        lines[:, :width] = values_HW
        plane.update(lines.tobytes())
    return frame


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("bits", "pix_fmt"), [(8, "yuv444p"), (10, "yuv444p10le")])
def test_ycgco_is_undone(bits: int, pix_fmt: str, full: bool) -> None:
    levels = np.random.default_rng(1).integers(0, 256, (3, 37, 51))
    unit = 1 << (bits - 8)
    stored = levels / 255 * ((1 << bits) - 1) if full else (16 + levels / 255 * 219) * unit
    planes = np.round(in_ycgco(stored) + np.array([0, 128 * unit, 128 * unit])[:, None, None])
    frame = frame_of(np.clip(planes, 0, (1 << bits) - 1), pix_fmt)
    frame.colorspace, frame.color_range = Matrix.YCGCO, JPEG if full else MPEG
    assert np.abs(rgb(frame).astype(int) - levels.transpose(1, 2, 0)).max() <= 2


@pytest.mark.parametrize(("matrix", "bits"), [(Matrix.YCGCO_RE, 10), (Matrix.YCGCO_RO, 9)])
def test_reversible_ycgco_is_undone_to_the_bit(matrix: Matrix, bits: int) -> None:
    levels = np.random.default_rng(2).integers(0, 256, (3, 37, 51))
    planes = in_ycgco_r(levels) + np.array([0, 1 << (bits - 1), 1 << (bits - 1)])[:, None, None]
    frame = frame_of(planes, f"yuv444p{bits}le")
    frame.colorspace, frame.color_range = matrix, JPEG
    assert np.array_equal(rgb(frame), levels.transpose(1, 2, 0))


@pytest.mark.parametrize("pix_fmt", ["gray", "ya8", "gray10le", "gray16le"])
def test_gray_of_the_narrow_range_is_widened(pix_fmt: str) -> None:
    bits = av.VideoFormat(pix_fmt).components[0].bits
    for level, widened in ((16, 0), (235, 255), (126, 128)):
        frame = av.VideoFrame(16, 16, pix_fmt)
        one = np.array([level << (bits - 8)], np.uint8 if bits == 8 else "<u2")
        pattern = np.array([level, 255], np.uint8) if pix_fmt == "ya8" else one
        frame.planes[0].update(np.tile(pattern, frame.planes[0].buffer_size // pattern.nbytes).tobytes())
        for colour_range, expected in ((MPEG, widened), (JPEG, level), (0, level)):
            frame.color_range = colour_range
            assert np.abs(rgb(frame).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("colormatrix", "tag"),
    [("bt709", 1), ("fcc", 4), ("bt470bg", 5), ("smpte170m", 6), ("smpte240m", 7), ("YCgCo", 8), ("bt2020nc", 9),
     ("bt2020c", 10), ("smpte2085", 11), ("chroma-derived-nc", 12), ("chroma-derived-c", 13), ("ICtCp", 14)],
)  # fmt: skip
def test_a_video_of_any_matrix_is_read(colormatrix: str, tag: int, tmp_path: Path) -> None:
    path = tmp_path / "tagged.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": f"colormatrix={colormatrix}"})
        stream.width = stream.height = 64
        container.mux([*stream.encode(plain("yuv420p", (120, 100, 160), size=(64, 64))), *stream.encode()])
    ((frame, _),) = decode(path)
    assert frame.colorspace == tag
    if tag == Matrix.YCGCO:
        expected = np.clip((np.array([120 + 28 + 32, 120 - 28, 120 + 28 - 32]) - 16) * 255 / 219, 0, 255)
    else:
        expected = decoded((120, 100, 160), LUMA[STANDS_IN.get(tag, tag)], 8, full=False)
    assert np.abs(rgb(frame)[32, 32] - expected).max() <= 4  # one of them the codec's


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 0.5, 89.5])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_display_matrices_are_quarter_turns_of_the_picture_or_its_mirror_image(
    degrees: float, mirrored: bool, scale: float
) -> None:
    """Where the matrix moves a corner is where the corner comes to lie."""
    radians = np.radians(degrees)
    turn = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])  # columns a c, b d below
    (a, c), (b, d) = scale * turn @ np.diag([-1 if mirrored else 1, 1])
    picture = np.zeros((3, 5, 3), np.uint8)
    picture[0, 0] = 1
    upright = of_display_matrix(np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30]) * (1 << 16)).upright(picture)
    assert upright.flags.c_contiguous
    corner, middle = np.array([0.0, 0.0]), np.array([2.0, 1.0])
    x, y = np.array([[a, c], [b, d]]) @ (corner - middle)
    row, column = np.argwhere(upright[:, :, 0])[0]
    assert (row == 0, column == 0) == (y < 0, x < 0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_slanted_picture_is_left_alone(mirrored: bool) -> None:
    for degrees in (2, 45, 130):
        a, b = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        sign = -1 if mirrored else 1
        assert of_display_matrix(np.array([sign * a, sign * b, 0, -b, a, 0, 0, 0, 1])) == Orientation()


def h264(*orientations: str) -> bytes:
    """A raw stream, 12 frames bright above and dark below, anew for each orientation that is written into its SEI."""
    picture_HWC = np.repeat(np.array([200, 50], np.uint8), 32)[:, None, None].repeat(64, 1).repeat(3, 2)
    plain, stream = io.BytesIO(), b""
    with av.open(plain, "w", format="h264") as container:
        encoder = container.add_stream("libx264", rate=25)
        encoder.width = encoder.height = 64
        for _ in range(12):
            container.mux(encoder.encode(av.VideoFrame.from_ndarray(picture_HWC, "rgb24")))
        container.mux(encoder.encode())
    for orientation in orientations:
        with av.open(io.BytesIO(plain.getvalue()), format="h264") as container:
            options = f"display_orientation=insert:{orientation}"
            noting = BitStreamFilterContext(f"h264_metadata={options}", container.streams.video[0])
            packets = [packet for packet in container.demux() if packet.size]
            stream += b"".join(bytes(noted) for packet in [*packets, None] for noted in noting.filter(packet))
    return stream


def test_an_orientation_that_changes_within_a_video_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "turning.h264"
    path.write_bytes(h264("rotate=0", "flip=vertical", "rotate=0", "rotate=180"))
    bright_above = [bool(picture[0].mean() > picture[-1].mean()) for picture in map(rgb, frames_of(path))]
    assert bright_above == [True] * 12 + [False] * 12 + [True] * 12 + [False] * 12


def test_frames_that_are_let_go_are_freed_at_once(tmp_path: Path) -> None:
    """Reading a frame's side data ties it in a circle that only Python's collector would undo."""
    path = tmp_path / "upright.h264"
    path.write_bytes(h264("rotate=0", "rotate=0"))
    gc.collect()
    gc.disable()
    try:
        for frame in frames_of(path):
            rgb(frame)
        alive = sum(type(found) is av.VideoFrame for found in gc.get_objects())
    finally:
        gc.enable()
    assert alive <= 4  # the last one, and one for each of the two key frames
