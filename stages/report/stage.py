"""Report: everything that a run has to show, as a folder with an ``index.html``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from ...cache.atomic import write_bytes
from ...data.metrics import Metrics
from ...data.progress import Progress, under_way
from . import sections
from .answer import answer
from .inputs import ReportInputs
from .maps import Map, pca_map, tsne_map
from .neighbours import SpaceVectors, examples, read_space
from .page_data import maps_json, script, spaces_json, videos_json
from .thumbnails import TABLE, Thumbnails, make_thumbnails

PAGE = "index.html"
VIDEOS, NEIGHBOURS = "data/videos.js", "data/neighbours.js"
OUTPUTS = (PAGE, VIDEOS, NEIGHBOURS)
FILES = (*OUTPUTS, "thumbs/*.webp", TABLE)
SOURCES = Path(__file__).parent / "page"


@dataclass(frozen=True, slots=True)
class Report:
    """What was made: names of the files, relative to the folder, their bytes in all, and the pictures."""

    outputs: tuple[str, ...]
    bytes: int
    thumbnails: Thumbnails


def run(inputs: ReportInputs, folder: Path, *, progress: Progress) -> Report:
    """Make the report.

    Raises:
        StoreError: if an index cannot be read.
    """
    ids = [source.video.id for source in inputs.sources]
    with under_way(progress, "report", len(ids), "videos"):
        thumbnails = _thumbnails(inputs, folder, progress)
        spaces = [read_space(name, path, ids) for name, path in inputs.spaces.items()]
        progress.pulse()
        maps = _maps(inputs, spaces)
        progress.pulse()
        place = {video_id: row for row, video_id in enumerate(ids)}
        mine = inputs.queries.rows.get("mofore")
        rows = [place[video_id] for video_id in inputs.queries.ids]
        shown = examples(mine, rows, [source.video.label for source in inputs.sources], _first(spaces))
        hits = dict(zip(inputs.queries.ids, mine.hits(), strict=True)) if mine else {}
        videos = [source.video for source in inputs.sources]
        data = videos_json(videos, inputs.split, hits, thumbnails, shown)
        write_bytes(folder / VIDEOS, script("videos", data))
        write_bytes(folder / NEIGHBOURS, script("spaces", spaces_json(spaces)) + script("maps", maps_json(maps)))
        write_page(folder / PAGE, "report.html", _context(inputs, spaces, maps, thumbnails))
        _remove_others(folder, thumbnails)
    outputs = (*OUTPUTS, *dict.fromkeys(thumbnails.files), *([TABLE] if (folder / TABLE).exists() else []))
    size = sum((folder / name).stat().st_size for name in outputs)
    return Report(outputs, size, thumbnails)


def write_page(path: Path, template: str, context: dict[str, Any]) -> None:
    """Fill in a template: every text in it is escaped, whatever a file is called."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(SOURCES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    parts = {name: Markup((SOURCES / f"report.{name}").read_text(encoding="utf-8")) for name in ("css", "js")}
    text = environment.get_template(template).render(**context, **parts)
    write_bytes(path, text.encode("utf-8", "backslashreplace"))  # names of files may be no Unicode


def _thumbnails(inputs: ReportInputs, folder: Path, progress: Progress) -> Thumbnails:
    if not inputs.thumbnails:
        none = np.full(len(inputs.sources), -1, np.int64)
        return Thumbnails((160, 120), (), none, none)
    return make_thumbnails(inputs.sources, folder, inputs.previous, image_fps=inputs.image_fps, progress=progress)


def _maps(inputs: ReportInputs, spaces: list[SpaceVectors]) -> list[Map]:
    maps = [pca_map(space.name, space.centered_VE) for space in spaces]
    if inputs.tsne and len(inputs.sources) > 3:
        maps += [tsne_map(space.name, space.centered_VE) for space in spaces]
    return maps


def _context(
    inputs: ReportInputs, spaces: list[SpaceVectors], maps: list[Map], thumbnails: Thumbnails
) -> dict[str, Any]:
    metrics = inputs.metrics
    raw = next((space for space in spaces if space.name == "frames"), None)
    return {
        "name": inputs.name,
        "answer": answer(metrics),
        "summary": _summary(inputs, metrics),
        "headline": sections.headline(metrics),
        "similarity": sections.similarity(inputs, spaces),
        "classes": sections.classes(inputs, _first(spaces)),
        "forecast": sections.forecast(metrics),
        "training": sections.training(inputs.fit_folder),
        "extraction": sections.extraction(inputs.extraction),
        "duplicates": sections.duplicates(inputs, raw),
        "sweeps": [sections.sweep(found) for found in inputs.sweeps],
        "tables": inputs.tables,
        "reasons": inputs.reasons,
        "facts": inputs.facts,
        "commands": inputs.commands,
        "settings": inputs.settings,
        "maps": maps,
        "spaces": [space.name for space in spaces],
        "thumbnails": thumbnails,
        "videos": len(inputs.sources),
    }


def _first(spaces: list[SpaceVectors]) -> SpaceVectors | None:
    return spaces[0] if spaces else None


def _summary(inputs: ReportInputs, metrics: Metrics) -> list[tuple[str, str]]:
    protocol = metrics.protocol
    backbone = dict(inputs.facts).get("backbone", "")
    return [
        ("videos", f"{len(inputs.sources):,}"),
        ("classes", f"{protocol.classes:,}"),
        ("queries", f"{protocol.queries:,}"),
        ("gallery", f"{protocol.gallery:,}"),
        ("split", protocol.split),
        ("backbone", backbone),
    ]


def _remove_others(folder: Path, thumbnails: Thumbnails) -> None:
    """Sheets that an earlier try left in the same folder."""
    for path in (folder / "thumbs").glob("*.webp"):
        if f"thumbs/{path.name}" not in thumbnails.files:
            path.unlink()
