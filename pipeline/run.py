"""Execute a plan: bring stages up to date in order, each recorded only after its outputs are published.

Torch, timm and faiss are imported inside the functions that run a stage, so that a run with nothing to do
does not wait for them.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from ..cache.atomic import remove_leftovers, write_bytes, write_json
from ..cache.fingerprint import KEY_LENGTH, file_state
from ..cache.ledger import Ledger, StageRecord
from ..cache.lock import exclusive
from ..data.errors import StageError, StaleError, StoreError
from ..data.progress import Progress
from ..data.settings import FitSettings
from ..data.short_videos import ShortVideos
from ..data.types import Failure
from ..data.wording import counted
from ..stages import versions
from .config import Config
from .finetune import how_to_use, plan_finetune, refuse_in_use
from .plan import STAGES, Plan, StagePlan, make_plan, videos_to_extract
from .snapshot import Snapshot, observe
from .workspace import Workspace

if TYPE_CHECKING:
    from ..cache.store import FeatureStore


class Watcher(Progress, Protocol):
    """Who is told what happens: the console, or a test."""

    def stop(self) -> None:
        """The user asked to stop; from a signal handler."""

    def skipped(self, plan: StagePlan) -> None:
        """A stage is up to date."""

    def begins(self, plan: StagePlan) -> None:
        """A stage is about to run."""

    def done(self, plan: StagePlan, seconds: float, summary: str) -> None:
        """A stage finished."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for.

    Attributes:
        stages: to bring up to date, in order.
        only: refuse if a stage above is stale, instead of running it.
        force: stages to run whatever is there.
        retry_failed: try unreadable videos again.
    """

    stages: tuple[str, ...] = STAGES
    only: bool = False
    force: frozenset[str] = frozenset()
    retry_failed: bool = False


@dataclass(slots=True)
class Outcome:
    """What came of a request: stages that ran, and the videos that could not be read."""

    ran: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def upto(stage: str) -> tuple[str, ...]:
    """A stage and all those above it."""
    if stage == "finetune":  # beside the road, below fit
        return (*upto("fit"), stage)
    return STAGES[: STAGES.index(stage) + 1]


def execute(workspace: Workspace, config: Config, request: Request, watcher: Watcher) -> Outcome:
    """Bring ``request.stages`` up to date.

    Raises:
        WorkspaceError: if another run holds the work folder, or it cannot be written to.
        StaleError: with ``only``, if a stage above is out of date.
        MoforeError: what a stage raises; what was finished before stays finished.
    """
    with exclusive(workspace.lock), _stoppable(watcher):
        ledger = Ledger.open(workspace.ledger)
        ledger.compact()
        remove_leftovers(workspace.root)
        snapshot = observe(workspace, config, ledger)
        remember(snapshot)
        if "finetune" in request.stages and "finetune" not in request.force:
            refuse_in_use(snapshot)
        if request.only:
            _refuse_stale(snapshot, request)
        outcome = Outcome()
        for stage in request.stages:
            if not _bring_up_to_date(snapshot, stage, request, watcher):
                continue
            outcome.ran.append(stage)
            snapshot = observe(workspace, config, ledger, snapshot.catalog)
        outcome.failures = [snapshot.failed[video_id] for video_id in sorted(snapshot.failed)]
        return outcome


def _bring_up_to_date(snapshot: Snapshot, stage: str, request: Request, watcher: Watcher) -> bool:
    """Run ``stage`` if its plan says so."""
    force: Collection[str] = request.force & {stage}
    watcher.pulse()
    plan: Plan = make_plan(snapshot, force=force, retry_failed=request.retry_failed and stage == "extract")
    if stage == "finetune":
        plan[stage] = plan_finetune(snapshot, plan["fit"], forced=stage in force)
    chosen = plan[stage]
    if chosen.action == "skip":
        watcher.skipped(chosen)
        return False
    watcher.begins(chosen)
    begin = time.monotonic()
    summary = RUNNERS[stage](snapshot, plan, request, watcher)
    watcher.done(chosen, time.monotonic() - begin, summary)
    return True


def _refuse_stale(snapshot: Snapshot, request: Request) -> None:
    wanted = request.stages[-1]
    plan = make_plan(snapshot)
    stale = [plan[stage] for stage in upto(wanted)[:-1] if plan[stage].action != "skip"]
    if stale:
        why = "; ".join(f"{p.stage}: {', '.join(map(str, p.reasons))}" for p in stale)
        raise StaleError(f"--only {wanted} is refused, since a stage above is out of date ({why}): leave --only away")


def remember(snapshot: Snapshot) -> None:
    """Tell the ledger what observing found out, and put damaged shards aside."""
    ledger, folder = snapshot.ledger, snapshot.workspace.store(snapshot.store_key)
    ledger.add_files(snapshot.touched)
    for record in snapshot.found:
        ledger.add_shard(record)
    known = ledger.shards.get(snapshot.store_key, {})
    ledger.drop_shards(snapshot.store_key, [name for name in (*snapshot.damaged, *snapshot.lost) if name in known])
    for name in snapshot.damaged:
        (folder / name).replace(folder / f"{name}.damaged")


def _run_extract(snapshot: Snapshot, plan: Plan, request: Request, watcher: Watcher) -> str:
    from ..cache.store import FeatureStore

    forced = "extract" in request.force
    ids = videos_to_extract(snapshot, forced=forced, retry_failed=request.retry_failed)
    store = FeatureStore(snapshot.workspace.store(snapshot.store_key))
    store.clean()
    sorted_ = "" if forced else _repair_times(snapshot, store, watcher)
    if snapshot.catalog.digests is not None and ids:
        raise StoreError("; ".join(map(str, plan["extract"].reasons)))
    if not ids:
        return sorted_
    from ..stages.extract import stage as extract

    begin = time.monotonic()
    superseded = tuple(snapshot.shards) if forced else ()
    inputs = extract.ExtractInputs(snapshot.catalog.root, snapshot.videos(ids), snapshot.weights, superseded)
    result = extract.run(snapshot.config.extract, inputs, store=store, ledger=snapshot.ledger, progress=watcher)
    _record(snapshot, plan["extract"], versions.EXTRACT, [], time.monotonic() - begin)
    if "fit" not in request.stages:  # which says so of its own videos
        _say_short(snapshot, watcher)
    return result.summary(time.monotonic() - begin)


def _say_short(snapshot: Snapshot, watcher: Watcher) -> None:
    """Videos that are too short for the clips of the fit to come."""
    ids = snapshot.catalog.ids()
    stored = (video for shard in snapshot.ledger.shards.get(snapshot.store_key, {}).values() for video in shard.videos)
    frames = {video.id: video.frames for video in stored if video.id in ids}
    if frames and snapshot.config.fit.unit == "frames":
        short = ShortVideos.of(list(frames.values()), snapshot.config.fit)
        if not short.few:
            watcher.note(short.told())


def _repair_times(snapshot: Snapshot, store: FeatureStore, watcher: Watcher) -> str:
    """Sort the times of shards that an earlier version wrote; each is replaced whole, so this may end anywhere."""
    if not snapshot.backwards:
        return ""
    watcher.start("sort", len(snapshot.backwards), "shards")
    try:
        for name in snapshot.backwards:
            watcher.pulse()
            snapshot.ledger.add_shard(store.repair_times(store.folder / name))
            watcher.advance(1)
    finally:
        watcher.finish()
    summary = f"the times of {counted(len(snapshot.backward_videos()), 'video')} were sorted"
    watcher.note(summary)
    return summary


def _run_fit(snapshot: Snapshot, plan: Plan, request: Request, watcher: Watcher) -> str:
    from ..stages.distributed.launch import pick_team
    from ..stages.fit import stage as fit

    chosen = plan["fit"]
    folder = snapshot.workspace.stage("fit", chosen.key)
    if "fit" in request.force:
        fit.forget_checkpoint(folder)
    begin, settings = time.monotonic(), snapshot.config.fit
    team = pick_team(settings.processes, settings.device)
    settings = replace(settings, processes=team.size)
    ids = snapshot.train_ids()
    if not ids:
        raise StageError(f"split {snapshot.split.name} has no training video whose features are there: see data.split")
    groups = {video.id: video.group for video in snapshot.videos(ids)}
    named = [groups[video_id] for video_id in ids]
    result = fit.run(
        settings, _load(snapshot, ids, settings, watcher), folder, progress=watcher, groups=named, team=team
    )
    write_json(folder / "inputs.json", {"videos": snapshot.features_of(ids)})
    outputs = [folder / name for name in fit.OUTPUTS]
    _record(snapshot, chosen, versions.FIT, outputs, time.monotonic() - begin)
    fit.forget_checkpoint(folder)
    left = [f"{result.held_out:,} held out"] * bool(result.held_out) + [f"{result.too_short:,} too short"] * bool(
        result.too_short
    )
    used = f"{result.videos:,} of {counted(len(ids), 'training video')} ({', '.join(left)})"
    used = used if left else counted(len(ids), "training video")
    return f"{counted(result.steps_run, 'step')} on {used}, cosine {result.last['cosine']:.3f}"


def _run_index(snapshot: Snapshot, plan: Plan, request: Request, watcher: Watcher) -> str:
    chosen = plan["index"]
    folder = snapshot.workspace.stage("index", chosen.key)
    if chosen.action == "partial":
        _show_metrics(snapshot, folder)
        return "metrics.json put back"
    from ..cache.store import FeatureStore
    from ..stages.index import stage as index

    begin = time.monotonic()
    ids = [video.id for video in snapshot.catalog.videos if video.id in snapshot.stored]
    encoder = FeatureStore(snapshot.workspace.store(snapshot.store_key)).encoder() or {}
    provenance = {
        "store": snapshot.store_key,
        # What was measured on the batch that happened to be first is the store's: the same work gives the same bytes.
        "encoder": {key: value for key, value in encoder.items() if key != "measured"},
        "fit": plan["fit"].key,
        "fit_settings": snapshot.config.fit.identity(),
        "index_settings": snapshot.config.index.identity(),
    }
    fit_folder = snapshot.workspace.stage("fit", plan["fit"].key)
    table = _load(snapshot, ids, replace(snapshot.config.fit, device="cpu", processes=1), watcher)
    latest = None if "index" in request.force else snapshot.ledger.latest("index")
    inputs = index.IndexInputs(
        videos=snapshot.videos(ids),
        table=table,
        split=snapshot.split,
        fit_folder=fit_folder,
        provenance=provenance,
        others=snapshot.other_splits(),
        previous=snapshot.workspace.stage("index", latest.fingerprint[:KEY_LENGTH]) if latest else None,
    )
    index.run(snapshot.config.index, inputs, folder, progress=watcher)
    write_json(folder / "inputs.json", {"videos": snapshot.features_of(ids)})
    outputs = [folder / name for name in index.files(snapshot.config.index)]
    _record(snapshot, chosen, versions.INDEX, outputs, time.monotonic() - begin)
    _show_metrics(snapshot, folder)
    return counted(len(ids), "video")


def _run_finetune(snapshot: Snapshot, plan: Plan, request: Request, watcher: Watcher) -> str:
    from ..cache.store import FeatureStore
    from ..stages.finetune import stage as finetune

    chosen, ids = plan["finetune"], snapshot.train_ids()
    folder = snapshot.workspace.stage("finetune", chosen.key)
    if "finetune" in request.force:
        finetune.forget_checkpoint(folder)
    begin = time.monotonic()
    encoder = FeatureStore(snapshot.workspace.store(snapshot.store_key)).encoder() or {}
    by_id = {video.id: video for video in snapshot.videos(ids)}
    inputs = finetune.FinetuneInputs(
        extract=snapshot.config.extract,
        weights=snapshot.weights,
        weights_sha256=encoder.get("weights_sha256", ""),
        fit_folder=snapshot.workspace.stage("fit", plan["fit"].key),
        root=snapshot.catalog.root,
        videos=tuple(by_id[video_id] for video_id in ids),
        table=_load(snapshot, ids, snapshot.config.fit, watcher),
        provenance={"store": snapshot.store_key, "fit": plan["fit"].key},
    )
    result = finetune.run(snapshot.config.finetune, inputs, folder, progress=watcher)
    write_json(folder / "inputs.json", {"videos": snapshot.features_of(ids)})
    outputs = [folder / name for name in finetune.OUTPUTS]
    _record(snapshot, chosen, versions.FINETUNE, outputs, time.monotonic() - begin)
    finetune.forget_checkpoint(folder)
    watcher.note(how_to_use(snapshot, chosen.fingerprint or ""))
    return result.summary()


RUNNERS: dict[str, Callable[[Snapshot, Plan, Request, Watcher], str]] = {
    "extract": _run_extract,
    "fit": _run_fit,
    "finetune": _run_finetune,
    "index": _run_index,
}


def _load(snapshot: Snapshot, ids: list[str], settings: FitSettings, watcher: Watcher) -> Any:
    """The frames of some videos, in that order, in memory or left in their shards."""
    from ..cache.store import FeatureStore
    from ..stages.frames.loading import load_frames

    places = [snapshot.stored[video_id] for video_id in ids]
    wanted = [(place.shard, place.row, place.video) for place in places]
    store = FeatureStore(snapshot.workspace.store(snapshot.store_key))
    return load_frames(store, wanted, settings, progress=watcher)


def _record(snapshot: Snapshot, plan: StagePlan, version: int, outputs: list[Path], seconds: float) -> None:
    states = {snapshot.workspace.relative(path): file_state(path) for path in outputs}
    fingerprint, upstream = plan.fingerprint or "", plan.upstream or ""
    snapshot.ledger.add_stage(StageRecord(plan.stage, fingerprint, version, plan.config, upstream, states, seconds))


def _show_metrics(snapshot: Snapshot, folder: Path) -> None:
    write_bytes(snapshot.workspace.metrics, (folder / "metrics.json").read_bytes())


@contextmanager
def _stoppable(watcher: Watcher) -> Iterator[None]:
    """Ctrl-C and SIGTERM end a run at its next safe point.

    An exception raised wherever the signal happens to fall can leave Python's import lock taken, and the
    decoding thread then waits for it forever.
    """

    def ask(_signal: int, _frame: FrameType | None) -> None:
        watcher.stop()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
