"""Training on a store that stays in its files, beside the same store in memory.

2,000 made-up videos of 150 frames of width 512 (293 MiB) in five shards. The ways take turns of some seconds in one
process, all over the same steps, so their ratios hold although the machine's speed wanders; a ratio is the median over
the turns. ``cold``: all pages of the shards are dropped from the system's page cache every 20 ms meanwhile, which is
worse than a memory that holds only a part of the store.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch

from mofore.cache.ledger import StoredVideo
from mofore.cache.shard import VideoFeatures
from mofore.cache.store import FeatureStore, FrameTable
from mofore.data.fit_settings import FitSettings
from mofore.data.types import FileState
from mofore.stages.distributed.process_group import ProcessGroup
from mofore.stages.fit.training import Training, matrix_products
from mofore.stages.fit.validation import Validator
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.frames.sampler import make_sampler
from mofore.stages.model.forecaster import make_forecaster

VIDEOS, FRAMES, WIDTH, SHARDS = 2000, 150, 512, 5
TURNS, TURN_SECONDS = 5, 3.0
DROP_SECONDS = 0.02
WARM_UP = 8  # steps before the first turn


@dataclass
class Way:
    """One way to take the steps; how fast each turn was, and the processor's seconds of all threads for a step."""

    training: Training
    cold: bool
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)


def make_store(folder: Path) -> tuple[FeatureStore, list[tuple[str, int, StoredVideo]]]:
    """A store of random features, and where its videos are; the order of the videos is not that of the files."""
    store, rng = FeatureStore(folder), np.random.default_rng(0)
    wanted = []
    for shard in range(SHARDS):
        videos = [
            VideoFeatures(
                f"v{number:05d}",
                FileState(1, 1, str(number)),
                rng.standard_normal((FRAMES, WIDTH), np.float32).astype(np.float16),
                np.arange(FRAMES) / 25,
            )
            for number in range(shard, VIDEOS, SHARDS)
        ]
        record = store.publish(videos, {})
        wanted += [(record.name, row, video) for row, video in enumerate(record.videos)]
    return store, sorted(wanted, key=lambda each: each[2].id)


def make_training(settings: FitSettings, table: FrameTable, folder: Path) -> Training:
    """A run that has taken no step yet."""
    memory = FrameTensors.of(table, torch.device("cpu"))
    usable_V = memory.usable_V(settings.gap_least, settings.unit)
    validator = Validator(settings, memory, usable_V[:0], usable_V, table.ids)
    sampler = make_sampler(settings, memory, usable_V)
    return Training(settings, sampler, make_forecaster(memory.width, settings), validator, folder, ProcessGroup())


@contextmanager
def dropped_pages(paths: Sequence[Path]) -> Iterator[None]:
    """Keep the files out of the page cache."""
    over = threading.Event()

    def drop() -> None:
        while not over.wait(DROP_SECONDS):
            for path in paths:
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    dropping = threading.Thread(target=drop)
    dropping.start()
    try:
        yield
    finally:
        over.set()
        dropping.join()


def take_turn(way: Way, steps: int, paths: Sequence[Path]) -> None:
    """Some steps, and how many of them a second."""
    training = way.training
    precise = matrix_products(training.settings.precision, torch.device("cpu"))
    with torch.no_grad(), precise, dropped_pages(paths) if way.cold else nullcontext():
        begin, spent = time.perf_counter(), time.process_time()
        for batch in training.sampler.batches(training.step, training.step + steps):
            training.take_step(batch)
        way.rates.append(steps / (time.perf_counter() - begin))
        way.costs.append((time.process_time() - spent) / steps)


def compare(settings: FitSettings, tables: dict[str, FrameTable], folder: Path, paths: Sequence[Path]) -> str:
    """A row of the table."""
    ways = {
        "resident": Way(make_training(settings, tables["resident"], folder), cold=False),
        "warm": Way(make_training(settings, tables["files"], folder), cold=False),
        "cold": Way(make_training(settings, tables["files"], folder), cold=True),
    }
    for way in ways.values():
        take_turn(way, WARM_UP, paths)
    steps = max(WARM_UP, int(ways["resident"].rates[0] * TURN_SECONDS))
    for _ in range(TURNS):
        for way in ways.values():
            take_turn(way, steps, paths)
    resident = ways["resident"]
    same = all(torch.equal(way.training.flat.trained, resident.training.flat.trained) for way in ways.values())
    rates = " | ".join(f"{median(way.rates[1:]):,.0f}" for way in ways.values())
    ratios = [_ratio(ways[name].rates, resident.rates) for name in ("warm", "cold")]
    ratios.append(_ratio(ways["warm"].costs, resident.costs))
    figures = f"{rates} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} | {'yes' if same else 'NO'}"
    return f"| {settings.aggregator} | {settings.batch_size} | {figures} |"


def main() -> None:
    """Print the table."""
    print(
        "| aggregator | batch | resident steps/s | warm | cold | warm / resident | cold / resident "
        "| CPU time, warm / resident | same weights |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        store, wanted = make_store(Path(name))
        tables = {"resident": store.load(wanted), "files": store.attach(wanted)}
        for aggregator in ("mean", "conv"):
            for batch_size in (8, 256):
                settings = FitSettings(steps=100_000, batch_size=batch_size, aggregator=aggregator, validations=0)
                print(compare(settings, tables, Path(name), store.shard_files()))


def _ratio(mine: list[float], theirs: list[float]) -> float:
    """Median over the turns after the first, which only warms up."""
    return median(one / other for one, other in zip(mine[1:], theirs[1:], strict=True))


if __name__ == "__main__":
    main()
