"""Videos of each kind that people have, written here and read back: frames, order, times, size."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image, ImageOps

from mofore.data.decode import decode, expected_frames
from mofore.data.errors import VideoError
from mofore.data.pictures import UPRIGHT, Orientation, orientation, rgb
from mofore.data.sampling import Sampling

FRAMES, RATE = 8, 25
DARKEST, STEP = 40, 24  # brightness of frame n: DARKEST + n * STEP
QUIET_X265 = {"x265-params": "log-level=none", "preset": "ultrafast"}


@dataclass(frozen=True)
class Kind:
    """How a video is encoded; ``width`` and ``height`` in pixels."""

    suffix: str
    codec: str
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    width: int = 64
    height: int = 48


KINDS = {
    "AVI MPEG-4": Kind(".avi", "mpeg4"),
    "AVI MJPEG": Kind(".avi", "mjpeg", "yuvj420p"),
    "AVI FFV1": Kind(".avi", "ffv1", "yuv444p"),
    "MP4 H.264": Kind(".mp4", "libx264"),
    "MP4 H.264 with B-frames": Kind(".mp4", "libx264", options={"bf": "3", "b_strategy": "0", "refs": "4"}),
    "MP4 H.264 in fragments": Kind(".mp4", "libx264", options={"movflags": "frag_keyframe+empty_moov", "g": "4"}),
    "MKV HEVC": Kind(".mkv", "libx265", options=QUIET_X265),
    "MP4 HEVC 10 bit": Kind(".mp4", "libx265", "yuv420p10le", QUIET_X265),
    "WebM VP9": Kind(".webm", "libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}),
    "MP4 AV1": Kind(".mp4", "libsvtav1", options={"preset": "13"}, width=128, height=96),
    "GIF": Kind(".gif", "gif", "gray"),
    "MPEG-TS H.264": Kind(".ts", "libx264", options={"bf": "2", "b_strategy": "0"}),
    "MPEG-PS MPEG-2": Kind(".mpg", "mpeg2video"),
    "raw H.264": Kind(".h264", "libx264", options={"bf": "2", "b_strategy": "0"}),
    "odd sides, H.264 4:4:4": Kind(".mp4", "libx264", "yuv444p", width=51, height=37),
    "odd sides, MPEG-4 4:2:0": Kind(".avi", "mpeg4", width=51, height=37),
    "odd sides, VP9 4:2:0": Kind(".webm", "libvpx-vp9", options={"deadline": "realtime"}, width=51, height=37),
    "gray": Kind(".mkv", "ffv1", "gray"),
    "gray, 16 bit": Kind(".mkv", "ffv1", "gray16le"),
    "with alpha": Kind(".mkv", "ffv1", "yuva420p"),
    "RGB with alpha": Kind(".mov", "png", "rgba"),
    "palette": Kind(".mov", "png", "pal8"),
}


def picture(number: int, kind: Kind) -> av.VideoFrame:
    """A plain picture whose brightness tells its number, with a lighter mark at the upper left."""
    pixels = np.full((kind.height, kind.width, 3), DARKEST + number * STEP, np.uint8)
    pixels[: kind.height // 3, : kind.width // 3] += 24
    if kind.pix_fmt == "pal8":
        palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 4, axis=1)
        return av.VideoFrame.from_ndarray((pixels[:, :, 0].copy(), palette), format="pal8")
    return av.VideoFrame.from_ndarray(pixels, format="rgb24")


def add_video(container: av.container.OutputContainer, kind: Kind) -> av.VideoStream:
    try:
        stream = container.add_stream(kind.codec, rate=RATE, options=dict(kind.options))
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this FFmpeg has no encoder {kind.codec}")
    stream.width, stream.height, stream.pix_fmt = kind.width, kind.height, kind.pix_fmt
    return stream


def packets(stream: av.VideoStream, kind: Kind, ticks: Sequence[int]) -> Iterator[av.Packet]:
    for number, tick in enumerate(ticks):
        frame = picture(number, kind)
        frame.pts, frame.time_base = tick, Fraction(1, RATE)
        yield from stream.encode(frame)
    yield from stream.encode()


def write(path: Path, kind: Kind, frames: int = FRAMES) -> Path:
    options = {key: value for key, value in kind.options.items() if key == "movflags"}
    with av.open(str(path), "w", options=options) as container:
        stream = add_video(container, kind)
        for packet in packets(stream, kind, range(frames)):
            container.mux(packet)
    return path


def add_sound(container: av.container.OutputContainer, codec: str = "mp2") -> av.AudioStream:
    return container.add_stream(codec, rate=48000, layout="mono")


def sound(stream: av.AudioStream) -> Iterator[av.Packet]:
    samples = np.zeros((1, 1152 * 12), np.int16)
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate, frame.pts = 48000, 0
    resampler = av.AudioResampler(stream.format, "mono", 48000, frame_size=1152)
    for piece in resampler.resample(frame):
        yield from stream.encode(piece)
    yield from stream.encode()


def add_cover(container: av.container.OutputContainer) -> av.Packet:
    """An attached picture of 32 x 32 pixels, as music files have."""
    kind = Kind("", "mjpeg", "yuvj420p", width=32, height=32)
    stream = add_video(container, kind)
    stream.disposition = Disposition.attached_pic
    (packet,) = packets(stream, kind, [0])
    return packet


def numbers(path: Path, sampling: Sampling | None = None) -> list[int]:
    """Which frames come, told by their brightness at the lower right."""
    frames = decode(path, sampling or Sampling())
    return [round((float(rgb(frame)[-8:, -8:].mean()) - DARKEST) / STEP) for frame, _ in frames]


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_comes_in_order_with_its_time_and_size(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = write(tmp_path / f"video{kind.suffix}", kind)
    frames = [(rgb(frame), time_s) for frame, time_s in decode(path)]
    assert {picture.shape for picture, _ in frames} == {(kind.height, kind.width, 3)}
    assert numbers(path) == list(range(FRAMES))
    times_s = np.array([time_s for _, time_s in frames])
    assert np.allclose(times_s - times_s[0], np.arange(FRAMES) / RATE, atol=1e-6)


def test_frames_stored_in_another_order_are_put_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "b.mp4", KINDS["MP4 H.264 with B-frames"])
    with av.open(str(path)) as container:
        stored = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    assert stored != sorted(stored)
    assert numbers(path) == list(range(FRAMES))


@pytest.mark.parametrize("name", ["AVI MPEG-4", "MP4 H.264 with B-frames", "GIF", "WebM VP9", "raw H.264"])
def test_sampling_keeps_the_same_frames_in_every_container(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"video{KINDS[name].suffix}", KINDS[name])
    assert numbers(path, Sampling(stride=3)) == [0, 3, 6]
    assert numbers(path, Sampling(fps=5)) == [0, 5]


@pytest.mark.parametrize("name", ["AVI MPEG-4", "MP4 H.264", "WebM VP9", "GIF", "MPEG-TS H.264"])
def test_a_single_frame_is_a_video(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"video{KINDS[name].suffix}", KINDS[name], frames=1)
    assert numbers(path) == [0]
    assert numbers(path, Sampling(fps=5)) == [0]


# The matrix of ISO 14496-12 (a, b, c, d), which takes (x, y) to (a x + c y, b x + d y) with y downwards.
TURNED = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def turn(path: Path, matrix: tuple[float, float, float, float]) -> None:
    """Write a display matrix into a track's header, as phones do."""

    def packed(a: float, b: float, c: float, d: float) -> bytes:
        fixed = [round(65536 * value) for value in (a, b, 0, c, d, 0, 0, 0)]
        return struct.pack(">9i", *fixed, 1 << 30)

    content = path.read_bytes()
    at = content.index(packed(1, 0, 0, 1), content.index(b"tkhd"))
    path.write_bytes(content[:at] + packed(*matrix) + content[at + 36 :])


@pytest.mark.parametrize("clockwise", TURNED)
@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
def test_a_turned_picture_is_set_upright(suffix: str, clockwise: int, tmp_path: Path) -> None:
    path = write(tmp_path / f"phone{suffix}", KINDS["MP4 H.264"])
    turn(path, TURNED[clockwise])
    lying = np.zeros((48, 64), bool)
    lying[:16, :21] = True  # the mark
    for number, (frame, _) in enumerate(decode(path)):
        upright = rgb(frame)
        marked = np.abs(upright[:, :, 0].astype(int) - (DARKEST + number * STEP)) > 12
        assert np.mean(marked != np.rot90(lying, -clockwise // 90)) < 0.03  # but for the codec's noise at its edge
        assert orientation(frame) == Orientation(turns=-clockwise // 90 % 4)
        assert upright.flags.c_contiguous


# EXIF's numbers, whose meaning Pillow knows, and the same as display matrices.
MIRRORED = {2: (-1, 0, 0, 1), 4: (1, 0, 0, -1), 5: (0, 1, 1, 0), 7: (0, -1, -1, 0)}


@pytest.mark.parametrize("number", MIRRORED)
def test_a_mirrored_picture_is_set_upright_as_pillow_does_it(number: int, tmp_path: Path) -> None:
    path = write(tmp_path / "mirror.mp4", KINDS["MP4 H.264"], frames=2)
    plain = [rgb(frame) for frame, _ in decode(path)]
    turn(path, MIRRORED[number])
    for stored, (frame, _) in zip(plain, decode(path), strict=True):
        image = Image.fromarray(stored)
        image.getexif()[0x0112] = number
        assert np.array_equal(rgb(frame), np.asarray(ImageOps.exif_transpose(image)))


def test_a_slanted_picture_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "odd.mp4", KINDS["MP4 H.264"], frames=2)
    turn(path, (0.7, 0.7, -0.7, 0.7))
    assert [orientation(frame) for frame, _ in decode(path)] == [UPRIGHT, UPRIGHT]
    assert [rgb(frame).shape for frame, _ in decode(path)] == [(48, 64, 3)] * 2


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_times_of_a_variable_rate_are_kept(suffix: str, tmp_path: Path) -> None:
    path, kind, ticks = tmp_path / f"variable{suffix}", KINDS["MP4 H.264 with B-frames"], [0, 1, 2, 25, 26, 60]
    with av.open(str(path), "w") as container:
        stream = add_video(container, kind)
        for packet in packets(stream, kind, ticks):
            container.mux(packet)
    assert numbers(path) == list(range(6))
    assert [round(time_s * RATE) for _, time_s in decode(path)] == ticks
    assert numbers(path, Sampling(fps=1)) == [0, 3, 5]


def test_sound_before_the_video_is_no_hindrance(tmp_path: Path) -> None:
    path, kind = tmp_path / "talk.mkv", KINDS["MP4 H.264"]
    with av.open(str(path), "w") as container:
        voice = add_sound(container)
        video = add_video(container, kind)
        for packet in [*sound(voice), *packets(video, kind, range(FRAMES))]:
            container.mux(packet)
    assert numbers(path) == list(range(FRAMES))


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        voice = add_sound(container, "aac")
        for packet in sound(voice):
            container.mux(packet)
    with pytest.raises(VideoError, match="no video stream"):
        list(decode(path))
    assert expected_frames(path) == 0


@pytest.mark.parametrize("suffix", [".m4a", ".mp3"])
def test_cover_art_is_no_video(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"song{suffix}"
    codec, container_format = {".m4a": ("aac", "mp4"), ".mp3": ("libmp3lame", "mp3")}[suffix]
    with av.open(str(path), "w", format=container_format) as container:
        voice = add_sound(container, codec)
        cover = add_cover(container)
        for packet in [cover, *sound(voice)]:
            container.mux(packet)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    with pytest.raises(VideoError, match="no video stream"):
        list(decode(path))


def test_cover_art_attached_to_matroska_is_no_video(tmp_path: Path) -> None:
    path, image = tmp_path / "song.mkv", write(tmp_path / "cover.mjpeg", KINDS["AVI MJPEG"], frames=1)
    with av.open(str(path), "w") as container:
        voice = add_sound(container)
        container.add_attachment("cover.jpg", "image/jpeg", image.read_bytes())
        for packet in sound(voice):
            container.mux(packet)
    with pytest.raises(VideoError, match="no video stream"):
        list(decode(path))


def test_a_video_is_preferred_to_its_cover(tmp_path: Path) -> None:
    path, kind = tmp_path / "film.mp4", KINDS["MP4 H.264"]
    with av.open(str(path), "w") as container:
        cover = add_cover(container)
        video = add_video(container, kind)
        for packet in [cover, *packets(video, kind, range(FRAMES))]:
            container.mux(packet)
    assert numbers(path) == list(range(FRAMES))
    assert {rgb(frame).shape for frame, _ in decode(path)} == {(48, 64, 3)}


def test_of_several_videos_the_default_one_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "angles.mkv"
    small, large = Kind("", "libx264", width=32, height=32), Kind("", "libx264")
    with av.open(str(path), "w") as container:
        streams = [add_video(container, small), add_video(container, large)]
        streams[0].disposition = Disposition(0)
        streams[1].disposition = Disposition.default
        for packet in [*packets(streams[0], small, range(4)), *packets(streams[1], large, range(4))]:
            container.mux(packet)
    assert {rgb(frame).shape for frame, _ in decode(path)} == {(48, 64, 3)}


@pytest.mark.parametrize("name", ["raw H.264", "MPEG-TS H.264"])
def test_frames_of_both_sizes_come_where_the_size_changes(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    larger = Kind(kind.suffix, kind.codec, options=kind.options, width=96, height=64)
    parts = [write(tmp_path / f"{part.width}{kind.suffix}", part) for part in (kind, larger)]
    path = tmp_path / f"both{kind.suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    shapes = [rgb(frame).shape for frame, _ in decode(path)]
    assert shapes == [(48, 64, 3)] * FRAMES + [(64, 96, 3)] * FRAMES
    assert numbers(path) == [*range(FRAMES), *range(FRAMES)]


def test_a_clock_that_starts_anew_runs_on(tmp_path: Path) -> None:
    part = write(tmp_path / "part.ts", KINDS["MPEG-TS H.264"])
    path = tmp_path / "twice.ts"
    path.write_bytes(part.read_bytes() * 2)
    times_s = np.array([time_s for _, time_s in decode(path)])
    assert times_s - times_s[0] == pytest.approx(np.arange(2 * FRAMES) / RATE)
    assert numbers(path, Sampling(fps=5)) == [0, 5, 2, 7]


def test_frames_without_times_follow_the_average_rate(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.h264", KINDS["raw H.264"])
    assert [frame.time for frame, _ in decode(path)] == [None] * FRAMES
    assert [time_s for _, time_s in decode(path)] == pytest.approx([n / RATE for n in range(FRAMES)])


def test_a_codec_that_ffmpeg_does_not_know_is_said_so(tmp_path: Path) -> None:
    path = write(tmp_path / "future.avi", KINDS["AVI MPEG-4"])
    content = path.read_bytes()
    path.write_bytes(content.replace(b"FMP4", b"Qzzq"))
    with pytest.raises(VideoError, match="no decoder for its codec"):
        list(decode(path))


def test_damage_in_the_middle_is_told_with_the_frames_before_it(tmp_path: Path) -> None:
    path = write(tmp_path / "damaged.mov", KINDS["RGB with alpha"])
    content = bytearray(path.read_bytes())
    fifth = [at for at in range(len(content)) if content[at : at + 4] == b"IHDR"][4]
    content[fifth : fifth + 12] = b"\xff" * 12
    path.write_bytes(content)
    with pytest.raises(VideoError, match="damaged after 4 frames"):
        list(decode(path))


@pytest.mark.parametrize(("name", "promised"), [("AVI MPEG-4", FRAMES), ("MP4 H.264", FRAMES), ("raw H.264", 0)])
def test_what_the_container_promises_is_a_forecast(name: str, promised: int, tmp_path: Path) -> None:
    path = write(tmp_path / f"video{KINDS[name].suffix}", KINDS[name])
    assert expected_frames(path) == promised
    assert expected_frames(path, Sampling(stride=3)) == -(-promised // 3)
