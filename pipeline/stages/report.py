"""Report: all that a run has to show, as a folder that opens in a browser from disk."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ...cache.atomic import write_bytes
from ...cache.fingerprint import KEY_LENGTH, digest
from ...cache.ledger import StageRecord
from ...data.metrics import Metrics, Queries
from ...data.wording import size_text
from ...stages import versions
from ..inputs import INPUTS
from ..reasons import PageElsewhere, Reason
from ..snapshot import Snapshot, described_videos
from ..stage import Asked, Made, Plan, Stage, Work, all_videos
from ..workspace import Workspace

if TYPE_CHECKING:
    from ...stages.report.inputs import Duplicates, Extraction, Sweep
    from ...stages.report.thumbnails import Source

NAME, PAGE = "report", "index.html"
SPACES = ("mofore", "frames")  # that are shown, where they are indexed
MOST_CLIPS = 50_000  # that near-duplicates are looked for among: it takes their square
TSNE_LIBRARY = "openTSNE"
MOST_TSNE = 5_000  # videos that it is drawn of without being asked for
LEAD = """\
<!doctype html><meta charset="utf-8"><title>mofore report</title>
<meta http-equiv="refresh" content="0; url={key}/index.html"><p><a href="{key}/index.html">The report</a></p>
"""


def run_report(work: Work) -> Made:
    """Make the page; or, if that is done, let ``report/index.html`` lead to it again."""
    snapshot, shown = work.snapshot, work.folder / PAGE
    if work.chosen.action == "partial":
        return Made(_told(snapshot.workspace, shown), None)
    from ...stages.report import stage as report
    from ...stages.report.inputs import ReportInputs
    from ..provenance import commands, facts, settings_text
    from ..show.metric_reasons import why_without_classes, why_without_forecast, why_without_retrieval
    from ..show.metric_tables import metric_tables

    workspace, evaluated = snapshot.workspace, snapshot.workspace.stage("evaluate", work.plan["evaluate"].key)
    metrics = Metrics.from_json(json.loads((evaluated / "metrics.json").read_text()))
    latest, extraction = snapshot.ledger.latest(NAME), _extraction(snapshot)
    inputs = ReportInputs(
        name=workspace.root.resolve().name,
        metrics=metrics,
        queries=Queries.from_json(json.loads((evaluated / "queries.json").read_text())),
        sources=_sources(snapshot, extraction.duration_V.tolist()),
        split=snapshot.split,
        spaces=_spaces(snapshot, work.plan),
        fit_folder=workspace.stage("fit", work.plan["fit"].key),
        extraction=extraction,
        duplicates=_duplicates(snapshot, work.plan),
        sweeps=_sweeps(workspace),
        tables=tuple(metric_tables(metrics)),
        reasons={
            "retrieval": why_without_classes(metrics) or why_without_retrieval(metrics),
            "forecast": "" if metrics.forecast.skill.gaps else why_without_forecast(metrics),
            "thumbnails": _why_without_pictures(snapshot),
        },
        facts=facts(snapshot, metrics),
        commands=commands(snapshot),
        settings=settings_text(snapshot.config),
        previous=workspace.stage(NAME, latest.fingerprint[:KEY_LENGTH]) if latest else None,
        image_fps=snapshot.config.extract.image_fps,
        tsne=_draws_tsne(snapshot),
        thumbnails=snapshot.config.report.thumbnails and not snapshot.catalog.imported,
    )
    made = report.run(inputs, work.folder, progress=work.progress)
    return Made(f"{_told(workspace, shown)}, {size_text(made.bytes)}", made.outputs)


def plan_page(snapshot: Snapshot, plan: Plan) -> Plan:
    """The plan of the page, if one was made before: who wants none is not told of it."""
    made = snapshot.ledger.latest(NAME) is not None
    return {NAME: REPORT.plan(REPORT, snapshot, plan, Asked())} if made else {}


def page_told(workspace: Workspace, key: str) -> str:
    """Where the page of a finished report is, as the user can open it."""
    return _told(workspace, workspace.stage(NAME, key) / PAGE)


def _told(workspace: Workspace, page: Path) -> str:
    return os.path.relpath(page if page.is_absolute() else workspace.root / workspace.relative(page))


def _sources(snapshot: Snapshot, duration_V: list[float]) -> tuple[Source, ...]:
    """The videos with features, each with its file (None where that is not there now) and the second of its middle."""
    from ...stages.report.thumbnails import Source

    catalog, found = snapshot.catalog, []
    there = not catalog.imported and not catalog.unseen
    for video, duration_s in zip(snapshot.videos(snapshot.stored_ids()), duration_V, strict=True):
        path = catalog.path(video) if there else None
        start_s = video.span.start_s if video.span else 0.0
        found.append(Source(video, path, start_s + duration_s / 2))
    return tuple(found)


def _spaces(snapshot: Snapshot, plan: Plan) -> dict[str, Path]:
    """Folders of the indexes of whole videos that are shown."""
    from ...stages.vectors.vector_index import folder_name

    names = snapshot.config.index.space_names()
    shown = [name for name in SPACES if name in names] or list(names[:1])
    index = snapshot.workspace.stage("index", plan["index"].key)
    level = "video" if "video" in snapshot.config.index.level_names() else ""
    return {name: index / folder_name(name, "video") for name in shown} if level else {}


def _extraction(snapshot: Snapshot) -> Extraction:
    """Lengths of the stored videos, how long the latest extraction took, and what failed."""
    import numpy as np

    from ...stages.report.inputs import Extraction

    table = snapshot.open_store().attach([snapshot.stored[video_id] for video_id in snapshot.stored_ids()])
    frames_V = np.diff(table.offsets)
    first_V, last_V = table.times_s_N[table.offsets[:-1]], table.times_s_N[table.offsets[1:] - 1]
    latest = snapshot.ledger.find("extract", snapshot.store_key)
    return Extraction(
        frames_V=frames_V,
        duration_V=last_V - first_V,
        seconds=latest.seconds if latest else None,
        failures=tuple((failure.video_id, failure.reason) for _, failure in sorted(snapshot.failed.items())),
        imported=bool(snapshot.catalog.imported),
    )


def _duplicates(snapshot: Snapshot, plan: Plan) -> Duplicates | None:
    """Near-duplicates across sides, if the index has clips of the raw features and they are not too many."""
    from dataclasses import asdict

    from ...stages.report.inputs import Duplicates
    from ...stages.vectors.vector_index import VectorIndex, folder_name
    from ..commands.duplicates import find

    folder = snapshot.workspace.stage("index", plan["index"].key) / folder_name("frames", "clip")
    if not folder.is_dir() or len(VectorIndex.load(folder).items) > MOST_CLIPS:
        return None
    found = find(snapshot)
    across = tuple(asdict(each) for each in found.found if each.across)
    return Duplicates(across, len(found.found), found.queries, found.threshold)


def _sweeps(workspace: Workspace) -> tuple[Sweep, ...]:
    from ...stages.report.inputs import Sweep

    paths = sorted((workspace.root / "sweep").glob("*/sweep.json"))
    return tuple(Sweep(path.parent.name, json.loads(path.read_text())) for path in paths)


def _why_without_pictures(snapshot: Snapshot) -> str:
    if snapshot.catalog.imported:
        return "These features were imported, so there are no videos to take pictures of."
    if not snapshot.config.report.thumbnails:
        return "Pictures are switched off (report.thumbnails)."
    if snapshot.catalog.unseen:
        return f"{snapshot.catalog.unseen} is not there, so pictures are those of an earlier report, if it had any."
    return ""


def has_tsne() -> bool:
    """Whether the library of t-SNE is installed."""
    return find_spec(TSNE_LIBRARY) is not None


def _draws_tsne(snapshot: Snapshot) -> bool:
    wish = snapshot.config.report.map
    few = len(snapshot.stored) + len(snapshot.todo) <= MOST_TSNE
    return wish == "tsne" or (wish == "auto" and has_tsne() and few)


def _config(snapshot: Snapshot) -> dict[str, object]:
    return {"thumbnails": snapshot.config.report.thumbnails, "tsne": _draws_tsne(snapshot)}


def _inputs(snapshot: Snapshot, plan: Plan) -> str:
    sweeps = [path.read_bytes().decode() for path in sorted(snapshot.workspace.root.glob("sweep/*/sweep.json"))]
    return digest(
        {
            "evaluate": plan["evaluate"].fingerprint,
            "index": plan["index"].fingerprint,
            "videos": described_videos(snapshot),
            "seen": not snapshot.catalog.unseen,
            "failed": sorted((failure.video_id, failure.reason) for failure in snapshot.failed.values()),
            "sweeps": sweeps,
        }
    )


def _summary(snapshot: Snapshot, record: StageRecord) -> str:
    return page_told(snapshot.workspace, record.fingerprint[:KEY_LENGTH])


def _elsewhere(snapshot: Snapshot, record: StageRecord) -> Reason | None:
    """``report/index.html`` may still lead to another report."""
    lead = snapshot.workspace.root / NAME / PAGE
    key = record.fingerprint[:KEY_LENGTH]
    same = lead.exists() and lead.read_text(encoding="utf-8", errors="replace") == LEAD.format(key=key)
    return None if same else PageElsewhere(f"{NAME}/{key}/{PAGE}")


def _lead(work: Work) -> None:
    write_bytes(work.snapshot.workspace.root / NAME / PAGE, LEAD.format(key=work.chosen.key).encode())


REPORT = Stage(
    name=NAME,
    version=versions.REPORT,
    what="All of it as a page that opens from disk -> report/index.html.",
    needs=("extract", "fit", "evaluate", "index"),
    config=_config,
    inputs=_inputs,
    run=run_report,
    files=(PAGE, "data/*.js", "thumbs/*.webp", "thumbs/sheets.json", INPUTS),
    unit="videos",
    amount=all_videos,
    summary=_summary,
    described=True,
    missing=_elsewhere,
    finish=_lead,
)
