"""Extract: its work is one video after another, so that its plan is of videos rather than of one output."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ...data.errors import StoreError
from ...data.progress import under_way
from ...data.short_videos import ShortVideos
from ...data.wording import counted
from ...stages import versions
from .. import reasons as because
from ..catalogs import imported
from ..snapshot import Snapshot
from ..stage import Action, Asked, Made, Plan, Stage, StagePlan, Work, difference

if TYPE_CHECKING:
    from ...cache.store import FeatureStore


def plan_extract(_stage: Stage, snapshot: Snapshot, _plan: Plan, asked: Asked) -> StagePlan:
    """Which videos are to be read; features that were imported can only be brought again."""
    frames = sum(place.video.frames for place in snapshot.stored.values())
    held = f"{counted(len(snapshot.stored), 'video')}, {counted(frames, 'frame')}"
    times = (because.TimesBackwards(count),) if (count := len(snapshot.backward_videos())) else ()
    if snapshot.catalog.imported:
        todo, why, summary = len(snapshot.todo), (*times, *_lost(snapshot)), f"imported: {held}"
        forced = False
    else:
        forced, todo = asked.force, len(videos_to_extract(snapshot, asked))
        why = _reasons(snapshot, asked) if todo else ()
        why = why if forced else (*times, *why)
        unseen = snapshot.catalog.unseen
        summary = held + _unread(snapshot) + (f"; videos not looked at: {unseen} is not there" if unseen else "")
        if asked.part is not None:
            own = sum(map(asked.part.has, snapshot.catalog.ids()))
            why = (because.PartAlone(str(asked.part), own), *why) if todo else ()
            summary = f"part {asked.part} of it: nothing is left of its {counted(own, 'video')}"
        elif snapshot.ledger.parts and not forced:
            why = (because.PartsLeft(snapshot.ledger.parts), *why)
    action: Action = "skip" if not why else "partial" if snapshot.stored and not forced else "run"
    config = snapshot.config.extract.identity()
    return StagePlan("extract", action, why, todo, "videos", config, "", snapshot.store_key, summary)


def videos_to_extract(snapshot: Snapshot, asked: Asked) -> list[str]:
    """Ids of the videos that extraction will read, in the catalog's order."""
    ids = [video.id for video in snapshot.catalog.videos]
    if not asked.force:
        wanted = {todo.video.id for todo in snapshot.todo} | (set(snapshot.failed) if asked.retry_failed else set())
        ids = [video_id for video_id in ids if video_id in wanted]
    return ids if asked.part is None else list(filter(asked.part.has, ids))


def _unread(snapshot: Snapshot) -> str:
    soundtracks = sum(failure.is_no_video for failure in snapshot.failed.values())
    unreadable = len(snapshot.failed) - soundtracks
    failed = f"; {unreadable} could not be read" if unreadable else ""
    return failed + (f"; {soundtracks} without pictures" if soundtracks else "")


def _lost(snapshot: Snapshot) -> tuple[because.Reason, ...]:
    """Imported features that are gone make a stage that says so and cannot run."""
    if not snapshot.todo:
        return ()
    broken = (*snapshot.damaged, *snapshot.lost)
    missing = (because.OutputMissing(broken),) if broken else ()
    record = imported(snapshot.workspace, snapshot.config)
    return (*missing, because.ImportLost(len(snapshot.todo), record.command(snapshot.workspace.root)))


def _reasons(snapshot: Snapshot, asked: Asked) -> tuple[because.Reason, ...]:
    why: list[because.Reason] = [because.Forced()] if asked.force else []
    latest = snapshot.ledger.latest("extract")
    broken = (*snapshot.damaged, *snapshot.lost)
    if broken:
        why.append(because.OutputMissing(broken))
    if latest is None and not snapshot.stored:
        why.append(because.FirstRun())
    elif latest is not None and latest.fingerprint != snapshot.store_key and not snapshot.stored:
        why.extend(difference(latest, snapshot.config.extract.identity(), versions.EXTRACT))
        if not why:  # the same settings, but other local weights
            why.append(because.WeightsChanged(snapshot.config.extract.weights))
    elif snapshot.ledger.find("extract", snapshot.store_key) is None:
        why.append(because.Unfinished(len(snapshot.stored), len(snapshot.catalog.videos), "videos"))
    elif snapshot.todo and not broken:
        by_why = {why: tuple(t.video.id for t in snapshot.todo if t.why == why) for why in ("added", "changed")}
        why.append(because.InputsChanged(**by_why))
    if asked.retry_failed and snapshot.failed:
        why.append(because.RetryFailed(len(snapshot.failed)))
    if snapshot.catalog.unseen:
        why.append(because.VideosUnseen(snapshot.catalog.unseen))
    return tuple(why)


def run_extract(work: Work) -> Made:
    """Read what is to be read into the store, whose shards the ledger is told of one by one."""
    snapshot, forced, shared = work.snapshot, work.asked.force, work.asked.part is not None
    ids = videos_to_extract(snapshot, work.asked)
    store, in_order = snapshot.open_store(), ""
    if not shared:  # else others write there too
        store.clean()
        in_order = "" if forced else _repair_times(work, store)
    if snapshot.catalog.imported and ids:
        raise StoreError("; ".join(map(str, work.chosen.reasons)))
    if not ids:
        return _merge_parts(work, store) if snapshot.ledger.parts else Made(in_order, None)
    snapshot.refuse_unseen(len(ids))
    work.progress.note(f"loading {snapshot.config.extract.backbone}")  # libraries and weights take seconds
    from ...stages.machine.processes import EXTRACTING, READING, begin_server

    if not work.asked.cluster:  # before anything else: libraries are loaded there while they are loaded here
        shares = len(ids) > 1 and snapshot.config.extract.processes != 1 and (os.cpu_count() or 1) > 1
        begin_server(EXTRACTING if shares else READING)
    from ...stages.extract import stage as extract

    begin = time.monotonic()
    superseded = tuple(snapshot.shards) if forced else ()
    inputs = extract.ExtractInputs(
        snapshot.catalog.root, snapshot.videos(ids), snapshot.weights, superseded, shared, work.asked.cluster
    )
    result = extract.run(snapshot.config.extract, inputs, store=store, ledger=snapshot.ledger, progress=work.progress)
    summary = result.summary(time.monotonic() - begin)
    if shared:  # which finishes nothing: that is recorded of the whole
        return Made(summary, None)
    snapshot.ledger.parts = 0
    if work.last:  # a fit says so of its own videos
        _say_short(work)
    return Made(summary)


def _merge_parts(work: Work, store: FeatureStore) -> Made:
    """What is left to do once parts have extracted all of it."""
    from ...stages.extract import stage as extract

    snapshot, ledger = work.snapshot, work.snapshot.ledger
    extract.settle(snapshot.catalog.videos, store=store, ledger=ledger, progress=work.progress)
    if work.last:
        _say_short(work)
    parts, ledger.parts = ledger.parts, 0
    shards = ledger.shards.get(store.key, {}).values()
    stored = counted(sum(len(shard.videos) for shard in shards), "video")
    return Made(f"{stored} of {counted(parts, 'part')} in {counted(len(shards), 'shard')}")


def _say_short(work: Work) -> None:
    """Videos that are too short for the clips of the fit to come."""
    snapshot, ids = work.snapshot, work.snapshot.catalog.ids()
    stored = (video for shard in snapshot.ledger.shards.get(snapshot.store_key, {}).values() for video in shard.videos)
    frames = {video.id: video.frames for video in stored if video.id in ids}
    if frames and snapshot.config.fit.unit == "frames":
        short = ShortVideos.of(list(frames.values()), snapshot.config.fit)
        if not short.few:
            work.progress.note(short.told())


def _repair_times(work: Work, store: FeatureStore) -> str:
    """Sort the times of shards that an earlier version wrote; each is replaced whole, so this may end anywhere."""
    snapshot, progress = work.snapshot, work.progress
    if not snapshot.backwards:
        return ""
    with under_way(progress, "sort", len(snapshot.backwards), "shards"):
        for name in snapshot.backwards:
            progress.pulse()
            snapshot.ledger.add_shard(store.repair_times(store.folder / name))
            progress.advance(1)
    summary = f"the times of {counted(len(snapshot.backward_videos()), 'video')} were sorted"
    progress.note(summary)
    return summary


EXTRACT = Stage(
    name="extract",
    version=versions.EXTRACT,
    what="Features of every frame of every video -> features/<encoder>/*.h5.",
    needs=(),
    config=lambda snapshot: snapshot.config.extract.identity(),
    inputs=lambda _snapshot, _plan: "",
    run=run_extract,
    files=(),
    unit="videos",
    amount=lambda snapshot: len(snapshot.todo),
    plan=plan_extract,
    retries=True,
    divides=True,
)
