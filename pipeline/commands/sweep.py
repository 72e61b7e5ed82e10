"""``mofore sweep``: a fit and its metrics for every combination of settings, and one table of them.

Every run of a sweep is an ordinary fit and evaluation, ``fit/<key>/`` and ``evaluate/<key>/``, as `mofore evaluate`
with those settings would make it: what is there already is used, and what a sweep makes is there for other commands.
Fits that were cut off go on from their checkpoints. The sweep's own folder holds the grid and the table alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...cache.atomic import write_bytes, write_json
from ...cache.fingerprint import KEY_LENGTH, digest
from ...cache.ledger import Ledger
from ...data.errors import MoforeError, StageError
from ...data.types import Failure
from ...data.wording import counted
from ..grid import GridRun
from ..road import make_plan, stage_called
from ..run import Request, Watcher, execute, record_stage, stoppable
from ..snapshot import Snapshot, described_videos, observe
from ..stage import Asked, Plan, Work
from ..stages.frames import load
from ..workspace import Workspace
from .sweep_table import Measured, SweepTable, as_csv, make_table

FOLDER, TABLE, CSV = "sweep", "sweep.json", "sweep.csv"


@dataclass(frozen=True, slots=True)
class Planned:
    """A run of a sweep, the work folder as its settings see it, and what there is to do for it."""

    run: GridRun
    snapshot: Snapshot
    plan: Plan

    @property
    def fit(self) -> str:
        """Fingerprint of its fit; empty while features are to be extracted."""
        return self.plan["fit"].fingerprint or ""

    @property
    def is_fitted(self) -> bool:
        """Whether its fit is there."""
        return self.plan["fit"].action == "skip"

    @property
    def is_measured(self) -> bool:
        """Whether its metrics are there; that ``metrics.json`` shows others does not matter."""
        evaluate = self.plan["evaluate"]
        return self.is_fitted and (evaluate.action == "skip" or (evaluate.action == "partial" and not evaluate.todo))


@dataclass(slots=True)
class Swept:
    """What came of a sweep.

    Attributes:
        table: of all runs; None where fits alone were asked for.
        folder: that holds it as CSV and JSON.
        failed: what ended a run, by its name.
        failures: videos that could not be read.
    """

    table: SweepTable | None = None
    folder: Path | None = None
    failed: dict[str, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def plan_sweep(workspace: Workspace, runs: Sequence[GridRun]) -> list[Planned]:
    """What is there of each run, and what is to be done; nothing is written."""
    return [_planned(run, snapshot) for run, snapshot in _observed(workspace, runs, Ledger.open(workspace.ledger))]


def sweep(workspace: Workspace, runs: Sequence[GridRun], watcher: Watcher, *, only_fit: bool = False) -> Swept:
    """Bring every run up to date, and make the table of them.

    Args:
        workspace: the work folder.
        runs: of the grid.
        watcher: who is told.
        only_fit: take no metrics.

    Raises:
        WorkspaceError: if another run holds the work folder.
        MoforeError: what extraction raises; what ends single runs is in ``failed`` instead, and the others go on.
    """
    failures = execute(workspace, runs[0].config, Request(("extract",)), watcher).failures
    with workspace.alone(), stoppable(watcher):
        seen = list(_observed(workspace, runs, Ledger.open(workspace.ledger)))
        swept, shared = Swept(failures=failures), dict[str, Any]()
        planned = [_planned(run, snapshot) for run, snapshot in seen]
        swept.failed |= _fit(planned, watcher)
        if only_fit:
            return swept
        measured = list[Measured]()
        for run, snapshot in seen:
            if run.name in swept.failed:
                continue
            try:
                measured.append(_measured(_planned(run, snapshot), watcher, shared))
            except StageError as error:
                swept.failed[run.name] = str(error)
        swept.table = make_table(workspace, measured, swept.failed, [run.values for run in runs])
        swept.folder = _publish(workspace, swept.table, planned)
    return swept


def _observed(workspace: Workspace, runs: Iterable[GridRun], ledger: Ledger) -> Iterable[tuple[GridRun, Snapshot]]:
    """Each run with the work folder as it sees it; looked at once for all that see the same videos and sides."""
    known = dict[tuple[Any, Any], Snapshot]()
    for run in runs:
        key = (run.config.data, run.config.extract)
        if key not in known:
            known[key] = observe(workspace, run.config, ledger)
            described_videos(known[key])
        yield run, replace(known[key], config=run.config)


def _planned(run: GridRun, snapshot: Snapshot) -> Planned:
    return Planned(run, snapshot, make_plan(snapshot))


def _fit(runs: Sequence[Planned], watcher: Watcher) -> dict[str, str]:
    """Train what is to be trained; returns what ended a run, by its name."""
    todo = {run.fit: run for run in runs if not run.is_fitted}  # several runs may be of one fit
    watcher.note(
        f"sweep: {counted(len(runs), 'run')}, {counted(len({run.fit for run in runs}), 'fit')}, "
        f"{len(todo):,} of them to be trained"
    )
    of_table = dict[tuple[str, ...], list[Planned]]()
    for run in todo.values():
        of_table.setdefault((run.snapshot.store_key, *run.snapshot.train_ids()), []).append(run)
    ended = dict[str, str]()
    for same in of_table.values():
        ended |= _fit_same(same, watcher)
    return {run.run.name: ended[run.fit] for run in runs if run.fit in ended}


def _fit_same(runs: Sequence[Planned], watcher: Watcher) -> dict[str, str]:
    """Train runs on the same frames; returns what ended one, by fingerprint."""
    from ...stages.fit import stage as fit

    stage, begun = stage_called("fit"), time.monotonic()
    works = {run.run.name: _work(run, "fit", watcher, {}) for run in runs}
    first = next(iter(works.values()))
    ids = first.snapshot.train_ids()
    if not ids:
        raise StageError(
            f"split {first.snapshot.split.name} has no training video whose features are there: see data.split"
        )
    groups = {video.id: video.group for video in first.snapshot.videos(ids)}
    settings = {name: replace(work.snapshot.config.fit, processes=1) for name, work in works.items()}
    table = load(first, ids, next(iter(settings.values())))
    jobs = {
        name: fit.FitJob(settings[name], table, work.folder, tuple(groups[video_id] for video_id in ids))
        for name, work in works.items()
    }

    def finished(name: str, result: fit.FitResult) -> None:
        work = works[name]
        record_stage(stage, work, fit.OUTPUTS, (time.monotonic() - begun) / len(works))
        stage.finish(work)
        watcher.note(f"{name}: {counted(result.steps_run, 'step')}, {result.told}")

    failed = fit.run_several(jobs, progress=watcher, finished=finished)
    return {run.fit: str(failed[run.run.name]) for run in runs if run.run.name in failed}


def _measured(run: Planned, watcher: Watcher, shared: dict[str, Any]) -> Measured:
    """The metrics of a run, taken if they are not there; ``metrics.json`` of the work folder stays what it is."""
    stage = stage_called("evaluate")
    work = _work(run, "evaluate", watcher, shared)
    if not run.is_measured:
        watcher.pulse()
        begun = time.monotonic()
        made = stage.run(work)
        record_stage(stage, work, made.outputs or (), time.monotonic() - begun)
        watcher.note(f"{run.run.name}: measured in {time.monotonic() - begun:.1f} s")
    return Measured(run.run.name, run.run.values, run.plan["fit"].key, run.plan["evaluate"].key)


def _work(run: Planned, stage: str, watcher: Watcher, shared: dict[str, Any]) -> Work:
    chosen = run.plan[stage]
    folder = run.snapshot.workspace.stage(stage, chosen.key)
    return Work(run.snapshot, run.plan, chosen, folder, Asked(), True, watcher, shared)


def _publish(workspace: Workspace, table: SweepTable, runs: Sequence[Planned]) -> Path:
    """Write the table into the folder of the grid, whose name follows from the fits and how they are measured."""
    measured = stage_called("evaluate").config
    key = digest([[run.run.values, run.fit, measured(run.snapshot)] for run in runs])
    folder = workspace.stage(FOLDER, key[:KEY_LENGTH])
    write_bytes(folder / CSV, as_csv(table).encode("utf-8"))
    write_json(folder / TABLE, table.as_json())
    return folder


def plan_lines(runs: Sequence[Planned]) -> list[str]:
    """What a sweep would do, a line for each run and one for all (`--dry-run`)."""
    lines = [
        f"{run.run.name}: {_fit_state(run)}; metrics {'done' if run.is_measured else 'to be taken'}" for run in runs
    ]
    fits = {run.fit: run.is_fitted for run in runs}
    measured = sum(run.is_measured for run in runs)
    return [
        *lines,
        f"{counted(len(runs), 'run')}, {measured:,} of them done; {counted(len(fits), 'fit')}, "
        f"{sum(fits.values()):,} of them done",
    ]


def _fit_state(run: Planned) -> str:
    plan = run.plan["fit"]
    if run.is_fitted:
        return f"fit/{plan.key} done"
    if plan.fingerprint is None:
        return "fit to be trained, once features are extracted"
    return f"fit/{plan.key} {plan.todo:,} steps to take"


def failed_error(failed: dict[str, str]) -> MoforeError:
    """What to end with when runs failed and the others are through."""
    told = "; ".join(f"{name}: {why}" for name, why in failed.items())
    return StageError(f"{counted(len(failed), 'run')} of the sweep failed ({told}); the others are done")
