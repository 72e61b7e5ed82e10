"""Small frame tables whose content a reader can compute."""

import numpy as np
import torch
from mofore.cache.store import FrameTable, row_offsets
from mofore.stages.frame_memory import FrameMemory


def table(lengths: list[int], width: int = 6, seed: int = 0) -> FrameTable:
    """Each video is its own direction plus a slow drift and a little noise."""
    rng = np.random.default_rng(seed)
    parts = []
    for length in lengths:
        base, drift = rng.standard_normal((2, width))
        steps = np.linspace(0, 1, length)[:, None]
        parts.append(base + steps * drift + 0.05 * rng.standard_normal((length, width)))
    features = np.concatenate(parts).astype(np.float16)
    times = np.concatenate([np.arange(length) / 25 for length in lengths])
    return FrameTable(features, times, row_offsets(lengths), tuple(f"v{n}" for n in range(len(lengths))))


def counting_memory(lengths: list[int]) -> FrameMemory:
    """Frame t of video v has the feature (v, t)."""
    rows = [(video, frame) for video, length in enumerate(lengths) for frame in range(length)]
    times = np.concatenate([np.arange(length) / 25 for length in lengths])
    made = FrameTable(np.array(rows, np.float16), times, row_offsets(lengths), tuple(map(str, lengths)))
    return FrameMemory.of(made, torch.device("cpu"))
