"""What a run would do, and why: decided from a snapshot of the work folder, without doing or writing anything."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..cache.fingerprint import KEY_LENGTH, digest, stage_fingerprint
from ..cache.ledger import StageRecord
from ..data.wording import counted
from ..stages import versions
from .reasons import (
    ConfigChanged,
    DescriptionChanged,
    FirstRun,
    Forced,
    ImportLost,
    InputsChanged,
    OutputMissing,
    Reason,
    ResultElsewhere,
    RetryFailed,
    TimesBackwards,
    Unfinished,
    UpstreamChanged,
    UpstreamRuns,
    VersionRaised,
    WeightsChanged,
)
from .snapshot import Snapshot, features_fingerprint, index_inputs, lists_digest

STAGES = ("extract", "fit", "index")
Action = Literal["skip", "run", "partial"]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What happens to one stage.

    Attributes:
        stage: its name.
        action: "skip", "run", or "partial" (part of the work is done already).
        reasons: why it runs; empty for "skip".
        todo: videos to extract, steps to take, or videos to index.
        unit: of ``todo``.
        config: the settings that decide the output.
        upstream: fingerprint of what it reads; None while a stage above has yet to make it.
        fingerprint: of the output; None likewise.
        summary: what is there, for "skip".
    """

    stage: str
    action: Action
    reasons: tuple[Reason, ...]
    todo: int
    unit: str
    config: dict[str, Any]
    upstream: str | None
    fingerprint: str | None
    summary: str = ""

    @property
    def key(self) -> str:
        """Name of the output's folder."""
        return (self.fingerprint or "")[:KEY_LENGTH]


Plan = dict[str, StagePlan]


def make_plan(snapshot: Snapshot, *, force: Collection[str] = (), retry_failed: bool = False) -> Plan:
    """Plan all stages; those in ``force`` run whatever is there."""
    extract = _plan_extract(snapshot, forced="extract" in force, retry_failed=retry_failed)
    fit = _plan_fit(snapshot, extract, forced="fit" in force)
    index = _plan_index(snapshot, extract, fit, forced="index" in force)
    return {"extract": extract, "fit": fit, "index": index}


def videos_to_extract(snapshot: Snapshot, *, forced: bool, retry_failed: bool) -> list[str]:
    """Ids of the videos that extraction will read, in the catalog's order."""
    if forced:
        return [video.id for video in snapshot.catalog.videos]
    ids = {todo.video.id for todo in snapshot.todo} | (set(snapshot.failed) if retry_failed else set())
    return [video.id for video in snapshot.catalog.videos if video.id in ids]


def _plan_extract(snapshot: Snapshot, *, forced: bool, retry_failed: bool) -> StagePlan:
    if snapshot.catalog.digests is not None:
        return _plan_imported(snapshot)
    todo = len(videos_to_extract(snapshot, forced=forced, retry_failed=retry_failed))
    frames = sum(place.video.frames for place in snapshot.stored.values())
    reasons = _extract_reasons(snapshot, forced=forced, retry_failed=retry_failed) if todo else ()
    reasons = (*_times_reasons(snapshot), *reasons) if not forced else reasons
    action: Action = "skip" if not reasons else "partial" if snapshot.stored and not forced else "run"
    soundtracks = sum(failure.is_no_video for failure in snapshot.failed.values())
    unreadable = len(snapshot.failed) - soundtracks
    failed = f"; {unreadable} could not be read" * bool(unreadable) + f"; {soundtracks} without pictures" * bool(
        soundtracks
    )
    summary = f"{counted(len(snapshot.stored), 'video')}, {counted(frames, 'frame')}{failed}"
    config = snapshot.config.extract.identity()
    return StagePlan("extract", action, reasons, todo, "videos", config, "", snapshot.store_key, summary)


def _plan_imported(snapshot: Snapshot) -> StagePlan:
    """There is nothing to extract; features that are lost make a stage that says so and cannot run."""
    frames = sum(place.video.frames for place in snapshot.stored.values())
    lost, broken = len(snapshot.todo), (*snapshot.damaged, *snapshot.lost)
    reasons: tuple[Reason, ...] = ()
    if lost:
        missing = (OutputMissing(broken),) if broken else ()
        reasons = (*missing, ImportLost(lost, snapshot.import_command()))
    reasons = (*_times_reasons(snapshot), *reasons)
    action: Action = "skip" if not reasons else "partial" if snapshot.stored else "run"
    summary = f"imported: {counted(len(snapshot.stored), 'video')}, {counted(frames, 'frame')}"
    config = snapshot.config.extract.identity()
    return StagePlan("extract", action, reasons, lost, "videos", config, "", snapshot.store_key, summary)


def _times_reasons(snapshot: Snapshot) -> tuple[Reason, ...]:
    count = len(snapshot.backward_videos())
    return (TimesBackwards(count),) if count else ()


def _extract_reasons(snapshot: Snapshot, *, forced: bool, retry_failed: bool) -> tuple[Reason, ...]:
    reasons: list[Reason] = [Forced()] if forced else []
    latest = snapshot.ledger.latest("extract")
    broken = (*snapshot.damaged, *snapshot.lost)
    if broken:
        reasons.append(OutputMissing(broken))
    if latest is None and not snapshot.stored:
        reasons.append(FirstRun())
    elif latest is not None and latest.fingerprint != snapshot.store_key and not snapshot.stored:
        reasons.extend(_difference(latest, snapshot.config.extract.identity(), versions.EXTRACT))
        if not reasons:  # the same settings, but other local weights
            reasons.append(WeightsChanged(snapshot.config.extract.weights))
    elif snapshot.ledger.find("extract", snapshot.store_key) is None:
        reasons.append(Unfinished(len(snapshot.stored), len(snapshot.catalog.videos), "videos"))
    elif snapshot.todo and not broken:
        by_why = {why: tuple(t.video.id for t in snapshot.todo if t.why == why) for why in ("added", "changed")}
        reasons.append(InputsChanged(**by_why))
    if retry_failed and snapshot.failed:
        reasons.append(RetryFailed(len(snapshot.failed)))
    return tuple(reasons)


def _plan_fit(snapshot: Snapshot, extract: StagePlan, *, forced: bool) -> StagePlan:
    config = {**snapshot.config.fit.identity(), "data.split": snapshot.split.name}
    steps = snapshot.config.fit.steps
    pending = (
        {todo.video.id for todo in snapshot.todo} | snapshot.backward_videos() if extract.action != "skip" else set()
    )
    if pending & snapshot.split.train or (extract.action == "run" and not snapshot.stored):
        reasons: tuple[Reason, ...] = (*_forced(forced), UpstreamRuns("extract"))
        return StagePlan("fit", "run", reasons, steps, "steps", config, None, None)
    features = snapshot.features_of(snapshot.train_ids())
    upstream = features_fingerprint(features)
    fingerprint = stage_fingerprint("fit", versions.FIT, config, upstream)
    record = snapshot.ledger.find("fit", fingerprint)
    broken = snapshot.broken_outputs(record) if record else ()
    if record and not broken and not forced:
        summary = f"{counted(steps, 'step')} on {counted(len(features), 'training video')}"
        return StagePlan("fit", "skip", (), 0, "steps", config, upstream, fingerprint, summary)
    done = 0 if forced else snapshot.checkpoint_step(fingerprint[:KEY_LENGTH])
    if done and not record:
        reasons = (Unfinished(done, steps, "steps"),)
    else:
        reasons = (*_forced(forced), *stage_reasons(snapshot, "fit", config, upstream, versions.FIT, broken))
    action: Action = "partial" if done else "run"
    return StagePlan("fit", action, reasons, steps - done, "steps", config, upstream, fingerprint)


def _plan_index(snapshot: Snapshot, extract: StagePlan, fit: StagePlan, *, forced: bool) -> StagePlan:
    config = {**snapshot.config.index.identity(), "data.split": snapshot.split.name}
    total = len(snapshot.stored) + len(snapshot.todo)
    above = [plan.stage for plan in (extract, fit) if plan.action != "skip"]
    if above:
        reasons: tuple[Reason, ...] = (*_forced(forced), *map(UpstreamRuns, above))
        return StagePlan("index", "run", reasons, total, "videos", config, None, None)
    record_of_fit = snapshot.ledger.find("fit", fit.fingerprint or "")
    outputs = record_of_fit.outputs.items() if record_of_fit else ()
    model = [state.sha256 for path, state in outputs if path.endswith("/model.safetensors")]
    splits = [lists_digest(snapshot), snapshot.config.data.split_seed, snapshot.config.data.train_fraction]
    upstream = digest({"model": model, "videos": index_inputs(snapshot), "splits": splits})
    fingerprint = stage_fingerprint("index", versions.INDEX, config, upstream)
    record = snapshot.ledger.find("index", fingerprint)
    broken = snapshot.broken_outputs(record) if record else ()
    if record and not broken and not forced:
        return _plan_published_index(snapshot, record, config, upstream, total)
    reasons = (*_forced(forced), *stage_reasons(snapshot, "index", config, upstream, versions.INDEX, broken))
    return StagePlan("index", "run", reasons, total, "videos", config, upstream, fingerprint)


def _plan_published_index(
    snapshot: Snapshot, record: StageRecord, config: dict[str, Any], upstream: str, total: int
) -> StagePlan:
    """The index is there; ``metrics.json`` may still show another one's figures."""
    path = next(path for path in record.outputs if path.endswith("/metrics.json"))
    fields = ("videos", config, upstream, record.fingerprint, counted(total, "video"))
    if snapshot.shown_metrics() == record.outputs[path].sha256:
        return StagePlan("index", "skip", (), 0, *fields)
    return StagePlan("index", "partial", (ResultElsewhere(path),), 0, *fields)


def stage_reasons(
    snapshot: Snapshot, stage: str, config: dict[str, Any], upstream: str, version: int, broken: tuple[str, ...]
) -> tuple[Reason, ...]:
    """Why the output is not there, held against the stage's last finished run."""
    if broken:
        return (OutputMissing(broken),)
    latest = snapshot.ledger.latest(stage)
    if latest is None:
        return (FirstRun(),)
    reasons = _difference(latest, config, version)
    if latest.upstream != upstream:
        change = _inputs_difference(snapshot, stage, latest)
        # Another version reads its inputs in another way: only what is named is a change of theirs.
        if latest.version == version or isinstance(change, InputsChanged):
            reasons.append(change)
    return tuple(reasons)


def _difference(latest: StageRecord, config: dict[str, Any], version: int) -> list[Reason]:
    reasons: list[Reason] = []
    if latest.version != version:
        reasons.append(VersionRaised(latest.version, version))
    # Keys that another version did not have yet are no change of the user's.
    known = config.keys() & latest.config.keys() if latest.version != version else config.keys() | latest.config.keys()
    keys = sorted(key for key in known if config.get(key) != latest.config.get(key))
    if keys:
        changes = tuple((key, latest.config.get(key), config.get(key)) for key in keys)
        reasons.append(ConfigChanged(latest.stage, changes))
    return reasons


def _inputs_difference(snapshot: Snapshot, stage: str, latest: StageRecord) -> Reason:
    """Which videos differ from those that the last finished run read."""
    path = snapshot.workspace.stage(stage, latest.fingerprint[:KEY_LENGTH]) / "inputs.json"
    try:
        before: dict[str, str] = json.loads(path.read_text())["videos"]
    except (OSError, ValueError, KeyError):
        return UpstreamChanged("extract")
    now = snapshot.features_of(snapshot.train_ids() if stage in ("fit", "finetune") else sorted(snapshot.stored))
    change = InputsChanged(
        added=tuple(sorted(now.keys() - before.keys())),
        changed=tuple(sorted(video for video in now.keys() & before.keys() if now[video] != before[video])),
        removed=tuple(sorted(before.keys() - now.keys())),
    )
    if stage != "fit" and change == InputsChanged():
        return DescriptionChanged() if _is_of_latest_fit(snapshot, stage, path) else UpstreamChanged("fit")
    return change


def _is_of_latest_fit(snapshot: Snapshot, stage: str, inputs: Path) -> bool:
    """Whether the index beside these inputs was made from the fit that is there."""
    latest = snapshot.ledger.latest("fit")
    if stage != "index" or latest is None:
        return False
    try:
        made_from = json.loads((inputs.parent / "metrics.json").read_text())["provenance"]["fit"]
    except (OSError, ValueError, KeyError):
        return False
    return bool(made_from == latest.fingerprint[:KEY_LENGTH])


def _forced(forced: bool) -> tuple[Reason, ...]:
    return (Forced(),) if forced else ()
