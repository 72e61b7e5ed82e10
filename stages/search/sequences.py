"""Sequences: what a video is like in each of S parts, for comparing how videos unfold.

Step s is a clip in the middle of the s-th of S equal parts, as long as a clip of the fit but no longer than the part:
steps do not overlap, since what they share would be alike whatever happens. A part shorter than a frame is its frame.
"""

from __future__ import annotations

from ...data.arrays import Float32
from ...data.clips import spread_parts
from ..frames.memory import FrameTensors
from ..model.spaces import Space


def sequences(space: Space, memory: FrameTensors, steps: int) -> Float32:
    """Unit embeddings (V, S, E) of the steps of each video, not centred."""
    video_B, windows = spread_parts(memory.extent_V(space.fit.unit), span=space.fit.span, parts=steps)
    embeddings_BE = space.of_clips(memory, video_B, windows)
    return embeddings_BE.reshape(len(memory.frames_V), steps, -1)
