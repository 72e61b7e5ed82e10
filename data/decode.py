"""Frames of a video, in the order they are shown, each with its true time (PyAV).

A video is a file, or a folder of frame images (:mod:`.images`). The count in a container's header is never
used: it is wrong often enough (13 of 300 UCF101 clips). Nor are its times believed (:mod:`.frame_times`).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .arrays import UInt8
from .damage import Damage
from .errors import UnreachedError, VideoError
from .frame_times import DECODE_TIMES_ALONE, REORDERED, Clock, ShownOrder, from_decode_times, rising
from .image_files import exif_orientation, read_apart
from .images import folder_of, frame_names, is_frame_folder, read_image
from .key_frames import is_key, packets_from
from .pictures import Orientations, rgb
from .remote import RemoteFile, broken_read, open_object
from .remote_path import RemotePath
from .sampling import EVERY_FRAME, Sampling
from .truncation import refuse_truncated
from .types import NO_VIDEO

IMAGE_FPS = 25.0
WORTH_SEEKING_S = 10.0  # a key frame may be as far back
SLOWEST, FASTEST = 0.01, 1000.0  # frames a second that are believed
LONGEST_S = 1e7  # a third of a year, likewise


def decode(
    path: Path,
    sampling: Sampling = EVERY_FRAME,
    *,
    image_fps: float = IMAGE_FPS,
    tick: Callable[[], None] = lambda: None,
    damage: Damage | None = None,
) -> Iterator[tuple[VideoFrame, float]]:
    """The frames that ``sampling`` keeps, and their presentation times in seconds, which rise strictly.

    Frames may differ in size. An image that ``sampling`` passes over is not even opened; a file is entered in its
    middle where ``sampling`` wants nothing before, and what comes is the same as in a whole decode.

    Args:
        path: a video file, or a folder of frame images.
        sampling: which frames are kept.
        image_fps: frames per second of a folder of images, whose times are counted from 0.
        tick: called for each frame that is decoded, kept or not.
        damage: told of it; if damage is to be kept, errors within a file do not end it.

    Raises:
        VideoError: if the file is no video, has no video stream (cover art is none), is truncated, or breaks
            off with an error; if an image is missing or cannot be read.
    """
    if is_frame_folder(path):
        return _image_frames(path, sampling, image_fps)
    return sampling.select(_frames(_Watch(path, tick, damage or Damage()), sampling.seek_s))


def expected_frames(path: Path, sampling: Sampling = EVERY_FRAME, *, image_fps: float = IMAGE_FPS) -> int:
    """How many frames the container promises, 0 if nothing: a forecast for progress views, often wrong."""
    return sampling.expected(*_promised(path, image_fps))


def duration_s(path: Path, *, image_fps: float = IMAGE_FPS) -> float:
    """How long the container says that the video lasts, 0 if nothing: good enough to spread pictures over it."""
    return _promised(path, image_fps)[1]


def _promised(path: Path, image_fps: float) -> tuple[int, float]:
    """Frames and seconds of the container, 0 for what it does not say."""
    try:
        if is_frame_folder(path):
            images = len(frame_names(path))
            return images, images / image_fps
        with _opened(path) as (container, stream):
            seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
            seconds = seconds or (container.duration or 0) / av.time_base
            seconds = seconds if 0 < seconds <= LONGEST_S else 0.0
            frames = stream.frames or round(seconds * (believable_rate(stream) or 0))
            # Damaged and clockless files promise more frames than they have bytes.
            return (frames if 0 < frames <= container.size else 0), seconds
    except (FFmpegError, OSError, VideoError):
        return 0, 0.0


def picture(path: Path) -> UInt8:
    """An image file as RGB, uint8 (H, W, 3), upright.

    Raises:
        VideoError: if it cannot be read.
    """
    try:
        return rgb(_image(path.name, read_image(path.parent, path.name)))
    except OSError as error:
        raise VideoError(f"cannot be opened: {error.strerror or error}") from error


def key_picture(path: Path, near_s: float) -> UInt8:
    """A picture of a video file from about ``near_s`` on, RGB (H, W, 3), upright: a key frame, since it costs little.

    Which one depends on the container: it is for looking at, and for nothing that is measured.

    Raises:
        VideoError: if none can be decoded.
    """
    try:
        with _opened(path) as (container, stream):
            stream.codec_context.skip_frame = "NONKEY"
            if near_s > 0:
                container.seek(round(near_s * av.time_base))
            orientations = Orientations()
            for frame in container.decode(stream):
                orientations.note(frame)
                _refuse_broken(path)
                return rgb(frame)
        if near_s > 0:  # the container led past its last key frame
            return key_picture(path, 0.0)
        _refuse_broken(path)
    except (FFmpegError, OSError) as error:
        raise _unreadable(path, error) from error
    raise VideoError("no frame could be decoded")


@dataclass(frozen=True, slots=True)
class _Watch:
    """Who is told of every frame that is decoded, and of damage; and the video."""

    path: Path
    tick: Callable[[], None]
    damage: Damage

    def decoded(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        """The frames that come out when a packet goes in."""
        _refuse_broken(self.path)
        try:
            frames = packet.decode()
        except FFmpegError as error:
            if not self.damage.keep:
                raise
            self.damage.error(_reason(error))
            return []
        for frame in frames:
            self.tick()
            self.damage.frames += 1
            self.damage.marked += frame.is_corrupt
        return frames


def _frames(watch: _Watch, seek_s: float) -> Iterator[tuple[VideoFrame, float]]:
    """All frames; or the first one, and then those from a key frame on that is no later than ``seek_s`` after it."""
    path, frames = watch.path, 0
    try:
        _refuse_truncated(path, watch.damage)
        for found in _entered(watch, seek_s):
            yield found
            frames += 1
        _refuse_broken(path)
    except (FFmpegError, OSError) as error:
        raise _unreadable(path, error, frames) from error
    if frames == 0:
        raise VideoError("no frame could be decoded")


def _refuse_truncated(path: Path, damage: Damage) -> None:
    try:
        refuse_truncated(path)
    except VideoError as error:
        if not damage.keep:
            raise
        damage.error(str(error))


def _entered(watch: _Watch, seek_s: float) -> Iterator[tuple[VideoFrame, float]]:
    """The first frame, then those from a key frame before ``seek_s`` on, if it is worth to go there, and safe."""
    with _opened(watch.path) as (container, stream):
        frames = _timed(stream, container.demux(stream), watch)
        first = next(frames, None)
        if first is None:
            return
        yield first
        if seek_s <= WORTH_SEEKING_S:
            yield from frames
            return
        with _opened(watch.path) as (container, stream):  # anew: a decoder that was used forgets how far it looks ahead
            yield from _after_key_frame(container, stream, first[1] + seek_s, watch) or frames


def _after_key_frame(
    container: InputContainer, stream: VideoStream, time_s: float, watch: _Watch
) -> Iterator[tuple[VideoFrame, float]] | None:
    """The frames from a key frame on; None where the container leads past ``time_s``, or nowhere safe."""
    earlier = replace(watch.damage)
    try:
        packets = packets_from(container, stream, time_s)
        frames = _timed(stream, packets, watch) if packets else iter(())
        entry = next((found for found in islice(frames, REORDERED) if is_key(found[0])), None)
    except FFmpegError:
        return None
    finally:  # pictures before the entry lack what they were made from, which is no damage of the file
        watch.damage.forget(earlier)
    if entry is None or entry[1] > time_s:
        return None
    return chain([entry], frames)


def _timed(
    stream: VideoStream, packets: Iterable[Packet[VideoStream]], watch: _Watch
) -> Iterator[tuple[VideoFrame, float]]:
    """The frames of some packets, in the order of showing, with rising times (see :mod:`.frame_times`)."""
    tick_s, step_s = stream.time_base or Fraction(1), 1 / (believable_rate(stream) or IMAGE_FPS)
    clock, order, orientations = Clock(float(tick_s), step_s), ShownOrder[VideoFrame](), Orientations()
    if stream.container.format.name in DECODE_TIMES_ALONE and stream.codec_context.has_b_frames:
        packets = from_decode_times(packets)

    def shown() -> Iterator[tuple[VideoFrame, int | None]]:
        for packet in packets:
            time = clock.stamp(packet)
            if not packet.is_discard:  # of which no frame is going to come
                order.sent(time)
            for frame in watch.decoded(packet):
                orientations.note(frame)
                order.came(frame, frame.pts)
                yield from order.ready(reorders=stream.codec_context.has_b_frames)
        yield from order.ready(reorders=False)

    numerator, denominator = tick_s.numerator, tick_s.denominator
    in_seconds = ((frame, None if time is None else time * numerator / denominator) for frame, time in shown())
    return rising(in_seconds, step_s)


def believable_rate(stream: VideoStream) -> float | None:
    """Frames a second of a stream: on average, or as FFmpeg guesses where that is absurd (raw DV says 60,000)."""
    rates = (float(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate)
    return next((rate for rate in rates if SLOWEST <= rate <= FASTEST), None)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    with av.open(_source(path), "r", metadata_errors="replace") as container:
        yield container, _video_stream(container)


def _image_frames(path: Path, sampling: Sampling, image_fps: float) -> Iterator[tuple[VideoFrame, float]]:
    try:
        names, folder = frame_names(path), folder_of(path)
        for name, time_s in sampling.select((name, index / image_fps) for index, name in enumerate(names)):
            yield _image(name, read_image(folder, name)), time_s
    except OSError as error:
        raise VideoError(f"cannot be opened: {error.strerror or error}") from error


def _image(name: str, content: bytes) -> VideoFrame:
    """An image as a frame that knows how it is set upright."""
    apart = read_apart(name, content)
    if apart is not None:
        return VideoFrame.from_ndarray(apart, format="rgb24")
    frame = _first_frame(name, content)
    frame.opaque = exif_orientation(content)
    return frame


def _first_frame(name: str, content: bytes) -> VideoFrame:
    """What kind of image it is, its bytes say: given a path, FFmpeg would take some names for patterns."""
    try:
        with av.open(io.BytesIO(content), "r", metadata_errors="replace") as container:
            stream = _video_stream(container)
            if stream.codec_context.name == "mjpeg":  # takes half a picture for one; the others refuse it
                stream.codec_context.options = {"err_detect": "explode"}
            for frame in container.decode(stream):
                return frame
    except FFmpegError as error:
        raise VideoError(f"image '{name}' is not readable: {_reason(error)}") from error
    raise VideoError(f"image '{name}' holds no picture")


def _video_stream(container: InputContainer) -> VideoStream:
    """FFmpeg's choice of the video streams, but never a cover."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise VideoError(NO_VIDEO)
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in streams else streams[0]
    if stream.codec_context is None:
        raise VideoError("FFmpeg has no decoder for its codec")
    # Videos are decoded side by side; threads inside one would only compete with the forward pass.
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    return stream


def _source(path: Path) -> str | RemoteFile:
    """The path as FFmpeg needs it: what precedes a colon in a relative one would be taken for a protocol."""
    return open_object(path, silent=True) if isinstance(path, RemotePath) else str(path.absolute())


def _refuse_broken(path: Path) -> None:
    """Refuse to go on with what FFmpeg makes of a read that failed, which it may take for the end of the file."""
    if isinstance(path, RemotePath) and (error := broken_read(path)) is not None:
        raise error


def _unreadable(path: Path, error: OSError | FFmpegError, frames: int = 0) -> VideoError:
    """What is wrong with a video, of which so many frames came."""
    broken = broken_read(path) if isinstance(path, RemotePath) else None
    if broken is None and isinstance(error, FFmpegError):
        return VideoError(f"{f'damaged after {frames} frames' if frames else 'not a readable video'}: {_reason(error)}")
    kind = UnreachedError if isinstance(path, RemotePath) else VideoError
    return kind(f"cannot be opened: {(broken or error).strerror or error}")


def _reason(error: FFmpegError) -> str:
    return (error.strerror or str(error)).strip().lower()
