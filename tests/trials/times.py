"""The times of frames in every codec and container that can be written here, and spans against whole decodes.

python -m mofore.tests.trials.times WORK

Pictures tell their number by their brightness. Of each combination of codec, container and B-frames, and of copies of
these in other containers, every frame must come once, in order, at strictly rising times that are those of writing; and
a span must be the same span of a whole decode. Exit code 1 if one is not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from mofore.data.decode import decode
from mofore.data.errors import VideoError
from mofore.data.pictures import rgb
from mofore.data.sampling import Span, Within

RATE = 25
DARKEST, STEPS = 20, 5  # frame n is DARKEST + STEPS * (n modulo LEVELS) bright
LEVELS = 40
SIZE = (64, 48)
QUIET = {"x265-params": "log-level=none", "preset": "ultrafast"}

CODECS: dict[str, dict[str, str]] = {
    "mpeg4": {},
    "mpeg1video": {},
    "mpeg2video": {},
    "libx264": {"preset": "ultrafast"},
    "libx265": QUIET,
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "13"},
    "mjpeg": {},
    "msmpeg4": {},
    "wmv2": {},
    "flv": {},
    "ffv1": {},
}
WITH_B_FRAMES = ("mpeg4", "mpeg1video", "mpeg2video", "libx264", "libx265")
CONTAINERS = (".avi", ".asf", ".mp4", ".mov", ".mkv", ".webm", ".ts", ".mpg", ".flv", ".nut", ".3gp", ".h264", ".hevc")
NO_PROGRAM = frozenset([".ts", ".mpg"])  # which write any codec, and read few


@dataclass(frozen=True)
class Film:
    """How a video is written; ``copied_from`` is the container that it lay in before, its packets being copied."""

    codec: str
    suffix: str
    b_frames: int = 0
    frames: int = 40
    options: dict[str, str] = field(default_factory=dict)
    copied_from: str = ""

    def __str__(self) -> str:
        kept = f"{self.copied_from}->{self.suffix}" if self.copied_from else self.suffix
        return f"{self.codec} {kept} {self.b_frames} B-frames"


def films() -> Iterator[Film]:
    """Every combination, whether it can be written here or not."""
    for codec in CODECS:
        for b_frames in (0, 3) if codec in WITH_B_FRAMES else (0,):
            for suffix in CONTAINERS:
                yield Film(codec, suffix, b_frames)
    for codec in WITH_B_FRAMES:
        for suffix in (".mp4", ".mkv"):
            yield Film(codec, suffix, 3, copied_from=".avi")


REFRESHED = {"x264-params": "intra-refresh=1:keyint=50"}
LONG = 400  # frames: more than is worth seeking
ENTRIES = (
    *(Film(codec, suffix, 2, LONG) for codec in ("mpeg4", "libx264") for suffix in (".mp4", ".mkv", ".ts", ".avi")),
    *(Film("libx264", suffix, 0, LONG, REFRESHED) for suffix in (".mp4", ".mkv", ".ts", ".avi")),
    *(Film("libx264", suffix, 0, LONG, REFRESHED, copied_from=".ts") for suffix in (".mp4", ".mkv")),
    Film("libx265", ".mkv", 0, LONG, {"x265-params": "log-level=none:intra-refresh=1:keyint=50"}),
    *(Film("libx264", suffix, 3, LONG, {"x264-params": "open-gop=1:keyint=40"}) for suffix in (".mp4", ".mkv", ".ts")),
    *(Film("libx265", suffix, 3, LONG, {"x265-params": "log-level=none:keyint=40"}) for suffix in (".mp4", ".mkv")),
    *(Film("mpeg2video", suffix, 2, LONG) for suffix in (".mpg", ".ts", ".mkv")),
    *(Film("libvpx-vp9", suffix, 0, LONG, {"g": "50"}) for suffix in (".webm", ".mp4")),
    Film("libsvtav1", ".mp4", 0, LONG, {"g": "50"}),
    Film("mjpeg", ".mov", 0, LONG),
    *(Film(codec, ".mkv", 2, LONG, copied_from=".avi") for codec in ("mpeg4", "libx264")),
)
SPANS = ((10.4, 11.0), (12.12, 12.2), (15.9, 30.0))  # seconds


def brightness(number: int) -> int:
    """Of frame ``number``."""
    return DARKEST + STEPS * (number % LEVELS)


def write(path: Path, film: Film) -> None:
    """Write a film.

    Raises:
        FFmpegError, ValueError: if there is no such encoder, or the container does not take it.
    """
    if film.copied_from:
        with tempfile.TemporaryDirectory() as folder:
            before = Path(folder) / f"before{film.copied_from}"
            write(before, replace(film, suffix=film.copied_from, copied_from=""))
            copy_packets(before, path)
        return
    with av.open(str(path), "w") as container:
        stream = container.add_stream(film.codec, rate=RATE, options={**CODECS[film.codec], **film.options})
        stream.width, stream.height = _size(film)
        stream.pix_fmt = "yuvj420p" if film.codec == "mjpeg" else "yuv420p"
        stream.codec_context.max_b_frames = film.b_frames
        if not film.codec.startswith("lib"):
            stream.bit_rate = 4_000_000  # so that the brightness survives
        if film.b_frames and film.codec == "libx264":
            stream.options = {**stream.options, "b_strategy": "0", **film.options}
        for number in range(film.frames):
            container.mux(stream.encode(_picture(number, film)))
        container.mux(stream.encode())


def copy_packets(before: Path, after: Path) -> None:
    """Put the packets of a file into another container, with whatever times they have."""
    with av.open(str(before)) as source, av.open(str(after), "w") as target:
        stream = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copied
                target.mux(packet)


def complaint(path: Path, film: Film) -> str:
    """What is wrong with the frames that come of a film; empty if nothing is."""
    levels, times_s = _read(path)
    wanted = [brightness(number) for number in range(film.frames)]
    if len(levels) != film.frames:
        return f"{len(levels)} of {film.frames} frames"
    if max(abs(level - want) for level, want in zip(levels, wanted, strict=True)) >= STEPS:
        return "frames out of order"
    if any(after <= before for before, after in pairwise(times_s)):
        return f"{sum(after <= before for before, after in pairwise(times_s))} times do not rise"
    off_s = max(abs(time_s - times_s[0] - number / RATE) for number, time_s in enumerate(times_s))
    # Program streams stamp packs rather than pictures, and a copy keeps what was guessed of MPEG-1's first picture.
    allowed_s = 1 / RATE if film.suffix == ".mpg" or (film.copied_from and film.codec == "mpeg1video") else 0.0
    return f"a time is off by {off_s:.3f} s" if off_s > allowed_s + 0.0021 else ""


def span_complaint(path: Path, span: tuple[float, float]) -> str:
    """Where a span is not the same part of a whole decode; empty if it is."""
    whole = [(rgb(frame).tobytes(), time_s) for frame, time_s in decode(path)]
    inside = Span(*span)
    wanted = [(pixels, time_s) for pixels, time_s in whole if time_s - whole[0][1] in inside]
    found = [(rgb(frame).tobytes(), time_s) for frame, time_s in decode(path, Within(span=inside))]
    if [time_s for _, time_s in found] != [time_s for _, time_s in wanted]:
        return f"{len(found)} frames from {found[0][1]:.2f} s, not {len(wanted)} from {wanted[0][1]:.2f} s"
    other = sum(one != two for (one, _), (two, _) in zip(found, wanted, strict=True))
    return f"{other} of {len(wanted)} frames are other pictures" if other else ""


def _read(path: Path) -> tuple[list[float], list[float]]:
    found = [(float(rgb(frame)[8:-8, 8:-8].mean()), time_s) for frame, time_s in decode(path)]
    return [level for level, _ in found], [time_s for _, time_s in found]


def _size(film: Film) -> tuple[int, int]:
    return (128, 96) if film.codec in ("libsvtav1", "flv") else SIZE


def _picture(number: int, film: Film) -> av.VideoFrame:
    width, height = _size(film)
    pixels = np.full((height, width, 3), brightness(number), np.uint8)
    if film.frames == LONG:  # something that has to be built up: noise that moves
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 1), np.uint8)
        pixels = np.roll(noise, (number % 7, number), (0, 1)).repeat(3, 2)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    frame.pts, frame.time_base = number, Fraction(1, RATE)
    return frame


def try_write(path: Path, film: Film) -> bool:
    """Write a film; whether that can be done here, and what was written is a video at all."""
    try:
        write(path, film)
        with av.open(str(path)) as container:
            return any(stream.codec_context is not None for stream in container.streams.video)
    except (FFmpegError, ValueError, av.codec.codec.UnknownCodecError):
        return False


def examine(folder: Path) -> Iterator[tuple[str, str]]:
    """What was looked at, and the complaint."""
    for number, film in enumerate(films()):
        path = folder / f"{number}{film.suffix}"
        if try_write(path, film):
            yield str(film), complaint(path, film)
    for number, film in enumerate(ENTRIES):
        path = folder / f"long{number}{film.suffix}"
        if try_write(path, film):
            for span in SPANS:
                yield f"{film}, {film.options or ''} span {span}", span_complaint(path, span)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    work: Path = parser.parse_args().work
    work.mkdir(parents=True)
    looked = wrong = 0
    for what, said in _guarded(work):
        looked, wrong = looked + 1, wrong + bool(said)
        print(f"{'WRONG' if said else 'right'}  {what}{': ' if said else ''}{said}", flush=True)
    print(f"{looked} looked at, {wrong} wrong")
    sys.exit(1 if wrong else 0)


def _guarded(work: Path) -> Iterator[tuple[str, str]]:
    try:
        yield from examine(work)
    except VideoError as error:
        yield "reading", str(error)


if __name__ == "__main__":
    main()
