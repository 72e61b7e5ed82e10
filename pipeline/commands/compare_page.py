"""``mofore compare --html``: the comparison as one file that opens from disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...data.errors import UsageError
from .compare import Comparison, Run, tables

if TYPE_CHECKING:
    from ...stages.report.answer import Answer
    from ...stages.report.charts import Whisker

ROW = "mofore"
MOST_QUERIES = 10  # that rose most, and that fell most


def write_comparison(path: Path, found: Comparison, runs: Sequence[Run]) -> None:
    """Write the page.

    Args:
        path: of the page.
        found: the comparison.
        runs: that it is of, the first one first.

    Raises:
        UsageError: if the name does not end in .html.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--html {path}: a name that ends in .html is needed (give --html after the runs)")
    from ...stages.report.charts import whiskers
    from ...stages.report.stage import write_page

    names = list(found.runs)
    context = {
        "names": names,
        "answers": [_answer(name, found) for name in names[1:]],
        "notes": found.notes,
        "tables": tables(found),
        "chart": whiskers("mAP and its 95 % interval", _dots(found), "mAP, %"),
        "settings": differing_settings([run.metrics.provenance for run in runs]),
        "changes": [_changes(name, run, runs[0]) for name, run in zip(names[1:], runs[1:], strict=True)],
    }
    write_page(path, "compare.html", context)


def differing_settings(provenances: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Settings, and what else the metrics say of their making, that are not the same of all runs."""
    flat = [dict(_flat(provenance)) for provenance in provenances]
    names = sorted({name for each in flat for name in each})
    rows = [[name, *(_text(each.get(name)) for each in flat)] for name in names]
    return [row for row in rows if len({*row[1:]}) > 1]


def _flat(value: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, inner in value.items():
        whole = f"{above}.{name}" if above and "." not in name else name
        found += _flat(inner, whole.removesuffix("_settings")) if isinstance(inner, dict) else [(whole, inner)]
    return found


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _answer(name: str, found: Comparison) -> Answer:
    """Whether a run is better than the first, as the paired test says."""
    from ...stages.report.answer import TONES, Answer

    row = ROW if ROW in found.differences[name] else next(iter(found.differences[name]))
    tested = found.differences[name][row].mean_ap
    if tested.verdict is None or tested.difference is None:
        return Answer("unknown", f"{name} and {found.against} share no query, so they cannot be compared.", ())
    widest = tested.intervals.widest
    interval = f", 95 % {widest.low:+.1f} to {widest.high:+.1f}" if widest else ""
    figures = f"{row}, mAP {tested.difference:+.1f} points{interval}, over {tested.n:,} queries"
    verdict = {
        "better": f"{name} retrieves better than {found.against}",
        "worse": f"{name} retrieves worse than {found.against}",
        "no difference": f"{name} and {found.against} cannot be told apart",
    }[tested.verdict]
    return Answer(TONES[tested.verdict], f"{verdict} ({figures}).", ())


def _dots(found: Comparison) -> list[Whisker]:
    from ...stages.report.charts import Whisker

    return [
        Whisker(f"{run}, {row}", figures.mean_ap, figures.mean_ap_interval, learnt=row == ROW)
        for run, of_run in found.runs.items()
        for row, figures in of_run.rows.items()
        if figures.mean_ap is not None
    ]


def _changes(name: str, run: Run, first: Run) -> dict[str, Any]:
    """The queries whose average precision changed most."""
    mine, theirs = run.queries.rows.get(ROW), first.queries.rows.get(ROW)
    if mine is None or theirs is None:
        return {"name": name, "queries": "0", "up": 0, "down": 0, "rows": []}
    before = dict(zip(first.queries.ids, theirs.average_precision, strict=True))
    pairs = []
    for video, label, now in zip(run.queries.ids, run.queries.labels, mine.average_precision, strict=True):
        then = before.get(video)
        if now is not None and then is not None:
            pairs.append((now - then, video, label, then, now))
    pairs.sort(key=lambda pair: (pair[0], pair[1]))
    changed = [pair for pair in pairs if abs(pair[0]) > 1e-9]
    shown = [*changed[::-1][:MOST_QUERIES], *changed[:MOST_QUERIES][::-1]]
    rows = [
        [video, _label(label), f"{100 * then:.1f}", f"{100 * now:.1f}", f"{100 * gain:+.1f}"]
        for gain, video, label, then, now in dict.fromkeys(shown)
    ]
    up = sum(pair[0] > 0 for pair in changed)
    return {"name": name, "queries": f"{len(pairs):,}", "up": up, "down": len(changed) - up, "rows": rows}


def _label(label: str | list[str] | None) -> str:
    return "; ".join(label) if isinstance(label, list) else label or ""
