"""``mofore list`` and ``mofore show``: the runs that there are, and all that is known of one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...data.errors import StoreError
from ...data.wording import counted, number, percent
from ..run_names import forget_name, read_names
from ..run_settings import NOT_SET, brief, text
from ..runs import Listed, find_runs
from ..show.metric_tables import metric_tables
from ..show.summary import has_retrieval, verdict_text
from ..show.table_layout import TableText
from ..workspace import Workspace

ROW = "mofore"


def find(folders: Sequence[Path], *, forget: str | None = None) -> list[Listed]:
    """The runs in these folders, or here; ``forget`` takes a name from its run before.

    Raises:
        UsageError: if one is no folder, or no run has the name.
        StoreError: if the names cannot be read.
    """
    roots = folders or (Path(),)
    if forget is not None:
        holders = [run.workspace for run in find_runs(roots) if run.name == forget]
        workspace = holders[0] if len(holders) == 1 else Workspace.open(roots[0])
        with workspace.alone():
            forget_name(workspace, forget)
    return find_runs(roots)


def list_tables(runs: Sequence[Listed]) -> list[TableText]:
    """A row for each run, the settings that differ from its preset's one below the other; and what is damaged."""
    if not runs:
        return [("no run here: `mofore init VIDEOS` makes a work folder, `mofore list FOLDER` looks elsewhere", [], [])]
    columns = ["run", "R@1", "mAP", "against best trivial", "skill", "measured", "backbone", "preset", "other settings"]
    title = "Runs (R@1 and mAP in %; * is what metrics.json of its folder shows; settings: other than the preset's)"
    lines: list[TableText] = [(f"{_called(run)}: {run.damage}", [], []) for run in runs if run.damage]
    return [(title, columns, [_row(run) for run in runs]), *lines]


def _row(run: Listed) -> list[str]:
    preset, others = run.differs()
    return [
        f"{_called(run)}{' *' if run.shown and run.others else ''}",
        *_figures(run),
        f"{run.when.astimezone():%Y-%m-%d %H:%M}" if run.when else "not run yet",
        run.backbone or NOT_SET,
        preset or NOT_SET,
        "\n".join(f"{name.removeprefix('fit.')}={text(value)}" for name, value in others.items()) or NOT_SET,
    ]


def _called(run: Listed) -> str:
    return run.reference or str(run.workspace.root)


def _figures(run: Listed) -> list[str]:
    """R@1, mAP, the verdict and the skill."""
    found = headline(run)
    return [
        percent(found["R@1"]),
        percent(found["mAP"]),
        verdict_text(run.metrics) if run.metrics and has_retrieval(run.metrics) else NOT_SET,
        number(found["skill"], 2),
    ]


def headline(run: Listed) -> dict[str, float | None]:
    """The figures that a run is told by, of its embedding; None where there is none."""
    metrics = run.metrics
    if metrics is None or ROW not in metrics.retrieval:
        return {"R@1": None, "mAP": None, "skill": None}
    recalls, whole = metrics.retrieval[ROW].recalls, metrics.forecast.skill.whole
    told = has_retrieval(metrics)  # of one class, anything gets 100 %
    return {
        "R@1": recalls.r_at_1 if told else None,
        "mAP": recalls.mean_ap if told else None,
        "skill": whole.skill if whole else None,
    }


def list_as_json(runs: Sequence[Listed]) -> list[dict[str, Any]]:
    """``mofore list --json``."""
    return [_as_json(run) for run in runs]


def _as_json(run: Listed) -> dict[str, Any]:
    preset, others = run.differs()
    return {
        "run": _called(run),
        "name": run.name or None,
        "folder": str(run.workspace.root),
        "key": run.key or None,
        "shown": run.shown,
        "backbone": run.backbone or None,
        "preset": preset or None,
        "settings": others,
        "measured": run.when.isoformat(timespec="seconds") if run.when else None,
        "figures": headline(run),
        "damage": run.damage or None,
    }


def show_lines(run: Listed) -> list[str]:
    """What a run is, in lines of name and value."""
    metrics, (preset, others) = run.metrics, run.differs()
    where = run.workspace.root
    lines = [("run", f"{_called(run)}{' (what metrics.json shows)' if run.shown else ''}")]
    lines += [("measured", f"{run.when.astimezone():%Y-%m-%d %H:%M}" if run.when else NOT_SET)]
    lines += [("features", f"{run.backbone or NOT_SET}, {_store(run)}")]
    lines += [("fit", f"preset {preset or NOT_SET}{', ' if others else ''}{brief(others)}")]
    if metrics is not None:
        protocol = metrics.protocol
        queries = counted(protocol.queries, "query", "queries")
        lines += [("split", f"{protocol.split}: {queries}, {protocol.gallery:,} in the gallery")]
        lines += [("files", ", ".join(map(str, (where / "fit" / metrics.fit, where / "evaluate" / run.key))))]
    if run.damage:
        lines += [("damage", run.damage)]
    return [f"{name:<10}{value}" for name, value in [*lines, ("again", again(run))]]


def _store(run: Listed) -> str:
    metrics = run.metrics
    return f"features/{metrics.provenance['store']}" if metrics and "store" in metrics.provenance else "store unknown"


def again(run: Listed) -> str:
    """The command that makes the run again, as long as ``mofore.toml`` is what it was."""
    named = _recorded_overrides(run)
    if named is None:  # a run without a name: what differs from its preset
        preset, others = run.differs()
        named = (*((f"fit.preset={preset}",) if preset else ()), *(f"{key}={text(v)}" for key, v in others.items()))
    sets = " ".join(f"--set {shlex.quote(each)}" for each in named)
    name = f" --name {run.name}" if run.name else ""
    return f"mofore run -w {shlex.quote(str(run.workspace.root))}{name} {sets}".rstrip()


def _recorded_overrides(run: Listed) -> tuple[str, ...] | None:
    try:
        known = read_names(run.workspace).get(run.name)
    except StoreError:
        return None
    return None if known is None else known.overrides


def show_tables(run: Listed) -> list[TableText]:
    """All tables of a run that was measured."""
    return [] if run.metrics is None else metric_tables(run.metrics)


def show_as_json(run: Listed) -> dict[str, Any]:
    """``mofore show --json``: what it is, all settings that are known, and ``metrics.json``."""
    metrics = run.metrics.as_json() if run.metrics else None
    return {**_as_json(run), "all_settings": run.settings, "again": again(run), "metrics": metrics}
