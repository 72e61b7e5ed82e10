"""Extract: the features of every frame of every video, in shards of the feature store.

Worker processes decode and resize ahead (:mod:`.decode_pool`), the backbone runs on batches filled across videos
(:mod:`.device_extraction`), a thread publishes what is finished (:mod:`.shard_writer`). Several GPUs share the
videos, one process each (:mod:`.extract_parts`).
"""

from __future__ import annotations

from dataclasses import replace

from ..cache.ledger import Ledger
from ..cache.partial import remove_partial_videos
from ..cache.store import FeatureStore
from ..data.errors import StageError
from ..data.progress import Progress
from ..data.settings import ExtractSettings
from .decode_pool import usable_cores
from .decode_worker import Reader
from .device import pick_devices
from .device_extraction import ExtractInputs, extract_on
from .extract_parts import extract_in_parts
from .frame_source import read_video
from .shard_writer import ExtractResult, drop_shards, failure_table, merge_small_shards

__all__ = ["ExtractInputs", "ExtractResult", "run"]


def run(
    settings: ExtractSettings,
    inputs: ExtractInputs,
    *,
    store: FeatureStore,
    ledger: Ledger,
    progress: Progress,
    read: Reader = read_video,
) -> ExtractResult:
    """Extract ``inputs.videos`` into ``store``.

    Args:
        settings: of the stage.
        inputs: what to extract.
        store: where to.
        ledger: told of every shard and failure.
        progress: told how it goes.
        read: reads one video in a worker process.

    Raises:
        BackboneError: if the backbone or its weights cannot be used.
        TooManyFailures: if more videos fail than ``extract.max_failure_rate`` allows.
        StageError: if none of the videos could be read.
    """
    devices = pick_devices(settings.device)[: len(inputs.videos)]
    settings = replace(settings, workers=settings.workers or max(1, usable_cores() // len(devices)))
    progress.start("extract", len(inputs.videos), "videos")
    try:
        if len(devices) == 1:
            result = extract_on(
                devices[0], settings, inputs, store=store, recorder=ledger, progress=progress, read=read
            )
        else:
            result = extract_in_parts(
                devices, settings, inputs, store=store, ledger=ledger, progress=progress, read=read
            )
    finally:
        progress.finish()
    if result.failures and not ledger.shards.get(store.key):
        raise StageError(f"none of {len(inputs.videos)} videos could be read\n{failure_table(result.failures)}")
    if not result.failures:
        drop_shards(store, ledger, inputs.superseded)  # before merging, which would keep either copy
    merge_small_shards(store, ledger)
    remove_partial_videos(store.partial_folder)
    return result
