"""The motion set: drawn clips whose class is the motion and whose group is the appearance.

Every class is drawn with the same appearances (shape, colours, textures, background), so appearance tells
nothing of the class. Six classes come in pairs that are each other's reversal in time, so that an embedding
blind to order cannot tell the two apart, whatever its features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.random import Generator, default_rng

from .arrays import Float64, UInt8

WIDTH, HEIGHT, FPS = 128, 96, 25

MOTIONS = (
    "SlideRight",
    "SlideLeft",
    "RotateClockwise",
    "RotateCounterclockwise",
    "ZoomIn",
    "ZoomOut",
    "Bounce",
    "Oscillate",
    "OscillateFast",
    "Orbit",
)
SCALES = ("ZoomIn", "ZoomOut", "Pulse", "PulseFast")  # motions of size alone, which any backbone sees
REVERSED = {"SlideLeft": "SlideRight", "RotateCounterclockwise": "RotateClockwise", "ZoomOut": "ZoomIn"}


ALL = tuple(dict.fromkeys((*MOTIONS, *SCALES)))


@dataclass(frozen=True, slots=True)
class Start:
    """Where a motion begins: centre in heights from the picture's middle, and phase in cycles."""

    x: float
    y: float
    phase: float
    cycles: float


@dataclass(frozen=True, slots=True)
class Pose:
    """Place (in heights from the middle), angle (radians) and scale of the object in each of T frames."""

    x_T: Float64
    y_T: Float64
    angle_T: Float64
    scale_T: Float64


def poses(motion: str, start: Start, frames: int) -> Pose:
    """The trajectory of a motion; a class of :data:`REVERSED` is its partner's, played backwards."""
    if motion in REVERSED:
        forward = poses(REVERSED[motion], start, frames)
        return Pose(forward.x_T[::-1], forward.y_T[::-1], forward.angle_T[::-1], forward.scale_T[::-1])
    turn_T = start.phase + start.cycles * np.arange(frames) / frames
    wave_T, saw_T, still_T = np.sin(2 * np.pi * turn_T), turn_T % 1.0, np.zeros(frames)
    x_T, y_T, angle_T, scale_T = start.x + still_T, start.y + still_T, still_T, 1.0 + still_T
    match motion:
        case "SlideRight":
            x_T = 1.8 * saw_T - 0.9
        case "RotateClockwise":
            angle_T = 2 * np.pi * turn_T
        case "ZoomIn":
            scale_T = 0.5 + saw_T
        case "Pulse":
            scale_T = 1.0 + 0.5 * wave_T
        case "PulseFast":
            scale_T = 1.0 + 0.5 * np.sin(6 * np.pi * turn_T)
        case "Bounce":
            y_T = 0.3 - 0.6 * np.abs(wave_T)
        case "Oscillate":
            x_T = 0.4 * wave_T
        case "OscillateFast":
            x_T = 0.4 * np.sin(6 * np.pi * turn_T)
        case "Orbit":
            x_T, y_T = 0.3 * wave_T, 0.3 * np.cos(2 * np.pi * turn_T)
        case _:
            raise ValueError(f"motion {motion!r}: one of {', '.join(ALL)} is needed")
    return Pose(x_T, y_T, angle_T, scale_T)


@dataclass(frozen=True, slots=True)
class Appearance:
    """What a group looks like: background (H, W, 3) in [0, 1], and the object's shape, colours and stripes."""

    background: Float64
    sides: int
    radius: float
    colors: Float64
    stripe: float


def appearance(group: int, seed: int = 0, *, bright: bool = False) -> Appearance:
    """The look of a group, the same in every class; ``bright``: a large light object on a dark background."""
    rng = default_rng([seed, group])
    look = Appearance(
        background=_texture(rng),
        sides=int(rng.integers(3, 8)),
        radius=float(rng.uniform(0.16, 0.24)),
        colors=rng.uniform(0.0, 1.0, (2, 3)),
        stripe=float(rng.uniform(8.0, 20.0)),
    )
    if not bright:
        return look
    dark, light = 0.35 * look.background, 0.65 + 0.35 * look.colors
    return replace(look, background=dark, colors=light, radius=1.5 * look.radius)


def draw(motion: str, look: Appearance, start: Start, frames: int) -> UInt8:
    """Draw a clip, RGB (T, H, W, 3)."""
    pose = poses(motion, start, frames)
    row_H = (np.arange(HEIGHT) + 0.5) / HEIGHT - 0.5
    column_W = ((np.arange(WIDTH) + 0.5) - WIDTH / 2) / HEIGHT
    x = (column_W[None, None, :] - pose.x_T[:, None, None]) / pose.scale_T[:, None, None]
    y = (row_H[None, :, None] - pose.y_T[:, None, None]) / pose.scale_T[:, None, None]
    cos, sin = np.cos(pose.angle_T)[:, None, None], np.sin(pose.angle_T)[:, None, None]
    u, v = x * cos + y * sin, y * cos - x * sin
    cover = _polygon_cover(u, v, look)[..., None]
    stripes = (np.sin(look.stripe * 2 * np.pi * u) > 0)[..., None]
    paint = np.where(stripes, look.colors[0], look.colors[1])
    picture = look.background * (1 - cover) + paint * cover
    return np.asarray(np.clip(picture * 255.0, 0, 255), dtype=np.uint8)


def write_motion_set(
    folder: Path,
    motions: Sequence[str] = MOTIONS,
    *,
    groups: int = 10,
    clips: int = 2,
    frames: int = 48,
    seed: int = 0,
    bright: bool = False,
) -> Iterator[Path]:
    """Write ``len(motions) * groups * clips`` MPEG-4 AVI files named as UCF101's, yielding each.

    Args:
        folder: gets one folder per class.
        motions: the classes.
        groups: number of appearances.
        clips: clips of each class and appearance, which differ in where and when the motion starts.
        frames: frames of a clip.
        seed: of appearances and starts.
        bright: as for :func:`appearance`.
    """
    looks = [appearance(group, seed, bright=bright) for group in range(1, groups + 1)]
    for number, motion in ((ALL.index(motion), motion) for motion in motions):
        (folder / motion).mkdir(parents=True, exist_ok=True)
        for group, look in enumerate(looks, 1):
            for clip in range(1, clips + 1):
                start = _start(default_rng([seed, number, group, clip]))
                path = folder / motion / f"v_{motion}_g{group:02d}_c{clip:02d}.avi"
                write_video(path, draw(motion, look, start, frames))
                yield path


def write_video(path: Path, pictures: UInt8, *, codec: str = "mpeg4", fps: int = FPS) -> None:
    """Encode RGB pictures (T, H, W, 3) into the container that the suffix names."""
    with av.open(str(path), "w") as container:
        stream = cast("VideoStream", container.add_stream(codec, rate=fps))
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 1_000_000
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _start(rng: Generator) -> Start:
    return Start(
        x=float(rng.uniform(-0.3, 0.3)),
        y=float(rng.uniform(-0.2, 0.2)),
        phase=float(rng.uniform()),
        cycles=float(rng.uniform(1.6, 2.4)),
    )


def _texture(rng: Generator) -> Float64:
    """A smooth random background: a sum of a few waves in each colour."""
    row = np.arange(HEIGHT)[:, None, None] / HEIGHT
    column = np.arange(WIDTH)[None, :, None] / HEIGHT
    picture = np.broadcast_to(rng.uniform(0.2, 0.8, 3), (HEIGHT, WIDTH, 3)).copy()
    for _ in range(5):
        along, across, shift = rng.uniform(-5, 5, 3), rng.uniform(-5, 5, 3), rng.uniform(0, 2 * np.pi, 3)
        picture += rng.uniform(0.03, 0.12, 3) * np.sin(2 * np.pi * (along * row + across * column) + shift)
    return np.asarray(np.clip(picture, 0.0, 1.0))


def _polygon_cover(u: Float64, v: Float64, look: Appearance) -> Float64:
    """How far each pixel is covered by a regular polygon around the origin, with an edge one pixel soft."""
    sector = 2 * np.pi / look.sides
    angle = np.mod(np.arctan2(v, u) + sector / 2, sector) - sector / 2
    distance = np.hypot(u, v) * np.cos(angle) - look.radius * np.cos(sector / 2)
    return np.asarray(np.clip(0.5 - distance * HEIGHT, 0.0, 1.0))
