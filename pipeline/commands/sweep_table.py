"""The table of a sweep: headline figures of every run, paired differences, and seeds taken together."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...data.csv_cells import cell
from ...data.figures import PairedTest, Spread
from ...data.metrics import Queries, QueryFigures
from ...data.record import Record, named, record
from ...data.wording import number, percent
from ..grid import run_name
from ..show.table_layout import TableText
from ..workspace import Workspace
from .compare import Difference, RowFigures, Run, difference_of, open_run, row_figures

ROW = "mofore"
RAW = "raw_mean_pool"  # what a run is held against whose metrics name no best trivial row
SEED = "fit.seed"


@dataclass(frozen=True, slots=True)
class Measured:
    """A run whose metrics are there: its name, what it sets, and the keys of its fit and metrics."""

    name: str
    values: dict[str, Any]
    fit: str
    evaluate: str


@record
class SweepRow(Record):
    """A run.

    Attributes:
        name: what it sets, in short.
        values: by setting.
        fit: key of its fit; empty if it failed.
        evaluate: key of its metrics.
        figures: of the embeddings; None if it failed.
        against_first: paired with the first run that is there; None for that one.
        trivial: the best of the rows that need no training, by mAP.
        against_trivial: paired with it.
        failed: why there is nothing; empty if there is.
    """

    name: str
    values: dict[str, Any]
    fit: str = ""
    evaluate: str = ""
    figures: RowFigures | None = None
    against_first: Difference | None = None
    trivial: str = ""
    against_trivial: Difference | None = None
    failed: str = ""


@record
class SeedsRow(Record):
    """The runs of one setting over seeds.

    Attributes:
        name: what they set beside the seed.
        values: by setting.
        seeds: how many.
        r_at_1: percent, over seeds.
        mean_ap: percent.
        probe: percent; None where it is not measured.
        skill: of the forecast; None likewise.
        against_first: each query's figures averaged over seeds, paired with those of the first setting.
    """

    name: str
    values: dict[str, Any]
    seeds: int
    r_at_1: Spread | None = named("R@1")
    mean_ap: Spread | None = named("mAP")
    probe: Spread | None
    skill: Spread | None
    against_first: Difference | None


@record
class SweepTable(Record):
    """All runs of a sweep, and, where seeds are swept, every setting over its seeds."""

    runs: tuple[SweepRow, ...]
    seeds: tuple[SeedsRow, ...]

    def as_csv(self) -> str:
        """A row for each run."""
        return as_csv(self)


def make_table(
    workspace: Workspace, measured: Sequence[Measured], failed: Mapping[str, str], wanted: Sequence[dict[str, Any]]
) -> SweepTable:
    """Read the metrics of all runs, and pair them.

    Args:
        workspace: the work folder.
        measured: runs whose metrics are there.
        failed: why others have none, by name.
        wanted: what each run sets, in order.
    """
    found = {run.name: open_run(workspace.stage("evaluate", run.evaluate)) for run in measured}
    keys = {run.name: run for run in measured}
    first = next(iter(found.values()), None)
    rows = []
    for values in wanted:
        name = run_name(values)
        if name in found and first is not None:
            rows.append(_row(keys[name], found[name], first))
        else:
            rows.append(SweepRow(name=name, values=values, failed=failed.get(name, "")))
    return SweepTable(runs=tuple(rows), seeds=_over_seeds(keys, found))


def _row(keys: Measured, run: Run, first: Run) -> SweepRow:
    named = run.metrics.protocol.best_trivial
    best = named if named in run.queries.rows else RAW
    return SweepRow(
        name=keys.name,
        values=keys.values,
        fit=keys.fit,
        evaluate=keys.evaluate,
        figures=row_figures(run.metrics, ROW),
        against_first=None if run is first else difference_of(run, first, ROW),
        trivial=best,
        against_trivial=difference_of(run, run, ROW, best),
    )


def _over_seeds(keys: Mapping[str, Measured], found: Mapping[str, Run]) -> tuple[SeedsRow, ...]:
    """Nothing where no setting has two seeds."""
    settings = dict[str, list[str]]()
    for name, run in keys.items():
        if SEED in run.values:
            settings.setdefault(run_name(_beside_seed(run.values)), []).append(name)
    if not any(len(names) > 1 for names in settings.values()):
        return ()
    averaged = {name: _average([found[of] for of in names]) for name, names in settings.items()}
    first = next(iter(averaged.values()))
    rows = []
    for name, names in settings.items():
        figures = [row_figures(found[of].metrics, ROW) for of in names]
        rows.append(
            SeedsRow(
                name=name,
                values=_beside_seed(keys[names[0]].values),
                seeds=len(names),
                r_at_1=_spread([of.r_at_1 for of in figures]),
                mean_ap=_spread([of.mean_ap for of in figures]),
                probe=_spread([of.probe for of in figures]),
                skill=_spread([of.skill for of in figures]),
                against_first=None if averaged[name] is first else difference_of(averaged[name], first, ROW),
            )
        )
    return tuple(rows)


def _beside_seed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {setting: value for setting, value in values.items() if setting != SEED}


def _average(runs: Sequence[Run]) -> Run:
    """A run whose queries met what they met on average over runs of the same queries."""
    first, rows = runs[0], [run.queries.rows[ROW] for run in runs]
    met = QueryFigures(
        r_at_1=_means([row.hits() for row in rows]),
        first_hit=_means([row.first_hit for row in rows]),
        average_precision=_means([row.average_precision for row in rows]),
    )
    queries: Queries = replace(first.queries, rows={ROW: met})
    return Run(first.name, first.metrics, queries)


def _means(of_runs: Sequence[Sequence[float | None]]) -> tuple[float | None, ...]:
    return tuple(_mean(of_query) for of_query in zip(*of_runs, strict=True))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return Spread(mean=statistics.fmean(known), sd=statistics.stdev(known) if len(known) > 1 else 0.0)


def tables(table: SweepTable) -> list[TableText]:
    """The table as text."""
    heads = ["run", "R@1", "mAP", "probe", "skill", "mAP - first", "95 %", "mAP - best trivial", "95 % "]
    rows = [_cells(row) for row in table.runs]
    found = [
        (
            "Runs, % (differences in points, paired by query; 95 %: over recordings where known; *: better or worse)",
            heads,
            rows,
        )
    ]
    if table.seeds:
        heads = ["setting", "seeds", "R@1", "mAP", "probe", "skill", "mAP - first", "95 %"]
        rows = [_seeds_cells(row) for row in table.seeds]
        found.append(("Over seeds, % (mean ± sd; differences of each query's mean over seeds)", heads, rows))
    return found


def _cells(row: SweepRow) -> list[str]:
    figures = row.figures
    if figures is None:
        return [row.name, *["-"] * 4, "failed", *["-"] * 3]
    shown = [percent(figures.r_at_1), percent(figures.mean_ap), percent(figures.probe), number(figures.skill, 2)]
    return [row.name, *shown, *_difference_cells(row.against_first), *_difference_cells(row.against_trivial)]


def _seeds_cells(row: SeedsRow) -> list[str]:
    spreads = [_spread_text(row.r_at_1), _spread_text(row.mean_ap), _spread_text(row.probe), _spread_text(row.skill, 2)]
    return [row.name, str(row.seeds), *spreads, *_difference_cells(row.against_first)]


def _spread_text(spread: Spread | None, digits: int = 1) -> str:
    return "-" if spread is None else f"{spread.mean:.{digits}f} ± {spread.sd:.{digits}f}"


def _difference_cells(difference: Difference | None) -> list[str]:
    tested = None if difference is None else difference.mean_ap
    if tested is None or tested.difference is None:
        return ["-", "-"]
    return [f"{tested.difference:+.1f}", _signed(tested)]


def _signed(tested: PairedTest) -> str:
    """An interval of a difference; a star where the verdict is that there is one."""
    widest, star = tested.intervals.widest, "" if tested.verdict == "no difference" else "*"
    return "-" if widest is None else f"{widest.low:+.1f} to {widest.high:+.1f}{star}"


def as_csv(table: SweepTable) -> str:
    """A row for each run: what it sets, its figures, and differences with their intervals."""
    text = io.StringIO()
    settings = list(table.runs[0].values) if table.runs else []
    writer = csv.writer(text, lineterminator="\n")
    tested = ["difference", "low", "high", "p", "verdict"]
    writer.writerow(
        [
            *settings,
            *("fit", "evaluate", "R@1", "R@1_low", "R@1_high", "mAP", "mAP_low", "mAP_high", "probe"),
            *("effective_rank", "skill"),
            *(f"{of}_against_first_{what}" for of in ("R@1", "mAP") for what in tested),
            "trivial",
            *(f"{of}_against_trivial_{what}" for of in ("R@1", "mAP") for what in tested),
            "failed",
        ]
    )
    for row in table.runs:
        cells = [*(_plain(row.values[name]) for name in settings), *_csv_cells(row)]
        writer.writerow([cell(value) for value in cells])
    return text.getvalue()


def _csv_cells(row: SweepRow) -> list[Any]:
    figures = row.figures
    shown: list[Any] = [""] * 9
    if figures is not None:
        ends = [end for i in (figures.r_at_1_interval, figures.mean_ap_interval) for end in (i or ("", ""))]
        shown = [figures.r_at_1, *ends[:2], figures.mean_ap, *ends[2:]]
        shown += [figures.probe, figures.effective_rank, figures.skill]
    return [
        *(row.fit, row.evaluate, *shown),
        *(*_tested_cells(row.against_first), row.trivial, *_tested_cells(row.against_trivial), row.failed),
    ]


def _tested_cells(difference: Difference | None) -> list[Any]:
    cells: list[Any] = []
    for tested in (difference.r_at_1, difference.mean_ap) if difference else ():
        low, high = tested.intervals.widest or ("", "")
        cells += [tested.difference, low, high, tested.p, tested.verdict]
    return cells or [""] * 10


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | tuple | bool) else value
