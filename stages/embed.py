"""Embeddings of videos: several temporal views through one embedder, averaged (Figure 1 of the paper)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..data.arrays import Float32
from ..data.clips import spread_views
from .frame_memory import FrameMemory

BLOCK_BYTES = 256 << 20  # of gathered frames at a time


@torch.inference_mode()
def embed_clips(
    embedder: nn.Module,
    memory: FrameMemory,
    video_B: Tensor,
    start_B: Tensor,
    length_B: Tensor,
    clip_length: int,
) -> Tensor:
    """Unit embeddings (B, E) of any number of clips, in blocks of bounded memory."""
    block = max(1, BLOCK_BYTES // (4 * clip_length * memory.features_ND.shape[1]))
    parts = [
        embedder(memory.clips(video_B[rows], start_B[rows], length_B[rows], clip_length))
        for rows in _blocks(len(video_B), block)
    ]
    return functional.normalize(torch.cat(parts), dim=1)


def embed_views(embedder: nn.Module, memory: FrameMemory, *, clip_length: int, views: int) -> Tensor:
    """Unit embeddings (V, views, E) of evenly spread windows of each video."""
    start_VK, length_V = spread_views(memory.frames_V, clip_length=clip_length, views=views)
    video_B = torch.arange(len(length_V), device=start_VK.device).repeat_interleave(views)
    embeddings_BE = embed_clips(
        embedder, memory, video_B, start_VK.flatten(), length_V.repeat_interleave(views), clip_length
    )
    return embeddings_BE.view(len(length_V), views, -1)


def pool_views(views_VKE: Tensor) -> Float32:
    """One unit vector (V, E) per video: the mean of its views, normalised."""
    return functional.normalize(views_VKE.mean(dim=1), dim=1).cpu().numpy()


def mean_pool(memory: FrameMemory) -> Float32:
    """The mean of all frame features of each video as a unit vector (V, D): the baseline without training."""
    means = [
        memory.features_ND[first : first + frames].float().mean(dim=0)
        for first, frames in zip(memory.first_V.tolist(), memory.frames_V.tolist(), strict=True)
    ]
    return functional.normalize(torch.stack(means), dim=1).cpu().numpy()


def random_projection(embeddings_VD: Float32, width: int, seed: int) -> Float32:
    """Unit vectors (V, width) after a seeded Gaussian matrix: what a projection does without learning."""
    matrix_DE = np.random.default_rng(seed).standard_normal((embeddings_VD.shape[1], width), np.float32)
    return unit(embeddings_VD @ matrix_DE)


def unit(rows: Float32) -> Float32:
    """Rows divided by their Euclidean length; rows of zeros stay zeros."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-12), dtype=np.float32)


def _blocks(total: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, total, size))
