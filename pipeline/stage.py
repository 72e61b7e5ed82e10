"""What a stage is, and the plan of one: whether it has to run, and why, decided without doing or writing anything.

A stage is one record. What it computes is a package below ``mofore.stages``; the record says by which settings and
inputs its output is known, and how it is called. Its output lies in ``<name>/<key>/``, where the key is a fingerprint
of settings, inputs and version, so that whatever changes makes another folder and nothing is ever overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..cache.fingerprint import KEY_LENGTH, stage_fingerprint
from ..cache.ledger import StageRecord
from ..data.part import Part
from ..data.progress import Progress
from ..data.wording import counted
from . import reasons as because
from .inputs import read_inputs
from .snapshot import Snapshot

Action = Literal["skip", "run", "partial"]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What happens to one stage."""

    stage: str  # its name
    action: Action  # "skip", "run", or "partial" (part of the work is done already)
    reasons: tuple[because.Reason, ...]  # why it runs; empty for "skip"
    todo: int  # videos or steps that are left to do
    unit: str  # of ``todo``
    config: dict[str, Any]  # the settings that decide the output
    upstream: str | None  # fingerprint of what it reads; None while a stage above has yet to make it
    fingerprint: str | None  # of the output; None likewise
    summary: str = ""  # what is there, for "skip"

    @property
    def key(self) -> str:
        """Name of the output's folder."""
        return (self.fingerprint or "")[:KEY_LENGTH]


Plan = dict[str, StagePlan]


@dataclass(frozen=True, slots=True)
class Asked:
    """How a stage was asked for: run whatever is there, try unreadable videos again, do one of several parts alone.

    Or have the nodes of a cluster do it.
    """

    force: bool = False
    retry_failed: bool = False
    part: Part | None = None
    cluster: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """What a stage is given to run."""

    snapshot: Snapshot  # of the work folder
    plan: Plan  # of this stage and those above it
    chosen: StagePlan  # the plan of this stage
    folder: Path  # for its output
    asked: Asked  # how it was asked for
    last: bool  # whether no stage follows
    progress: Progress  # told how it goes
    shared: dict[str, Any]  # what stages of one run hand on, such as frames that are loaded already; by name


@dataclass(frozen=True, slots=True)
class Made:
    """What a stage made."""

    summary: str  # one line for the user
    # names of files in its folder that the ledger keeps the digests of; None: it records nothing
    outputs: tuple[str, ...] | None = ()


@dataclass(frozen=True, slots=True)
class Shortcut:
    """An option of a stage's command that stands for a setting."""

    option: str  # of the command, ``--nproc``
    setting: str  # that it sets, ``fit.processes``
    kind: type[int] | type[float]  # of its value
    low: float  # its least value
    high: float | None  # its largest; None for any
    help: str  # one line


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage: one record, from which planning, running, status and its command follow."""

    name: str  # of the stage, its command, its folder and its section of ``mofore.toml``
    version: int  # of its output; raised when the same settings and inputs give another result
    what: str  # it makes, in one line; the help of its command
    needs: tuple[str, ...]  # names of the stages whose output it reads, all of which stand before it
    config: Callable[[Snapshot], dict[str, Any]]  # the settings that decide its output, by key
    inputs: Callable[[Snapshot, Plan], str]  # fingerprint of what it reads, once the stages above are up to date
    run: Callable[[Work], Made]  # makes the output in ``Work.folder``
    files: tuple[str, ...]  # patterns of all that may lie in its folders; `mofore gc` deletes nothing else
    unit: str  # of its work
    amount: Callable[[Snapshot], int]  # how much work it is, in ``unit``
    videos: Callable[[Snapshot], list[str]] = lambda snapshot: sorted(snapshot.stored)  # ids of those that it reads
    # what is there once it is done, in one line
    summary: Callable[[Snapshot, StageRecord], str] = lambda _snapshot, _record: "done"
    # names of the stages above that have to run before its inputs are known
    waits: Callable[[Snapshot, Plan], tuple[str, ...]] = lambda _snapshot, above: tuple(
        plan.stage for plan in above.values() if plan.action != "skip"
    )
    described: bool = False  # whether it reads classes, recordings and sides of the videos
    resumes: bool = False  # whether a run that was cut off goes on from a checkpoint
    # why a finished output is not shown where users look for it; None if it is
    missing: Callable[[Snapshot, StageRecord], because.Reason | None] = lambda _snapshot, _record: None
    finish: Callable[[Work], None] = lambda _work: None  # called once the output is recorded
    shortcuts: tuple[Shortcut, ...] = ()  # options of its command that stand for settings
    retries: bool = False  # whether parts of its work that failed are tried again when that is asked for
    divides: bool = False  # whether several machines can share its work
    # decides what happens to it; another than :func:`plan_stage` where the work is no single output
    plan: Callable[[Stage, Snapshot, Plan, Asked], StagePlan] = field(default=lambda *given: plan_stage(*given))


def plan_stage(stage: Stage, snapshot: Snapshot, plan: Plan, asked: Asked) -> StagePlan:
    """What happens to a stage whose output is one folder.

    Args:
        stage: whose plan is wanted.
        snapshot: of the work folder.
        plan: of the stages before it.
        asked: how it was asked for.
    """
    config, amount = stage.config(snapshot), stage.amount(snapshot)
    forced: tuple[because.Reason, ...] = (because.Forced(),) if asked.force else ()
    above = stage.waits(snapshot, {name: plan[name] for name in stage.needs})
    if above:
        reasons = (*forced, *map(because.UpstreamRuns, above))
        return StagePlan(stage.name, "run", reasons, amount, stage.unit, config, None, None)
    upstream = stage.inputs(snapshot, plan)
    fingerprint = stage_fingerprint(stage.name, stage.version, config, upstream)
    known = (stage.unit, config, upstream, fingerprint)
    record = snapshot.ledger.find(stage.name, fingerprint)
    broken = snapshot.broken_outputs(record) if record else ()
    if record and not broken and not asked.force:
        return _finished(stage, snapshot, record, known)
    done = snapshot.checkpoint_step(fingerprint[:KEY_LENGTH], stage.name) if stage.resumes and not asked.force else 0
    action: Action = "partial" if done else "run"
    if done and not record:
        return StagePlan(stage.name, action, (because.Unfinished(done, amount, stage.unit),), amount - done, *known)
    why = (*forced, *_reasons(stage, snapshot, plan, (config, upstream), broken))
    return StagePlan(stage.name, action, why, amount - done, *known)


def _finished(
    stage: Stage, snapshot: Snapshot, record: StageRecord, known: tuple[str, dict[str, Any], str, str]
) -> StagePlan:
    """The output is there; its copy for the user may still be another one's."""
    elsewhere = stage.missing(snapshot, record)
    reasons = () if elsewhere is None else (elsewhere,)
    action: Action = "partial" if reasons else "skip"
    return StagePlan(stage.name, action, reasons, 0, *known, stage.summary(snapshot, record))


def _reasons(
    stage: Stage, snapshot: Snapshot, plan: Plan, wanted: tuple[dict[str, Any], str], broken: tuple[str, ...]
) -> tuple[because.Reason, ...]:
    """Why the output, of the wanted settings and inputs, is not there, held against the stage's last finished run."""
    config, upstream = wanted
    if broken:
        return (because.OutputMissing(broken),)
    latest = snapshot.ledger.latest(stage.name)
    if latest is None:
        return (because.FirstRun(),)
    reasons = difference(latest, config, stage.version)
    if latest.upstream != upstream:
        change = _inputs_difference(stage, snapshot, plan, latest)
        # Another version reads its inputs in another way: only what is named is a change of theirs.
        if latest.version == stage.version or isinstance(change, because.InputsChanged):
            reasons.append(change)
    return tuple(reasons)


def difference(latest: StageRecord, config: Mapping[str, Any], version: int) -> list[because.Reason]:
    """Which settings, and whether the version, differ from those of the last finished run."""
    reasons: list[because.Reason] = []
    if latest.version != version:
        reasons.append(because.VersionRaised(latest.version, version))
    # Keys that another version did not have yet are no change of the user's.
    known = config.keys() & latest.config.keys() if latest.version != version else config.keys() | latest.config.keys()
    keys = sorted(key for key in known if config.get(key) != latest.config.get(key))
    if keys:
        changes = tuple((key, latest.config.get(key), config.get(key)) for key in keys)
        reasons.append(because.ConfigChanged(latest.stage, changes))
    return reasons


def _inputs_difference(stage: Stage, snapshot: Snapshot, plan: Plan, latest: StageRecord) -> because.Reason:
    """Which videos, or which stage's output, differ from those that the last finished run read."""
    before = read_inputs(snapshot.workspace.stage(stage.name, latest.fingerprint[:KEY_LENGTH]))
    if before is None:
        return because.UpstreamChanged("extract")
    now = snapshot.features_of(stage.videos(snapshot))
    then = before["videos"]
    change = because.InputsChanged(
        added=tuple(sorted(now.keys() - then.keys())),
        changed=tuple(sorted(video for video in now.keys() & then.keys() if now[video] != then[video])),
        removed=tuple(sorted(then.keys() - now.keys())),
    )
    if "fit" not in stage.needs or change != because.InputsChanged():
        return change
    for name in made_by(stage):
        if before.get(name, plan[name].key) != plan[name].key:
            return because.UpstreamChanged(name)
    return because.DescriptionChanged() if stage.described else because.UpstreamChanged("extract")


def made_by(stage: Stage) -> tuple[str, ...]:
    """Stages above whose output, beside the features, decides this one's."""
    return tuple(name for name in stage.needs if name != "extract")


def all_videos(snapshot: Snapshot) -> int:
    """The amount of work of a stage that reads all videos."""
    return len(snapshot.stored) + len(snapshot.todo)


def videos_summary(snapshot: Snapshot, _record: StageRecord) -> str:
    """What is there of a stage that reads all videos."""
    return counted(all_videos(snapshot), "video")


def model_digests(snapshot: Snapshot, plan: Plan) -> list[str]:
    """sha256 of the model of the fit that is up to date, in a list; empty where there is none."""
    record = snapshot.ledger.find("fit", plan["fit"].fingerprint or "")
    outputs = record.outputs.items() if record else ()
    return [state.sha256 for path, state in outputs if path.endswith("/model.safetensors")]
