"""Embedding, indexing and measuring a set of UCF101's size, and exact search beside bare FAISS.

13,320 made-up videos (101 classes x 25 recordings) of 100 to 272 frames of width 512, 2.5 GB in ten shards; the preset
`default` after a few steps, 12 views, all spaces, every metric, five splits. What a part takes is the time of its
function, without that of the other parts that it calls.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mofore.cache.ledger import StoredVideo
from mofore.cache.shard import VideoFeatures
from mofore.cache.store import FeatureStore
from mofore.data.fit_settings import FitSettings
from mofore.data.index_settings import IndexSettings
from mofore.data.presets import PRESETS
from mofore.data.progress import Silent
from mofore.data.settings import DataSettings, EvaluateSettings
from mofore.data.splits import make_split
from mofore.data.types import FileState, Split, Video
from mofore.stages.evaluate import report, splits, verdicts
from mofore.stages.evaluate import stage as evaluate
from mofore.stages.fit import stage as fit
from mofore.stages.frames.loading import load_frames
from mofore.stages.index import stage as index
from mofore.stages.vectors.vector_index import VectorIndex

CLASSES, GROUPS, VIDEOS, WIDTH, SHARDS = 101, 25, 13_320, 512, 10
SEARCH_TURNS = 5
PARTS = {
    index: ("build", "measure"),
    evaluate: ("embed_videos", "mean_pool", "evaluate"),
    report: (
        "sd_pool",
        "rows_to_compare",
        "rank",
        "probe",
        "few_shot",
        "clustering",
        "intervals",
        "health",
        "group_probe",
        "order_sensitivity",
        "fitted_scalars",
        "forecast_metrics",
        "neighbour_similarity",
    ),
    splits: ("neighbour_row", "rank"),
    verdicts: ("paired",),
}


def videos() -> tuple[Video, ...]:
    """Names as UCF101 has them."""
    found = []
    for number in range(VIDEOS):
        label, group = f"c{number % CLASSES:03d}", f"g{number // CLASSES % GROUPS + 1:02d}"
        found.append(Video(f"{label}/v_{label}_{group}_{number:05d}.avi", label, group, 1, 1))
    return tuple(sorted(found, key=lambda video: video.id))


def make_store(folder: Path, named: tuple[Video, ...]) -> tuple[FeatureStore, list[tuple[str, int, StoredVideo]]]:
    """Features with something of the class, of the recording, of the video and of the moment in them."""
    rng, store = np.random.default_rng(0), FeatureStore(folder)
    classes, recordings = rng.standard_normal((CLASSES, WIDTH)), rng.standard_normal((CLASSES * GROUPS, WIDTH))
    moments = rng.standard_normal((4096, WIDTH)).astype(np.float32)
    wanted = []
    for part in np.array_split(np.arange(len(named)), SHARDS):
        made = []
        for number in part.tolist():
            video, frames = named[number], int(rng.integers(100, 273))
            label = int(video.label[1:]) if video.label else 0
            place = classes[label] + 1.2 * recordings[label * GROUPS + int(str(video.group)[1:]) - 1]
            begin = int(rng.integers(0, 4096 - frames))
            drift = np.cumsum(moments[begin : begin + frames], axis=0) / 20
            features = (place + rng.standard_normal(WIDTH) + drift).astype(np.float16)
            made.append(VideoFeatures(video.id, FileState(1, 1, str(number)), features, np.arange(frames) / 25))
        record = store.publish(made, {})
        wanted += [(record.name, row, stored) for row, stored in enumerate(record.videos)]
    return store, sorted(wanted, key=lambda each: each[2].id)


@contextmanager
def timed(spent: dict[str, float]) -> Iterator[None]:
    """Add up what each part takes, by its function's name."""
    running: list[list[float]] = []

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            inner = [0.0]
            running.append(inner)
            begin = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                seconds = time.perf_counter() - begin
                running.pop()
                spent[name] += seconds - inner[0]
                if running:
                    running[-1][0] += seconds

        return call

    before = {(module, name): getattr(module, name) for module, names in PARTS.items() for name in names}
    for (module, name), function in before.items():
        setattr(module, name, watched(name, function))
    try:
        yield
    finally:
        for (module, name), function in before.items():
            setattr(module, name, function)


def bytes_read() -> int:
    """By this process, from the page cache or from the disk."""
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])


def measure(folder: Path) -> None:
    """Print what the whole stage takes, and its parts."""
    named = videos()
    store, wanted = make_store(folder / "store", named)
    settings = FitSettings(**{**PRESETS["default"], "steps": 20, "passes": 0, "validations": 0, "tensorboard": "off"})
    split = make_split(named, DataSettings(split="groups", train_fraction=0.72), None)
    others = _other_splits(named)
    read, begin = bytes_read(), time.perf_counter()
    table = load_frames(store, wanted, settings, progress=Silent())
    load_s, load_bytes = time.perf_counter() - begin, bytes_read() - read
    some = [each for each in wanted if each[2].id in split.train][::10]  # enough to fit on
    fit.run(settings, load_frames(store, some, settings, progress=Silent()), folder / "fit" / "0a", progress=Silent())
    of = {"store": "made-up", "fit": "0a"}
    asked = evaluate.EvaluateInputs(named, table, split, others, folder / "fit" / "0a", IndexSettings(), of)
    spent: dict[str, float] = defaultdict(float)
    read, begin = bytes_read(), time.perf_counter()
    with timed(spent):
        metrics, known = evaluate.run(EvaluateSettings(), asked, folder / "evaluate", progress=Silent())
        inputs = index.IndexInputs(
            videos=named,
            digests=tuple(video.digest for _, _, video in wanted),
            width=WIDTH,
            frames=lambda: table,
            split=split,
            fit_folder=folder / "fit" / "0a",
            provenance=of,
            known=known,
        )
        index.run(IndexSettings(), inputs, folder / "index", progress=Silent())
    seconds = time.perf_counter() - begin
    print(
        f"{VIDEOS:,} videos, {len(table.features_ND):,} frames of {WIDTH}: loading the store {load_s:.1f} s "
        f"({load_bytes / 2**30:.2f} GiB read), then embedding, indexing and all metrics {seconds:.1f} s "
        f"({(bytes_read() - read) / 2**20:.0f} MiB read); R@1 {metrics.retrieval['mofore'].recalls.r_at_1:.1f}\n"
    )
    print("| part | s |\n|---|---|")
    for name, part_s in sorted(spent.items(), key=lambda item: -item[1]):
        if part_s >= 0.05:
            print(f"| {name} | {part_s:.1f} |")
    print(f"| rest | {seconds - sum(spent.values()):.1f} |")
    again = replace(inputs, known={}, previous=folder / "index")
    begin = time.perf_counter()
    index.run(IndexSettings(kind="hnsw"), again, folder / "hnsw", progress=Silent())
    another_s = time.perf_counter() - begin
    print(f"\nAnother kind of index (hnsw) afterwards: {another_s:.1f} s, {another_s / seconds:.2f} of all of it")
    _search(VectorIndex.load(folder / "index" / "mofore.video"), split.test)


def main() -> None:
    """Print the tables."""
    print("\n## Embedding, indexing and metrics\n")
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder))


def _other_splits(named: tuple[Video, ...]) -> tuple[Split, ...]:
    """Four more, as UCF101 has them: two official ones, another by group, and the random one."""
    found = [
        make_split(named, DataSettings(split="groups", train_fraction=0.72, split_seed=n), None) for n in (1, 2, 3)
    ]
    renamed = [
        replace(split, name=name) for split, name in zip(found, ("official2", "official3", "others"), strict=True)
    ]
    return (*renamed, make_split(named, DataSettings(split="random"), None))


def _search(index_: VectorIndex, test: frozenset[str]) -> None:
    """All queries by exact search, the index's and FAISS's own in turn."""
    rows = np.array([row for row, video in enumerate(index_.items.videos) if video["id"] in test])
    queries_QE = index_.vectors(rows)
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(SEARCH_TURNS):
        for spent, search in ((ours, index_.search), (bare, index_.faiss_index.search)):
            begin = time.perf_counter()
            search(queries_QE, 50)
            spent.append(time.perf_counter() - begin)
    ratio = min(ours) / min(bare)
    print(
        f"\n{len(rows):,} queries, 50 nearest of {len(index_.items):,}: {min(ours):.2f} s, {ratio:.2f} times bare FAISS"
    )


if __name__ == "__main__":
    main()
