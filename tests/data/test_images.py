"""Folders of frame images as videos."""

import os
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mofore.data.decode import decode, expected_frames
from mofore.data.errors import VideoError
from mofore.data.images import frame_series, stat_of_folder
from mofore.data.pictures import rgb
from mofore.data.sampling import Sampling

ENCODERS = {
    ".jpg": ("mjpeg", "yuvj420p"),
    ".png": ("png", "rgb24"),
    ".bmp": ("bmp", "bgr24"),
    ".webp": ("libwebp", "yuv420p"),
    ".ppm": ("ppm", "rgb24"),
    ".tif": ("tiff", "rgb24"),
}


def image(value: int, suffix: str = ".jpg", *, width: int = 32, height: int = 24) -> bytes:
    codec, pix_fmt = ENCODERS[suffix.lower().replace("jpeg", "jpg").replace("tiff", "tif")]
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = width, height, pix_fmt, 25
    encoder.thread_count = 1
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), value, np.uint8), format="rgb24")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def write(folder: Path, *names: str) -> Path:
    """Images whose brightness is 20 times their place (modulo 12) in ``names``."""
    folder.mkdir(exist_ok=True)
    for place, name in enumerate(names):
        (folder / name).write_bytes(image(20 * (place % 12), os.path.splitext(name)[1]))
    return folder


def levels(folder: Path, sampling: Sampling | None = None) -> list[int]:
    return [round(float(rgb(frame).mean()) / 20) for frame, _ in decode(folder, sampling or Sampling())]


@pytest.mark.parametrize(
    "form",
    ["frame{:06d}.jpg", "image_{:05d}.jpg", "img_{:05d}.JPEG", "{:06d}.jpg", "{:05d}.png", "{}.bmp", "f-{}.webp"],
)
@pytest.mark.parametrize("first", [0, 1])
def test_images_are_frames_in_the_order_of_their_numbers(form: str, first: int, tmp_path: Path) -> None:
    folder = write(tmp_path / "v_YoYo_g01_c01", *[form.format(first + n) for n in range(12)])
    assert levels(folder) == list(range(12))
    assert {rgb(frame).shape for frame, _ in decode(folder)} == {(24, 32, 3)}
    assert expected_frames(folder) == 12


@pytest.mark.parametrize("form", ["a b{}.ppm", "100%d{}.tif", "caf\udce9{}.tiff", "a*[1]?{}.png", "c:{}.jpg"])
def test_any_name_before_the_number_will_do(form: str, tmp_path: Path) -> None:
    assert levels(write(tmp_path / "clip", *[form.format(n) for n in range(3)])) == [0, 1, 2]


def test_times_are_of_the_rate_that_is_given(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip", "1.jpg", "2.jpg", "3.jpg")
    assert [time_s for _, time_s in decode(folder)] == pytest.approx([0, 0.04, 0.08])
    assert [time_s for _, time_s in decode(folder, image_fps=2.0)] == [0.0, 0.5, 1.0]


def test_images_that_are_not_kept_are_not_opened(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip", *[f"{n}.png" for n in range(11)])
    for number in (1, 2, 3, 4, 6):
        (folder / f"{number}.png").write_bytes(b"")
    assert levels(folder, Sampling(stride=5)) == [0, 5, 10]
    assert levels(folder, Sampling(fps=5)) == [0, 5, 10]
    assert expected_frames(folder, Sampling(stride=5)) == 3


def test_every_5th_frame_is_none_missing(tmp_path: Path) -> None:
    assert levels(write(tmp_path / "clip", "frame0.jpg", "frame5.jpg", "frame10.jpg")) == [0, 1, 2]


def test_a_missing_frame_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip", *[f"frame{n:03d}.jpg" for n in (1, 2, 3, 4, 5, 6, 8, 9, 10)])
    with pytest.raises(VideoError, match=r"frame 7 is missing \('frame\*\.jpg'\)"):
        list(decode(folder))


def test_a_number_that_is_there_twice_is_told(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="frame 1 is there twice"):
        list(decode(write(tmp_path / "clip", "1.jpg", "01.jpg", "2.jpg")))


def test_a_pattern_says_which_images_are_the_frames(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "clip", "a_1.jpg", "a_2.jpg", "flow_1.JPG", "flow_2.JPG", "flow_3.JPG", "c_1.jpg", "c_2.jpg"
    )
    assert levels(folder / "a_*.jpg") == [0, 1]
    assert levels(folder / "flow_*.JPG") == [2, 3, 4]
    assert levels(folder / "c_*.jpg") == [5, 6]
    assert expected_frames(folder / "flow_*.jpg") == 3
    with pytest.raises(VideoError, match=r"no images 'b_\*\.jpg' with a number for the star"):
        list(decode(folder / "b_*.jpg"))


def test_two_series_of_one_length_are_ambiguous(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip", "img_1.jpg", "img_2.jpg", "mask_1.jpg", "mask_2.jpg")
    with pytest.raises(VideoError, match=r"'img_\*\.jpg' or 'mask_\*\.jpg'\? Set data\.images to one"):
        list(decode(folder))


def test_what_is_beside_the_frames_is_passed_over(tmp_path: Path) -> None:
    frames = [f"img_{n:05d}.jpg" for n in range(4)]
    flow = [f"flow_{axis}_{n:05d}.jpg" for axis in "xy" for n in range(4)]
    folder = write(tmp_path / "clip", *frames, *flow, "cover1.png", "poster.jpg", ".img_00009.jpg")
    (folder / "img_00004.jpg").mkdir()
    (folder / "img_00005.txt").write_text("no image")
    assert levels(folder) == [0, 1, 2, 3]


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip", "1.jpg", "2.jpg", "3.jpg")
    (folder / "2.jpg").write_text("no image")
    frames = decode(folder)
    next(frames)
    with pytest.raises(VideoError, match=r"image '2\.jpg' is not readable: invalid data"):
        next(frames)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".ppm", ".tif"])
def test_half_an_image_is_not_taken_for_a_picture(suffix: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "clip", f"1{suffix}", f"2{suffix}")
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    encoder = av.CodecContext.create(ENCODERS[suffix][0], "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 96, 96, ENCODERS[suffix][1], 25
    content = bytes(encoder.encode(av.VideoFrame.from_ndarray(noise, format="rgb24"))[0])
    (folder / f"2{suffix}").write_bytes(content[: len(content) // 2])
    with pytest.raises(VideoError, match=rf"image '2\{suffix}'"):
        list(decode(folder))


def test_an_image_under_another_suffix_is_read_all_the_same(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip", "1.jpg", "2.jpg")
    (folder / "2.jpg").write_bytes(image(20, ".png"))
    assert levels(folder) == [0, 1]


def test_a_dangling_image_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip", "1.jpg", "2.jpg")
    (folder / "3.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(VideoError, match=r"image '3\.jpg': No such file"):
        list(decode(folder))


def test_a_pipe_among_the_images_does_not_hang(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip", "1.jpg", "2.jpg")
    os.mkfifo(folder / "3.jpg")
    with pytest.raises(VideoError, match=r"image '3\.jpg': not a file"):
        list(decode(folder))


@pytest.mark.parametrize("names", [[], ["1.jpg"], ["poster.jpg", "cover.jpg"]])
def test_a_folder_without_a_series_is_no_video(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="holds no images whose names end in a number"):
        list(decode(write(tmp_path / "clip", *names)))
    with pytest.raises(FileNotFoundError):
        stat_of_folder(tmp_path / "clip")
    assert expected_frames(tmp_path / "clip") == 0


def test_frames_may_differ_in_size(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip", "1.jpg", "2.jpg")
    (folder / "2.jpg").write_bytes(image(20, width=51, height=37))
    assert [rgb(frame).shape for frame, _ in decode(folder)] == [(24, 32, 3), (37, 51, 3)]


@given(st.sets(st.integers(0, 10**12), min_size=2, max_size=30), st.sampled_from(["", "img_", "v1.", "12-"]))
def test_a_series_is_in_the_order_of_its_numbers_whatever_order_the_disk_has(found: set[int], before: str) -> None:
    (series,) = frame_series(f"{before}{number}.jpg" for number in found)
    assert series.numbers == tuple(sorted(found))
    assert series.names == tuple(f"{before}{number}.jpg" for number in sorted(found))
    assert series.pattern == f"{before}*.jpg"
