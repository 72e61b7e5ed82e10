"""A few pictures of a video, evenly spread over it or over a span."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from .arrays import UInt8
from .decode import IMAGE_FPS, decode, duration_s, key_picture, picture
from .images import is_frame_folder, is_image
from .pictures import rgb
from .sampling import Moments, Span

WHOLE = Span()
APART_S = 10.0  # moments further apart are looked for from a key frame of their own


def stills(path: Path, count: int, span: Span = WHOLE, *, image_fps: float = IMAGE_FPS) -> list[UInt8]:
    """Pictures, RGB (H, W, 3), of the middles of ``count`` equal parts; of an image that image alone.

    Where the container promises too much, or nothing, moments after the end are the last frame.

    Raises:
        VideoError: if the file cannot be read.
    """
    if is_image(path):
        return [picture(path)]
    end_s = min(span.end_s, duration_s(path, image_fps=image_fps) or span.end_s)
    length_s = max(end_s - span.start_s, 0.0)
    moments_s = [span.start_s + (part + 0.5) * length_s / count for part in range(count)]
    return [
        rgb(frame)
        for near_s in _runs(moments_s)
        for frame, _ in decode(path, Moments(moments_s=near_s), image_fps=image_fps)
    ]


def glimpse(path: Path, near_s: float, *, image_fps: float = IMAGE_FPS) -> UInt8:
    """One picture, RGB (H, W, 3), from about ``near_s`` on; of a file a key frame, which takes a fraction of the time.

    Raises:
        VideoError: if there is none.
    """
    if is_image(path) or is_frame_folder(path):
        return stills(path, 1, Span(near_s, near_s), image_fps=image_fps)[0]
    return key_picture(path, near_s)


def _runs(moments_s: list[float]) -> list[tuple[float, ...]]:
    """Moments that one decoding serves."""
    breaks = [number for number, (a, b) in enumerate(pairwise(moments_s), 1) if b - a > APART_S]
    return [tuple(moments_s[begin:end]) for begin, end in pairwise([0, *breaks, len(moments_s)])]
