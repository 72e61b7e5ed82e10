"""``mofore compare``: the metrics of several runs side by side, with paired differences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...cache.fingerprint import KEY_LENGTH, file_state
from ...cache.ledger import Ledger
from ...data.errors import StaleError, StoreError, UsageError
from ...data.figures import Interval, PairedTest
from ...data.metrics import SCHEMA, Metrics, Queries
from ...data.record import Record, named, record
from ...data.wording import number, percent
from ..run_names import read_names
from ..run_settings import settings_of, text, unlike
from ..runs import meet
from ..show.metric_tables import difference_text, interval_text
from ..show.table_layout import TableText
from ..workspace import Workspace

if TYPE_CHECKING:
    from ...data.arrays import Float64, Int64

FIRST_ROWS = ("mofore", "raw_mean_pool")  # of a run that is compared; others where asked for


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured in a work folder, or in one of its folders: its name, metrics and queries."""

    name: str
    metrics: Metrics
    queries: Queries


@record
class RowFigures(Record):
    """One embedding of a run.

    Attributes:
        r_at_1: percent.
        r_at_1_interval: percent, over recordings where these are known.
        mean_ap: percent.
        mean_ap_interval: percent, likewise.
        probe: accuracy in percent; None where it is not measured.
        effective_rank: of the space.
        skill: of the forecast over all gaps; of ``mofore`` alone.
    """

    r_at_1: float | None = named("R@1")
    r_at_1_interval: Interval | None = named("R@1_interval")
    mean_ap: float | None = named("mAP")
    mean_ap_interval: Interval | None = named("mAP_interval")
    probe: float | None
    effective_rank: float
    skill: float | None


@record
class RunFigures(Record):
    """One run.

    Attributes:
        rows: by embedding.
        split: that it is measured on.
        queries: how many.
        fit: key of the fit.
    """

    rows: dict[str, RowFigures]
    split: str
    queries: int
    fit: str


@record
class Difference(Record):
    """One embedding of a run, held against that of the first run.

    Attributes:
        queries: that both runs have.
        r_at_1: difference in points.
        mean_ap: difference in points.
    """

    queries: int
    r_at_1: PairedTest = named("R@1")
    mean_ap: PairedTest = named("mAP")


@record
class Comparison(Record):
    """Runs side by side.

    Attributes:
        schema: 2.
        runs: by name, the first one first.
        against: name of the first run.
        differences: to it, by run and embedding.
        settings: those that are not the same in all runs, each with its value by run.
        notes: what makes figures not comparable as they are.
    """

    schema: int
    runs: dict[str, RunFigures]
    against: str
    differences: dict[str, dict[str, Difference]]
    settings: dict[str, dict[str, Any]]
    notes: tuple[str, ...]


def open_run(path: Path) -> Run:
    """Read a run.

    Raises:
        StaleError: if nothing was measured there, or by an older mofore.
        StoreError: if a file is missing or damaged.
    """
    folder = path if (path / "queries.json").exists() else _shown_metrics(path)
    try:
        metrics = Metrics.from_json(json.loads((folder / "metrics.json").read_text()))
        queries = Queries.from_json(json.loads((folder / "queries.json").read_text()))
    except StaleError as error:
        raise StaleError(
            f"'{folder}' was measured by another version of mofore: run `mofore evaluate -w {path}`"
        ) from error
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the metrics in '{folder}' cannot be read ({error}): run `mofore evaluate --force`"
        ) from error
    return Run(_called(path), metrics, queries)


def _called(path: Path) -> str:
    """The name that the user gave a run, or its folder's."""
    workspace = Workspace(path.parent.parent)
    if path.parent.name == "evaluate" and workspace.config.is_file():
        given = [name for name, run in read_names(workspace).items() if run.evaluate == path.name]
        return given[0] if given else path.name
    return path.name or path.resolve().name


def folder_of(text: str, workdir: Path) -> Path:
    """What `open_run` reads of a run that is given by its name, its key or its folder.

    Raises:
        UsageError: if there is no such run, or nothing was measured of it.
    """
    path = Path(text)
    if path.is_dir():
        return path
    run = meet(text, workdir)
    if run.metrics is None:
        raise UsageError(f"{text}: {run.damage or 'nothing was measured'}, so that there is nothing to compare")
    return run.workspace.stage("evaluate", run.key)


def compare(paths: Sequence[Path], rows: Sequence[str] = FIRST_ROWS) -> Comparison:
    """Figures of each run, and paired differences of every run to the first.

    Differences are taken over the queries that both runs have (by id), within the row of that name.

    Raises:
        UsageError: if fewer than two runs are given, or a row is none of theirs.
    """
    if len(paths) < 2:
        raise UsageError("compare needs two runs or more: mofore compare RUN_A RUN_B")
    runs = _told_apart([open_run(path) for path in paths], paths)
    for run in runs:
        unknown = [row for row in rows if row not in run.queries.rows]
        if unknown:
            raise UsageError(f"{run.name} has no row {unknown[0]!r}; it has {', '.join(run.queries.rows)}")
    return Comparison(
        schema=SCHEMA,
        runs={run.name: _figures(run, rows) for run in runs},
        against=runs[0].name,
        differences={run.name: {row: difference_of(run, runs[0], row) for row in rows} for run in runs[1:]},
        settings=_differing(runs),
        notes=tuple(note for run in runs[1:] for note in _notes(run, runs[0])),
    )


def tables(found: Comparison) -> list[TableText]:
    """:func:`compare`'s result as tables."""
    columns = ["run", "embedding", "R@1", "95 %", "mAP", "95 %", "probe", "eff. rank", "forecast skill"]
    figures = [
        [run, row, *_figure_cells(of_row)] for run, of_run in found.runs.items() for row, of_row in of_run.rows.items()
    ]
    heads = ["run", "embedding", "R@1", "95 %", "p", "mAP", "95 %", "p", "queries"]
    differences = [
        [run, row, *_test_cells(of_row.r_at_1), *_test_cells(of_row.mean_ap), f"{of_row.queries:,}"]
        for run, of_run in found.differences.items()
        for row, of_row in of_run.items()
    ]
    tested: TableText = (f"Difference to {found.against} over the queries of both, points", heads, differences)
    if not any(of_row.mean_ap.n for of_run in found.differences.values() for of_row in of_run.values()):
        tested = ("No differences: the runs share no query with a class that the gallery holds", [], [])
    return [("Runs, %", columns, figures), tested, _settings_table(found)]


def _settings_table(found: Comparison) -> TableText:
    """A row for each setting that differs."""
    if not found.settings:
        return "The same settings: what differs is videos, weights or version", [], []
    rows = [[name, *(text(values[run]) for run in found.runs)] for name, values in found.settings.items()]
    return "Settings that differ", ["setting", *found.runs], rows


def _differing(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """The settings that are not the same in all runs."""
    settings = [settings_of(run.metrics.provenance, run.metrics.protocol.split) for run in runs]
    names = [run.name for run in runs]
    return {name: dict(zip(names, values, strict=True)) for name, values in unlike(settings).items()}


def _shown_metrics(path: Path) -> Path:
    """Folder of the metrics that ``metrics.json`` shows, or that were taken last; in earlier versions the index's."""
    workspace = Workspace.open(path)
    ledger = Ledger.open(workspace.ledger)
    shown = file_state(workspace.metrics).sha256 if workspace.metrics.exists() else ""
    for taken in reversed(ledger.stages.get("evaluate", {}).values()):
        if shown is not None and any(state.sha256 == shown for state in taken.outputs.values()):
            return workspace.stage("evaluate", taken.fingerprint[:KEY_LENGTH])
    for stage in ("evaluate", "index"):
        if latest := ledger.latest(stage):
            return workspace.stage(stage, latest.fingerprint[:KEY_LENGTH])
    raise StaleError(f"nothing is measured in '{path}': run `mofore evaluate -w {path}`")


def _told_apart(runs: Sequence[Run], paths: Sequence[Path]) -> list[Run]:
    """Folders of the same name are shown by their whole path."""
    names = [run.name for run in runs]
    if len({*names}) == len(names):
        return list(runs)
    whole = [str(path) for path in paths]
    if len({*whole}) < len(whole):
        raise UsageError(f"the same run is given twice: {', '.join(whole)}")
    return [Run(name, run.metrics, run.queries) for name, run in zip(whole, runs, strict=True)]


def _figures(run: Run, rows: Sequence[str]) -> RunFigures:
    figures = {row: row_figures(run.metrics, row) for row in rows}
    return RunFigures(rows=figures, split=run.queries.split, queries=len(run.queries.ids), fit=run.metrics.fit)


def row_figures(metrics: Metrics, row: str) -> RowFigures:
    """The headline figures of one embedding."""
    measured, whole = metrics.retrieval[row], metrics.forecast.skill.whole
    return RowFigures(
        r_at_1=measured.recalls.r_at_1,
        r_at_1_interval=measured.intervals.r_at_1.widest,
        mean_ap=measured.recalls.mean_ap,
        mean_ap_interval=measured.intervals.mean_ap.widest,
        probe=measured.probe.accuracy if measured.probe else None,
        effective_rank=metrics.health[row].effective_rank,
        skill=whole.skill if whole and row == "mofore" else None,
    )


def difference_of(run: Run, first: Run, row: str, first_row: str = "") -> Difference:
    """One row of a run against that of the first run, or another row of it, over the queries of both."""
    from ...stages.evaluate.resampling import Resampling, paired  # numpy, only here

    place = {video: number for number, video in enumerate(first.queries.ids)}
    pairs = [(n, place[video]) for n, video in enumerate(run.queries.ids) if video in place]
    mine, theirs = [n for n, _ in pairs], [n for _, n in pairs]
    videos, groups = Resampling(1000, 0), _groups(run.queries, mine)
    clustered = None if groups is None else Resampling(1000, 0, groups)

    def tested(of_mine: Sequence[float | None], of_theirs: Sequence[float | None]) -> PairedTest:
        return paired(_values(of_mine, mine), _values(of_theirs, theirs), videos, clustered, scale=100)

    own, other = run.queries.rows[row], first.queries.rows[first_row or row]
    return Difference(
        queries=len(pairs),
        r_at_1=tested(own.hits(), other.hits()),
        mean_ap=tested(own.average_precision, other.average_precision),
    )


def _values(given: Sequence[float | None], rows: Sequence[int]) -> Float64:
    import numpy as np

    return np.array([given[n] for n in rows], np.float64)  # None becomes nan


def _groups(queries: Queries, rows: Sequence[int]) -> Int64 | None:
    from ...stages.evaluate.video_classes import recordings

    ids, groups = [queries.ids[n] for n in rows], [queries.groups[n] for n in rows]
    labels = [queries.labels[n] for n in rows]
    of_each = [label if isinstance(label, list) else [label] if label is not None else [] for label in labels]
    return recordings(ids, of_each, groups)


def _figure_cells(row: RowFigures) -> list[str]:
    return [
        percent(row.r_at_1),
        interval_text(row.r_at_1_interval),
        percent(row.mean_ap),
        interval_text(row.mean_ap_interval),
        percent(row.probe),
        number(row.effective_rank, 1),
        number(row.skill, 2),
    ]


def _test_cells(tested: PairedTest) -> list[str]:
    return [difference_text(tested), interval_text(tested.intervals.widest), number(tested.p, 3)]


def _notes(run: Run, first: Run) -> list[str]:
    """What makes figures of these runs not comparable as they are."""
    names = f"{run.name} and {first.name}"
    mine, theirs = {*run.queries.ids}, {*first.queries.ids}
    here, there = run.metrics.protocol, first.metrics.protocol
    notes = []
    if run.queries.split != first.queries.split:
        notes.append(f"{names} are measured on the splits {run.queries.split} and {first.queries.split}")
    if mine != theirs:
        notes.append(f"{names} share {len(mine & theirs):,} queries; differences are over these alone")
    if here.gallery != there.gallery:
        notes.append(f"{names} have galleries of {here.gallery:,} and {there.gallery:,} videos")
    if here.centered != there.centered:
        notes.append(f"{names} differ in index.center")
    if here.views != there.views:
        notes.append(f"{names} differ in index.views")
    return notes
