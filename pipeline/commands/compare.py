"""``mofore compare``: the metrics of several runs side by side, with paired differences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...cache.fingerprint import KEY_LENGTH
from ...cache.ledger import Ledger
from ...data.errors import StaleError, StoreError, UsageError
from ..show.metric_tables import difference_text, interval_text, number, percent, widest
from ..show.table_layout import TableText
from ..workspace import Workspace

if TYPE_CHECKING:
    from ...data.arrays import Float64, Int64

SCHEMA = 2
FIRST_ROWS = ("mofore", "raw_mean_pool")  # of a run that is compared; others where asked for


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured in a work folder, or in one of its folders: its name, metrics and queries."""

    name: str
    metrics: dict[str, Any]
    queries: dict[str, Any]


def open_run(path: Path) -> Run:
    """Read a run.

    Raises:
        StaleError: if nothing was measured there, or by an older mofore.
        StoreError: if a file is missing or damaged.
    """
    folder = path if (path / "queries.json").exists() else _latest_metrics(path)
    try:
        metrics = json.loads((folder / "metrics.json").read_text())
        queries = json.loads((folder / "queries.json").read_text())
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the metrics in '{folder}' cannot be read ({error}): run `mofore evaluate --force`"
        ) from error
    if metrics["schema"] != SCHEMA:
        raise StaleError(f"'{folder}' was measured by another version of mofore: run `mofore evaluate -w {path}`")
    return Run(path.name or str(path.resolve().name), metrics, queries)


def compare(paths: Sequence[Path], rows: Sequence[str] = FIRST_ROWS) -> dict[str, Any]:
    """Figures of each run, and paired differences of every run to the first.

    Differences are taken over the queries that both runs have (by id), within the row of that name.

    Raises:
        UsageError: if fewer than two runs are given, or a row is none of theirs.
    """
    if len(paths) < 2:
        raise UsageError("compare needs two runs or more: mofore compare RUN_A RUN_B")
    runs = _told_apart([open_run(path) for path in paths], paths)
    for run in runs:
        unknown = [row for row in rows if row not in run.queries["rows"]]
        if unknown:
            raise UsageError(f"{run.name} has no row {unknown[0]!r}; it has {', '.join(run.queries['rows'])}")
    return {
        "schema": SCHEMA,
        "runs": {run.name: _figures(run, rows) for run in runs},
        "against": runs[0].name,
        "differences": {run.name: {row: _difference(run, runs[0], row) for row in rows} for run in runs[1:]},
        "notes": _notes(runs),
    }


def tables(found: dict[str, Any]) -> list[TableText]:
    """:func:`compare`'s result as tables."""
    figures = [
        [
            run,
            row,
            percent(of_row["R@1"]),
            interval_text(of_row["R@1_interval"]),
            percent(of_row["mAP"]),
            interval_text(of_row["mAP_interval"]),
            percent(of_row["probe"]),
            number(of_row["effective_rank"], 1),
            number(of_row["skill"], 2),
        ]
        for run, of_run in found["runs"].items()
        for row, of_row in of_run["rows"].items()
    ]
    columns = ["run", "embedding", "R@1", "95 %", "mAP", "95 %", "probe", "eff. rank", "forecast skill"]
    differences = [
        [
            run,
            row,
            *(text for metric in ("R@1", "mAP") for text in _difference_cells(of_row[metric])),
            f"{of_row['queries']:,}",
        ]
        for run, of_run in found["differences"].items()
        for row, of_row in of_run.items()
    ]
    heads = ["run", "embedding", "R@1", "95 %", "p", "mAP", "95 %", "p", "queries"]
    tested: TableText = (f"Difference to {found['against']} over the queries of both, points", heads, differences)
    if not any(of_row["mAP"]["n"] for of_run in found["differences"].values() for of_row in of_run.values()):
        tested = ("No differences: the runs share no query with a class that the gallery holds", [], [])
    return [("Runs, %", columns, figures), tested]


def _latest_metrics(path: Path) -> Path:
    """Folder of the metrics that were taken last; earlier versions had them beside the index."""
    workspace = Workspace.open(path)
    ledger = Ledger.open(workspace.ledger)
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


def _figures(run: Run, rows: Sequence[str]) -> dict[str, Any]:
    metrics = run.metrics
    found = {}
    for row in rows:
        measured = metrics["retrieval"][row]
        found[row] = {
            "R@1": measured["R@1"],
            "R@1_interval": widest(measured["intervals"]["R@1"]),
            "mAP": measured["mAP"],
            "mAP_interval": widest(measured["intervals"]["mAP"]),
            "probe": measured.get("probe", {}).get("accuracy"),
            "effective_rank": metrics["health"][row]["effective_rank"],
            "skill": metrics["forecast"]["all"].get("skill") if row == "mofore" else None,
        }
    settings = metrics["provenance"]
    return {"rows": found, "split": run.queries["split"], "queries": len(run.queries["ids"]), "fit": settings["fit"]}


def _difference(run: Run, first: Run, row: str) -> dict[str, Any]:
    from ...stages.evaluate.resampling import Resampling, paired  # numpy, only here

    place = {video: number for number, video in enumerate(first.queries["ids"])}
    pairs = [(n, place[video]) for n, video in enumerate(run.queries["ids"]) if video in place]
    mine, theirs = [n for n, _ in pairs], [n for _, n in pairs]
    videos, groups = Resampling(1000, 0), _groups(run, mine)
    clustered = None if groups is None else Resampling(1000, 0, groups)
    return {
        "queries": len(pairs),
        **{
            metric: paired(
                _values(run, row, metric, mine), _values(first, row, metric, theirs), videos, clustered, scale=100
            )
            for metric in ("R@1", "mAP")
        },
    }


def _values(run: Run, row: str, metric: str, rows: Sequence[int]) -> Float64:
    import numpy as np

    of_row = run.queries["rows"][row]
    if metric == "mAP":
        return np.array([of_row["AP"][n] for n in rows], np.float64)  # None becomes nan
    if "R@1" in of_row:
        return np.array([of_row["R@1"][n] for n in rows], np.float64)
    hits = [of_row["first_hit"][n] for n in rows]  # of an index that took ties in the order of the gallery
    return np.array([np.nan if hit is None else float(hit == 1) for hit in hits], np.float64)


def _groups(run: Run, rows: Sequence[int]) -> Int64 | None:
    from ...stages.evaluate.video_classes import recordings

    ids, labels, groups = ([run.queries[key][n] for n in rows] for key in ("ids", "labels", "groups"))
    of_each = [label if isinstance(label, list) else [label] if label is not None else [] for label in labels]
    return recordings(ids, of_each, groups)


def _difference_cells(tested: dict[str, Any]) -> list[str]:
    return [difference_text(tested), interval_text(widest(tested)), number(tested["p"], 3)]


def _notes(runs: Sequence[Run]) -> list[str]:
    """What makes figures of these runs not comparable as they are."""
    return [note for run in runs[1:] for note in _notes_of(run, runs[0])]


def _notes_of(run: Run, first: Run) -> list[str]:
    names = f"{run.name} and {first.name}"
    mine, theirs = {*run.queries["ids"]}, {*first.queries["ids"]}
    here, there = run.metrics["protocol"], first.metrics["protocol"]
    notes = []
    if run.queries["split"] != first.queries["split"]:
        notes.append(f"{names} are measured on the splits {run.queries['split']} and {first.queries['split']}")
    if mine != theirs:
        notes.append(f"{names} share {len(mine & theirs):,} queries; differences are over these alone")
    if here["gallery"] != there["gallery"]:
        notes.append(f"{names} have galleries of {here['gallery']:,} and {there['gallery']:,} videos")
    settings = {"centered": "index.center", "views": "index.views"}
    notes.extend(f"{names} differ in {said}" for key, said in settings.items() if here[key] != there[key])
    return notes
