"""Execute a plan: bring stages up to date in order, each recorded only after its outputs are published.

Torch, timm and faiss are imported inside the functions that run a stage, so that a run with nothing to do
does not wait for them.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol

from ..cache.atomic import remove_leftovers, remove_leftovers_below, write_json
from ..cache.fingerprint import file_state
from ..cache.known_videos import remember_videos
from ..cache.ledger import Ledger, StageRecord
from ..data.errors import StaleError
from ..data.progress import Progress
from ..data.types import Failure
from ..stages.vectors.faiss_library import refuse_missing_faiss
from .config import Config
from .inputs import INPUTS
from .road import make_plan, names, stage_called, upto
from .snapshot import Snapshot, observe
from .stage import Asked, Plan, Stage, StagePlan, Work, made_by
from .stages.finetune import refuse_imported, refuse_in_use
from .up_to_date import UpToDate, leave_word, look, recall
from .workspace import Workspace

MADE_IN = ("features", "fit", "evaluate", "index", "finetune", "report")  # folders of what runs make
OF_FAISS = ("evaluate", "index")  # stages that need it


class Watcher(Progress, Protocol):
    """Who is told what happens: the console, or a test."""

    def stop(self) -> None:
        """The user asked to stop; from a signal handler."""

    def skipped(self, plan: StagePlan) -> None:
        """A stage is up to date."""

    def begins(self, plan: StagePlan) -> None:
        """A stage is about to run."""

    def done(self, plan: StagePlan, seconds: float, summary: str) -> None:
        """A stage has finished, in so many seconds."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for."""

    stages: tuple[str, ...] = field(default_factory=names)  # to bring up to date, in order
    only: bool = False  # refuse if a stage above is stale, instead of running it
    force: frozenset[str] = frozenset()  # stages to run whatever is there
    retry_failed: bool = False  # try unreadable videos again
    cluster: bool = False  # have the nodes of a Ray cluster do what machines can share


@dataclass(slots=True)
class Outcome:
    """What came of a request: stages that ran, and the videos that could not be read."""

    ran: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def execute(workspace: Workspace, config: Config, request: Request, watcher: Watcher) -> Outcome:
    """Bring ``request.stages`` up to date.

    Raises:
        WorkspaceError: if another run holds the work folder, or it cannot be written to.
        StaleError: with ``only``, if a stage above is out of date.
        StageError: if a stage will need faiss and it is not installed; before anything is extracted.
        MoforeError: what a stage raises; what was finished before stays finished.
    """
    with workspace.alone(), stoppable(watcher):
        remove_leftovers(workspace.root)
        seen = look(workspace, config)
        if (known := _nothing_to_do(recall(workspace, seen), request, watcher)) is not None:
            return known
        for name in MADE_IN:
            remove_leftovers_below(workspace.root / name, 2)
        ledger = Ledger.open(workspace.ledger)
        ledger.take_up_parts()
        if "extract" not in request.stages:  # what they extracted is there, and merging it can wait
            ledger.parts = 0
        ledger.compact()
        snapshot = observe(workspace, config, ledger, walks=seen.walks)
        remember(snapshot)
        if "finetune" in request.stages:
            refuse_imported(snapshot)
            if "finetune" not in request.force:
                refuse_in_use(snapshot)
        if request.only:
            _refuse_stale(snapshot, request)
        outcome, shared = Outcome(), dict[str, Any]()
        plan = make_plan(snapshot)
        _refuse_devices(snapshot, plan, request)
        if any(name in request.stages and (plan[name].action != "skip" or name in request.force) for name in OF_FAISS):
            refuse_missing_faiss()
        for stage in map(stage_called, request.stages):
            work = _work(snapshot, stage, plan, request, watcher, shared)
            if not bring_up_to_date(stage, work, watcher):
                continue
            outcome.ran.append(stage.name)
            if not work.last or stage.retries:  # it may have met videos that cannot be read
                snapshot = observe(workspace, config, ledger, snapshot.catalog)
                plan = make_plan(snapshot)
        outcome.failures = [snapshot.failed[video_id] for video_id in sorted(snapshot.failed)]
        if not outcome.ran:
            leave_word(seen, snapshot, plan)
        elif names()[-1] in request.stages:  # else something is most likely left to do
            snapshot = observe(workspace, config, ledger, snapshot.catalog)
            leave_word(seen, snapshot, make_plan(snapshot))
        return outcome


def _nothing_to_do(known: UpToDate | None, request: Request, watcher: Watcher) -> Outcome | None:
    """What comes of a request if all that it asks for is known to be up to date."""
    if known is None or request.force or request.retry_failed or not known.plan.keys() >= set(request.stages):
        return None
    for name in request.stages:
        watcher.pulse()
        watcher.skipped(known.plan[name])
    return Outcome(failures=sorted(known.failures, key=lambda failure: failure.video_id))


def _work(
    snapshot: Snapshot, stage: Stage, plan: Plan, request: Request, watcher: Watcher, shared: dict[str, Any]
) -> Work:
    """What a stage is given; ``plan`` is of a snapshot as nobody has asked for anything."""
    forced, retries = stage.name in request.force, request.retry_failed and stage.retries
    asked = Asked(forced, retries, cluster=request.cluster and stage.divides)
    planned = stage.name in plan and asked == Asked()
    chosen = plan[stage.name] if planned else stage.plan(stage, snapshot, plan, asked)
    folder = snapshot.workspace.stage(stage.name, chosen.key)
    last = stage.name == request.stages[-1]
    return Work(snapshot, {**plan, stage.name: chosen}, chosen, folder, asked, last, watcher, shared)


def bring_up_to_date(stage: Stage, work: Work, watcher: Watcher) -> bool:
    """Run ``stage`` if its plan says so; returns whether it did."""
    watcher.pulse()
    if work.chosen.action == "skip":
        watcher.skipped(work.chosen)
        return False
    watcher.begins(work.chosen)
    begin = time.monotonic()
    made = stage.run(work)
    _hand_back_memory()
    if made.outputs is not None:
        record_stage(stage, work, made.outputs, time.monotonic() - begin)
    stage.finish(work)
    watcher.done(work.chosen, time.monotonic() - begin, made.summary)
    return True


def _hand_back_memory() -> None:
    """Give memory of a GPU that a stage has left to the next one, which may be FAISS's, and to other processes."""
    if "torch" in sys.modules:  # else there is none
        from ..stages.machine import device

        device.release_memory()


def _refuse_devices(snapshot: Snapshot, plan: Plan, request: Request) -> None:
    """Find out before the first stage that a later one has not the device that it is to run on."""
    for name in request.stages:
        idle = name in plan and plan[name].action == "skip" and name not in request.force
        elsewhere = request.cluster and stage_called(name).divides
        if not (idle or elsewhere) and getattr(getattr(snapshot.config, name, None), "device", "") in ("cuda", "mps"):
            from ..stages.machine.device import pick_device  # torch

            pick_device(getattr(snapshot.config, name).device, f"{name}.device")


def _refuse_stale(snapshot: Snapshot, request: Request) -> None:
    wanted, plan = request.stages[-1], make_plan(snapshot)
    needed = stage_called(wanted).needs
    above = [name for name in upto(wanted) if name in needed or any(name in stage_called(one).needs for one in needed)]
    stale = [plan[name] for name in above if plan[name].action != "skip"]
    if stale:
        why = "; ".join(f"{p.stage}: {', '.join(map(str, p.reasons))}" for p in stale)
        raise StaleError(f"--only {wanted} is refused, since a stage above is out of date ({why}): leave --only away")


def remember(snapshot: Snapshot) -> None:
    """Tell the ledger what observing found out, and put damaged shards aside."""
    ledger, folder = snapshot.ledger, snapshot.workspace.store(snapshot.store_key)
    if not snapshot.catalog.unseen and not snapshot.catalog.imported:
        remember_videos(snapshot.workspace.root, snapshot.catalog.videos)
    ledger.add_files(snapshot.touched)
    for record in snapshot.found:
        ledger.add_shard(record)
    known = ledger.shards.get(snapshot.store_key, {})
    ledger.drop_shards(snapshot.store_key, [name for name in (*snapshot.damaged, *snapshot.lost) if name in known])
    for name in snapshot.damaged:
        (folder / name).replace(folder / f"{name}.damaged")


def record_stage(stage: Stage, work: Work, outputs: tuple[str, ...], seconds: float) -> None:
    """Tell the ledger that the output is there; this comes last, so that a run that is cut off was none."""
    snapshot, plan = work.snapshot, work.chosen
    if stage.needs:  # what the output was made from, so that the next run can say what changed
        above = {name: work.plan[name].key for name in made_by(stage)}
        write_json(work.folder / INPUTS, {"videos": snapshot.features_of(stage.videos(snapshot)), **above})
    states = {snapshot.workspace.relative(work.folder / name): file_state(work.folder / name) for name in outputs}
    fingerprint, upstream = plan.fingerprint or "", plan.upstream or ""
    record = StageRecord(stage.name, fingerprint, stage.version, plan.config, upstream, states, seconds)
    snapshot.ledger.add_stage(record)


@contextmanager
def stoppable(watcher: Watcher) -> Iterator[None]:
    """Ctrl-C and SIGTERM end a run at its next safe point.

    An exception raised wherever the signal happens to fall can leave Python's import lock taken, and the
    decoding thread then waits for it forever. Outside the main thread, where Python hears no
    signals, nothing is caught.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(_signal: int, _frame: FrameType | None) -> None:
        watcher.stop()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
