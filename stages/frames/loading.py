"""Whether the frames of a run are held in memory or stay in their files: ``fit.memory_gb``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ...cache.ledger import StoredVideo
from ...cache.store import FeatureStore, FrameTable
from ...data.fit_settings import FitSettings
from ...data.progress import Progress
from ..machine.device import pick_device
from ..machine.memory import total_memory
from .memory import FrameTensors

GIB = 1 << 30
BESIDE_FEATURES = 24  # bytes of a frame that are in memory in any case: its time, its key, and one more in the making


def memory_limit(memory_gb: float, device: torch.device) -> int:
    """Bytes that features may be held in.

    Args:
        memory_gb: ``fit.memory_gb``; 0 for half of what the machine has, and of what the device has.
        device: where the frames are to be.
    """
    if memory_gb:
        return int(memory_gb * GIB)
    devices = {torch.device("cpu"), device}
    return min(map(total_memory, devices)) // 2


def load_frames(
    store: FeatureStore, wanted: Sequence[tuple[str, int, StoredVideo]], settings: FitSettings, *, progress: Progress
) -> FrameTable:
    """The frames of some videos, in memory if that has room for them, and else left in their shards.

    Several processes share what is loaded, but it is there twice while it is brought into the memory that they share.

    Args:
        store: that holds them.
        wanted: (shard's file name, row of the video in that shard, its record) of each.
        settings: of the fit: its device, processes and ``memory_gb``.
        progress: who is told that they stay in their files.

    Raises:
        StoreError: if a shard is gone or is not what the records say.
    """
    frames = sum(video.frames for _, _, video in wanted)
    features = 2 * frames * store.width(wanted[0][0]) if wanted else 0
    limit = memory_limit(settings.memory_gb, pick_device(settings.device))
    copies = 2 if settings.processes > 1 else 1
    if copies * (features + BESIDE_FEATURES * frames) <= limit:
        return store.load(wanted)
    half = "" if settings.memory_gb else f" (half of what there is, {limit / GIB:.3g} GiB)"
    progress.note(
        f"the features ({features / GIB:.3g} GiB) are read from their files: fit.memory_gb = "
        f"{settings.memory_gb:g}{half}"
    )
    return store.attach(wanted)


def has_room_for_sums(memory: FrameTensors, memory_gb: float) -> bool:
    """Whether prefix sums may lie beside the frames; never where the frames themselves had no room."""
    frames = len(memory.frames) * (2 * memory.width + BESIDE_FEATURES)
    return frames + 8 * math.prod(memory.prefix_shape) <= memory_limit(memory_gb, memory.device)
