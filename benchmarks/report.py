"""Time and size of a report of many videos: ``python -m benchmarks.report RUN CLIPS [VIDEOS]``.

RUN is a finished work folder, whose metrics and curves are shown; CLIPS a folder of real clips, whose files stand for
as many videos as are wanted (13,320: UCF101's number). Embeddings are drawn: 101 classes in 25 recordings, and noise.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from mofore.cache.fingerprint import KEY_LENGTH
from mofore.cache.ledger import Ledger
from mofore.data.arrays import Float32
from mofore.data.index_settings import IndexSettings
from mofore.data.metrics import Metrics, Queries, QueryFigures
from mofore.data.progress import Silent
from mofore.data.types import Split, Video
from mofore.stages.model.spaces import center_of, video_items
from mofore.stages.report import stage
from mofore.stages.report.inputs import Extraction, ReportInputs
from mofore.stages.report.thumbnails import Source
from mofore.stages.vectors.build import build
from mofore.stages.vectors.normalize import center, l2_normalize
from mofore.stages.vectors.vector_index import About, VectorIndex

WIDTHS = {"mofore": 128, "frames": 384}


def main() -> None:
    """Make the report twice, and once more without pictures."""
    run, clips = Path(sys.argv[1]), Path(sys.argv[2])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 13_320
    rng = np.random.default_rng(0)
    sources = drawn_sources(clips, count)
    split = Split("drawn", *(frozenset(s.video.id for n, s in enumerate(sources) if (n % 7 < 2) == t) for t in (0, 1)))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        spaces = {name: drawn_index(root / name, sources, split, width, rng) for name, width in WIDTHS.items()}
        inputs = drawn_inputs(run, sources, split, spaces)
        for what, given in (
            ("first", inputs),
            ("again, pictures taken over", replace(inputs, previous=root / "first")),
            ("without pictures", replace(inputs, thumbnails=False)),
        ):
            begun = time.perf_counter()
            made = stage.run(given, root / what.partition(",")[0], progress=Silent())
            seconds = time.perf_counter() - begun
            size, shown = made.bytes / 1e6, made.thumbnails.shown
            print(f"{what}: {count:,} videos, {seconds:.1f} s, {size:.2f} MB, {shown:,} pictures", flush=True)


def drawn_sources(clips: Path, count: int) -> list[Source]:
    """Videos of 101 classes and 25 recordings, each with one of the clips for its file."""
    paths = sorted(path for path in clips.rglob("*") if path.suffix in (".avi", ".mp4"))
    found = []
    for number, path in enumerate(islice(cycle(paths), count)):
        label, group = f"Class{number % 101:03d}", f"g{number // 101 % 25 + 1:02d}"
        name = f"{label}/v_{label}_{group}_c{number // 2525 + 1:02d}_{path.stem}.avi"
        found.append(Source(Video(name, label, group, path.stat().st_size, number), path, 3.0))
    return found


def drawn_index(folder: Path, sources: list[Source], split: Split, width: int, rng: np.random.Generator) -> Path:
    """An exact index of drawn embeddings."""
    class_CE, noise_VE = rng.normal(size=(101, width)), rng.normal(size=(len(sources), width))
    class_V = np.array([int((source.video.label or "Class000")[5:]) for source in sources])
    unit_VE: Float32 = l2_normalize((class_CE[class_V] + 1.5 * noise_VE).astype(np.float32))
    items, settings = video_items(tuple(source.video for source in sources), split), IndexSettings()
    mean_E = center_of(unit_VE, items, wanted=True)
    built = build(center(unit_VE, mean_E), settings, place="cpu")
    about = About(folder.name, "video", "", "flat", built.factory, built.search, built.why, {})
    VectorIndex(built.index, items, mean_E, about, embeddings=unit_VE).save(folder, unit_VE)
    return folder


def drawn_inputs(run: Path, sources: list[Source], split: Split, spaces: dict[str, Path]) -> ReportInputs:
    """The figures of a run, said of other videos."""
    ledger = Ledger.open(run / "ledger.jsonl")
    keys = {name: record.fingerprint[:KEY_LENGTH] for name in ("fit", "evaluate") if (record := ledger.latest(name))}
    metrics = Metrics.from_json(json.loads((run / "evaluate" / keys["evaluate"] / "metrics.json").read_text()))
    rng, ids = np.random.default_rng(1), tuple(s.video.id for s in sources if s.video.id in split.test)
    precision = tuple(rng.random(len(ids)).tolist())
    hits = tuple(float(value > 0.5) for value in precision)
    figures = QueryFigures(r_at_1=hits, first_hit=hits, average_precision=precision)
    none = (None,) * len(ids)
    frames_V = rng.integers(30, 900, len(sources))
    return ReportInputs(
        name="drawn",
        metrics=metrics,
        queries=Queries(split="drawn", ids=ids, labels=none, groups=none, rows={"mofore": figures}),
        sources=tuple(sources),
        split=split,
        spaces=spaces,
        fit_folder=run / "fit" / keys["fit"],
        extraction=Extraction(frames_V, frames_V / 25, 100.0, (), imported=False),
        duplicates=None,
        sweeps=(),
        tables=(),
        reasons=dict.fromkeys(("retrieval", "forecast", "thumbnails"), ""),
        facts=(),
        commands=(),
        settings="",
    )


if __name__ == "__main__":
    main()
