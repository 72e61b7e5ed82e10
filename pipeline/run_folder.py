"""A work folder in Python: what the commands do, and what they made.

Nothing heavy is imported before it is needed: :meth:`Run.status` needs neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..cache.ledger import Ledger
from ..data.errors import UsageError
from ..data.part import Part
from ..data.types import Failure
from .made import Made
from .road import make_plan, names, upto
from .run import Outcome, Request
from .run_names import NamedRun, check_name, give_name, now, read_names, taken
from .snapshot import observe
from .stage import StagePlan
from .stages.finetune import plan_begun
from .stages.report import PAGE, REPORT, plan_page
from .up_to_date import look, recall

if TYPE_CHECKING:
    from .commands.sweep import Swept
    from .grid import GridRun


@dataclass(frozen=True, slots=True)
class Status:
    """What a run would do, and why (`mofore status`).

    Attributes:
        stages: the plan of each stage by name: its ``action`` ("skip", "run" or "partial") and its ``reasons``.
        failures: videos that could not be read.
        at_work: the processes that are at work in the folder just now, as they are called: "process 7 on lab2".
    """

    stages: Mapping[str, StagePlan]
    failures: tuple[Failure, ...]
    at_work: tuple[str, ...] = ()

    @property
    def up_to_date(self) -> bool:
        """Whether a run would do nothing."""
        return all(stage.action == "skip" for stage in self.stages.values())


class Run(Made):
    """A work folder: the commands, and what they made. :func:`mofore.open` and :func:`mofore.init` make one.

    What is there is looked at once, and anew after each command of this object and by :meth:`status`; of what another
    process does meanwhile it knows nothing. Every method raises :class:`mofore.MoforeError` with the message that the
    command line would show.
    """

    def run(self, *, force: bool = False, retry_failed: bool = False, name: str = "", report: bool = True) -> Outcome:
        """All stages that are not up to date (`mofore run`); see :meth:`make`.

        Args:
            force: run every stage, whatever is there.
            retry_failed: try videos again that could not be read.
            name: what to call the run (docs/runs.md); empty for nothing.
            report: whether a page is made of it at the end.

        Raises:
            UsageError: if the name is another run's, before anything is run.
        """
        if name:
            self._refuse_taken(name)
        stages = (*names(), REPORT.name) if report else names()
        forced = frozenset(stages) if force else frozenset()
        outcome = self._execute(Request(stages, force=forced, retry_failed=retry_failed))
        if name:
            with self.workspace.alone():
                give_name(self.workspace, name, self._as_named())
        return outcome

    def _refuse_taken(self, name: str) -> None:
        check_name(name)
        known = read_names(self.workspace).get(name)
        if known is not None and known.keys[:3] != self._as_named().keys[:3]:
            raise taken(self.workspace, name, known)

    def _as_named(self) -> NamedRun:
        """What the settings mean now; keys are empty while a stage above has yet to run."""
        plan, snapshot = make_plan(self.snapshot), self.snapshot
        fit, evaluate, index = (plan[stage].key for stage in ("fit", "evaluate", "index"))
        return NamedRun(
            store=snapshot.store_key, fit=fit, evaluate=evaluate, index=index, overrides=self.overrides, named=now()
        )

    def extract(
        self,
        *,
        only: bool = False,
        force: bool = False,
        retry_failed: bool = False,
        part: Part | tuple[int, int] | None = None,
        ray: str | None = None,
    ) -> Outcome:
        """Features of every frame of every video (`mofore extract`); see :meth:`make`.

        ``part``, as (i, n), is the i-th of n parts alone, from 1, while others do the others; ``ray`` is the address of
        a Ray cluster whose nodes do it: "auto", "host:port", or "local" for this machine (docs/scale.md).
        """
        if part is not None and ray is not None:
            raise UsageError("a part of the videos is for machines without Ray: give --part or --ray, not both")
        if ray is not None:
            from .cluster import extract_on_ray

            request = Request(("extract",), only, frozenset({"extract"}) if force else frozenset(), retry_failed, True)
            try:
                return extract_on_ray(self.workspace, self.config, ray, request, self._watcher())
            finally:
                self._forget()
        if part is None:
            return self.make("extract", only=only, force=force, retry_failed=retry_failed)
        from .parts import extract_part

        part = part if isinstance(part, Part) else Part(*part)
        try:
            return extract_part(
                self.workspace, self.config, part, self._watcher(), force=force, retry_failed=retry_failed
            )
        finally:
            self._forget()

    def fit(self, *, only: bool = False, force: bool = False) -> Outcome:
        """Student, predictor and teacher on the stored features (`mofore fit`); see :meth:`make`."""
        return self.make("fit", only=only, force=force)

    def evaluate(self, *, only: bool = False, force: bool = False) -> Outcome:
        """The metrics (`mofore evaluate`), which are then :attr:`metrics`; see :meth:`make`."""
        return self.make("evaluate", only=only, force=force)

    def index(self, *, only: bool = False, force: bool = False) -> Outcome:
        """Embeddings and indexes (`mofore index`); see :meth:`make`."""
        return self.make("index", only=only, force=force)

    def finetune(self, *, only: bool = False, force: bool = False) -> Outcome:
        """The last blocks of the backbone from pixels (`mofore finetune`); see :meth:`make`."""
        return self.make("finetune", only=only, force=force)

    def report(self, *, only: bool = False, force: bool = False) -> Path:
        """All of it as a page that opens from disk (`mofore report`), with the stages above; see :meth:`make`.

        Returns:
            The page, ``report/<key>/index.html``, to which ``report/index.html`` leads.

        >>> run.report().name
        'index.html'
        """
        self.make(REPORT.name, only=only, force=force)
        plan = make_plan(self.snapshot, optional=True)[REPORT.name]
        return self.workspace.stage(REPORT.name, plan.key) / PAGE

    def make(self, stage: str, *, only: bool = False, force: bool = False, retry_failed: bool = False) -> Outcome:
        """Bring a stage up to date, and those above it.

        Args:
            stage: its name.
            only: refuse if a stage above is out of date, instead of running it.
            force: run the stage again, whatever is there.
            retry_failed: of extraction: try videos again that could not be read.

        Returns:
            The names of the stages that ran, and the videos that could not be read (which is no error here).

        Raises:
            MoforeError: what the command would end with; what was finished before stays finished.
            KeyboardInterrupt: at a safe point after Ctrl-C; the next call goes on from there.
        """
        stages = (stage,) if only else upto(stage)
        return self._execute(Request(stages, only, frozenset({stage}) if force else frozenset(), retry_failed))

    def sweep(self, grid: Mapping[str, object], *, only_fit: bool = False) -> Swept:
        """A fit and its metrics for every combination of settings (`mofore sweep`); what is there is used.

        Args:
            grid: settings, each with a list of values, or with the one that it has in all runs.
            only_fit: take no metrics.

        Returns:
            The table, as ``table``: ``table.runs``, ``table.seeds``, ``table.as_json()``, ``table.as_csv()``; what
            ended single runs, by their names, as ``failed``.

        Raises:
            ConfigError: if a value is not allowed; nothing was run then.
            UsageError: if there is nothing to sweep, or it would change the features.

        >>> swept = run.sweep({"fit.seed": [0, 1], "fit.lr": 1e-3})
        >>> [row.name for row in swept.table.runs], swept.table.seeds[0].seeds
        (['seed=0', 'seed=1'], 2)
        """
        from .commands.sweep import sweep
        from .grid import grid_overrides

        runs = self.grid_runs(grid_overrides(grid))
        try:
            return sweep(self.workspace, runs, self._watcher(), only_fit=only_fit)
        finally:
            self._forget()

    def grid_runs(self, overrides: Sequence[str]) -> list[GridRun]:
        """The runs of a sweep over what ``--set`` lists, beside what this object sets."""
        from .grid import grid_runs, parse_grid

        fixed, axes = parse_grid(overrides)
        return grid_runs(self.workspace.config, (*self.overrides, *fixed), axes)

    def status(self) -> Status:
        """What :meth:`run` would do, and why; looked at anew.

        >>> run.status().stages["fit"].action
        'skip'
        """
        self._forget()
        at_work, seen = self.workspace.at_work(), look(self.workspace, self.config)
        if (known := recall(self.workspace, seen)) is not None:
            return Status(known.plan, tuple(known.failures), at_work)
        self._snapshot = observe(self.workspace, self.config, Ledger.open(self.workspace.ledger), walks=seen.walks)
        plan = make_plan(self._snapshot)
        begun = {**plan_begun(self._snapshot, plan), **plan_page(self._snapshot, plan)}  # of the optional stages
        return Status({**plan, **begun}, tuple(self._snapshot.failed.values()), at_work)
