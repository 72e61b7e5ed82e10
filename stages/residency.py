"""Whether the frames of a run are held in memory or stay in their files: ``fit.memory_gb``."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from ..cache.ledger import StoredVideo
from ..cache.store import FeatureStore, FrameTable
from ..data.progress import Progress
from .frame_memory import FrameMemory
from .machine_memory import total_memory

GIB = 1 << 30
BESIDE_FEATURES = 24  # bytes of a frame that are in memory in any case: its time, its key, and one more in the making


def memory_limit(memory_gb: float, device: torch.device) -> int:
    """Bytes that this process may hold features in; several processes on one machine share its memory.

    Args:
        memory_gb: ``fit.memory_gb``; 0 for half of what the machine has, and of what the device has.
        device: where the frames are to be.
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if memory_gb:
        return int(memory_gb * GIB) // processes
    host = total_memory(torch.device("cpu")) // 2 // processes
    return host if device.type == "cpu" else min(host, total_memory(device) // 2)


def load_frames(
    store: FeatureStore,
    wanted: Sequence[tuple[str, int, StoredVideo]],
    memory_gb: float,
    device: torch.device,
    *,
    progress: Progress,
) -> FrameTable:
    """The frames of some videos, in memory if that has room for them, and else left in their shards.

    Args:
        store: that holds them.
        wanted: (shard's file name, row of the video in that shard, its record) of each.
        memory_gb: ``fit.memory_gb``.
        device: where the frames are to be.
        progress: who is told that they stay in their files.

    Raises:
        StoreError: if a shard is gone or is not what the records say.
    """
    frames = sum(video.frames for _, _, video in wanted)
    features = 2 * frames * store.width(wanted[0][0]) if wanted else 0
    limit = memory_limit(memory_gb, device)
    if features + BESIDE_FEATURES * frames <= limit:
        return store.load(wanted)
    half = "" if memory_gb else f" (half of what there is, {limit / GIB:.3g} GiB)"
    progress.note(
        f"the features ({features / GIB:.3g} GiB) are read from their files: fit.memory_gb = {memory_gb:g}{half}"
    )
    return store.attach(wanted)


def has_room_for_sums(memory: FrameMemory, memory_gb: float) -> bool:
    """Whether prefix sums may lie beside the frames; never where the frames themselves had no room."""
    features = 2 * len(memory.frames) * memory.width
    needed = features + BESIDE_FEATURES * len(memory.frames) + memory.prefix_bytes
    return needed <= memory_limit(memory_gb, memory.device)
