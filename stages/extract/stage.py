"""Extract: the features of every frame of every video, in shards of the feature store.

Worker processes decode and resize ahead (:mod:`..decode.pool`), the backbone runs on batches filled across videos
(:mod:`.one_device`), a thread publishes what is finished (:mod:`.shard_writer`). A job that turns out to be
long is shared by several processes (:mod:`.many_devices`), one for each GPU or processor core, or by the
nodes of a cluster from the beginning (:mod:`.ray_cluster`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...cache.ledger import Ledger
from ...cache.partial import remove_partial_videos
from ...cache.store import FeatureStore
from ...data.errors import StageError
from ...data.progress import Progress, under_way
from ...data.settings import ExtractSettings
from ...data.types import Video
from ..decode.source import read_video
from ..decode.worker import Reader
from ..machine.device import pick_device, pick_places
from .many_devices import extract_in_parts
from .one_device import ExtractInputs, ExtractJob, extract_on
from .segment_ends import overrun_note
from .shard_writer import ExtractResult, damage_note, drop_shards, failure_table, merge_small_shards, out_of_reach

__all__ = ["ExtractInputs", "ExtractResult", "run", "settle"]

SHARING_REPAYS_S = 120.0  # of work still to do: starting processes and loading the backbone again takes seconds


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
        StageError: if none of the videos could be read, unless other machines read others; if some were out of reach.
    """
    with under_way(progress, "extract", len(inputs.videos), "videos"):
        result = _extract(ExtractJob(settings, inputs, store, read), ledger, progress)
    if lost := [failure for failure in result.failures if failure.passing]:
        raise StageError(out_of_reach(lost))
    if result.failures and not inputs.shared and not ledger.shards.get(store.key):
        raise StageError(f"none of {len(inputs.videos):,} videos could be read\n{failure_table(result.failures)}")
    if result.damaged:
        progress.note(damage_note(result.damaged))
    if inputs.shared:  # who has the store to himself settles it
        return result
    if not _held(inputs.superseded, store, ledger) & {failure.video_id for failure in result.failures}:
        drop_shards(store, ledger, inputs.superseded)  # before merging, which would keep either copy
    settle(inputs.videos, store=store, ledger=ledger, progress=progress)
    return result


def settle(videos: Sequence[Video], *, store: FeatureStore, ledger: Ledger, progress: Progress) -> None:
    """What comes once all ``videos`` are stored: small shards are merged, segments that end early told of."""
    merge_small_shards(store, ledger)
    if overrun := overrun_note(videos, store, [*ledger.shards.get(store.key, {}).values()]):
        progress.note(overrun)
    remove_partial_videos(store.partial_folder)


def _extract(job: ExtractJob, ledger: Ledger, progress: Progress) -> ExtractResult:
    """Begin here, and share the rest out once it is known to take long."""
    settings, inputs = job.settings, job.inputs
    if inputs.cluster:
        from .ray_cluster import extract_on_cluster

        return extract_on_cluster(job, ledger=ledger, progress=progress)
    # As many places as have something to do until the end: a video is never divided.
    most = inputs.bytes() // max([1, *(video.size for video in inputs.videos)])
    places = pick_places(settings.device, settings.processes)[: max(1, most)]

    def is_long(seconds: float) -> bool:
        return len(places) > 1 and seconds > SHARING_REPAYS_S

    device = pick_device(settings.device)
    begun = extract_on(device, job, recorder=ledger, progress=progress, leave_when=is_long)
    tried = begun.tried()
    rest = tuple(video for video in inputs.videos if video.id not in tried)
    if not rest:
        return begun
    progress.note(f"long enough to be shared by {len(places)} processes: {'; '.join(map(str, places))}")
    left = replace(job, inputs=replace(inputs, videos=rest))
    return extract_in_parts(places, left, begun, ledger=ledger, progress=progress)


def _held(shards: tuple[str, ...], store: FeatureStore, ledger: Ledger) -> set[str]:
    """Videos whose features are in some shards."""
    known = ledger.shards.get(store.key, {})
    return {video.id for name in shards if name in known for video in known[name].videos}
