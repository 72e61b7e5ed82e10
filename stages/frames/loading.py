"""Whether the frames of a run are held in memory or stay in their files: ``fit.memory_gb``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ...cache.ledger import StoredVideo
from ...cache.remote_shards import RemoteShard
from ...cache.store import FeatureStore, FrameTable
from ...data.errors import StageError
from ...data.fit_settings import FitSettings
from ...data.progress import Progress
from ...data.wording import counted
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
    store: FeatureStore,
    wanted: Sequence[tuple[str, int, StoredVideo]],
    settings: FitSettings,
    *,
    progress: Progress,
    in_order: bool = False,
) -> FrameTable:
    """The frames of some videos, in memory if that has room for them, and else left in their shards.

    Several processes share what is loaded, but it is there twice while it is brought into the memory that they share.

    Args:
        store: that holds them.
        wanted: (shard's file name, row of the video in that shard, its record) of each.
        settings: of the fit: its device, processes and ``memory_gb``.
        progress: who is told that they stay in their files.
        in_order: whether whoever reads them goes through them a few times; else again and again, in no order.

    Raises:
        StoreError: if a shard is gone or is not what the records say.
        StageError: if they would be fetched from a bucket again and again.
    """
    away = [shard for name in sorted({name for name, _, _ in wanted}) if (shard := store.away(name)) is not None]
    _say_fetched(away, progress)
    frames = sum(video.frames for _, _, video in wanted)
    features = 2 * frames * store.width(wanted[0][0]) if wanted else 0
    limit = memory_limit(settings.memory_gb, pick_device(settings.device))
    copies = 2 if settings.processes > 1 else 1
    if copies * (features + BESIDE_FEATURES * frames) <= limit:
        return store.load(wanted)
    if not in_order:
        _refuse_fetching(away, settings, copies * (features + BESIDE_FEATURES * frames))
    half = "" if settings.memory_gb else f" (half of what there is, {limit / GIB:.3g} GiB)"
    progress.note(
        f"the features ({features / GIB:.3g} GiB) are read from their files: fit.memory_gb = "
        f"{settings.memory_gb:g}{half}"
    )
    return store.attach(wanted)


def _say_fetched(away: Sequence[RemoteShard], progress: Progress) -> None:
    absent = [shard for shard in away if not shard.path.exists()]
    if absent:
        size = sum(shard.state.size for shard in absent)
        progress.note(f"{counted(len(absent), 'shard')} ({size / 1e9:.3g} GB) to be fetched from {absent[0].place}")


def _refuse_fetching(away: Sequence[RemoteShard], settings: FitSettings, needed: int) -> None:
    """A fit takes clips from everywhere at each step: if not all shards can be here, it would fetch most each time."""
    size = sum(shard.state.size for shard in away)
    if away and size > away[0].limit:
        raise StageError(
            f"the training videos' shards have {size / 1e9:.3g} GB, of which {away[0].limit / 1e9:.3g} GB may be on "
            f"this disk, and a fit reads them in no order: keep them all with `mofore pull --cache "
            f"{math.ceil(size / 1e8) / 10:g}GB`, or let memory hold their features with --set fit.memory_gb="
            f"{math.ceil(10 * needed / GIB) / 10:g} (now {settings.memory_gb:g})"
        )


def has_room_for_sums(memory: FrameTensors, memory_gb: float) -> bool:
    """Whether prefix sums may lie beside the frames; never where the frames themselves had no room."""
    frames = len(memory.frames) * (2 * memory.width + BESIDE_FEATURES)
    return frames + 8 * math.prod(memory.prefix_shape) <= memory_limit(memory_gb, memory.device)
