"""What a second process adds to `mofore index`: clips are embedded, and the index filled in parts, by one and by two.

Made-up videos of 100 to 272 frames of width 512 (:mod:`.evaluation`), left in their files; a GRU after a few steps
embeds clips of 16 frames, of which one begins at every other frame. A process has one thread, as torchrun's have. Both
ways in turn; that the second process starts is part of its way. Embeddings and lists are held against each other.

    python -m benchmarks.index_sharing [--videos 1500] [--turns 3]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from mofore.cache.store import FrameTable
from mofore.data.fit_settings import FitSettings
from mofore.data.index_settings import IndexSettings
from mofore.data.progress import Silent
from mofore.data.settings import DataSettings
from mofore.data.splits import make_split
from mofore.data.types import Video
from mofore.stages.distributed.launch import Alone, Spawned, Team
from mofore.stages.fit import stage as fit
from mofore.stages.index import stage as index

from .evaluation import WIDTH, make_store, videos
from .shared_machine import spread

FIT = FitSettings(steps=5, aggregator="gru", clip_length=16, precision="fp32", validations=0, tensorboard="off")
INDEX = IndexSettings(
    spaces="mofore", levels="clip", clip_hop=0.125, kind="IVF256,Flat", part_mb=20, device="cpu", views=1
)
TEAMS: dict[str, Team] = {"one process": Alone(), "two processes": Spawned(2, torch.device("cpu"))}


def measure(videos_wanted: int, turns: int, folder: Path) -> None:
    """Print the table."""
    named = videos()[:: max(1, len(videos()) // videos_wanted)]
    store, wanted = make_store(folder / "store", named)
    table = store.attach(wanted)
    fit.run(FIT, store.load(wanted[:200]), folder / "fit", progress=Silent())
    digests = tuple(video.digest for _, _, video in wanted)
    took: dict[str, list[float]] = {name: [] for name in TEAMS}
    for turn in range(turns):
        for name, team in TEAMS.items():
            took[name].append(_made(named, digests, table, team, folder, folder / f"{name} {turn}"))
    first, *others = (_content(folder / f"{name} {turn}") for name in TEAMS for turn in range(turns))
    rows = sum(len(content) for content in first.values())
    print(f"{len(named):,} videos, {len(table.features_ND):,} frames; {rows / 1e6:.0f} MB of embeddings and lists\n")
    print(f"| way | s, {turns} turns | times as fast |\n|---|---|---|")
    for name, seconds in took.items():
        ratios = [one / own for one, own in zip(took["one process"], seconds, strict=True)]
        print(f"| {name} | {spread(seconds)} | {spread(ratios, 2)} |")
    print(f"\nthe same bytes: {all(other == first for other in others)}", flush=True)


def _made(
    named: tuple[Video, ...], digests: tuple[str, ...], table: FrameTable, team: Team, folder: Path, into: Path
) -> float:
    split = make_split(named, DataSettings(split="groups", train_fraction=0.72), None)
    inputs = index.IndexInputs(
        named, digests, WIDTH, lambda: table, split, folder / "fit", {"store": "made-up"}, team=team
    )
    torch.set_num_threads(2 if team.size == 2 else 1)  # which two share
    begin = time.perf_counter()
    index.run(INDEX, inputs, into, progress=Silent())
    return time.perf_counter() - begin


def _content(folder: Path) -> dict[str, bytes]:
    files = ("embeddings.safetensors", "vectors.ivfdata")
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.name in files}


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description="Index by one and by two processes.")
    parser.add_argument("--videos", type=int, default=1500)
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(asked.videos, asked.turns, Path(folder))


if __name__ == "__main__":
    main()
