"""A store that stays in its files gives what a loaded one gives, to the bit, in less memory."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mofore.cache.shard import VideoFeatures
from mofore.cache.store import FeatureStore, FrameTable
from mofore.data.errors import StageError, StoreError
from mofore.data.fit_settings import FitSettings
from mofore.data.progress import Silent
from mofore.data.types import FileState
from mofore.stages.distributed.launch import Spawned
from mofore.stages.fit import stage as fit
from mofore.stages.frames import sampler
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.frames.rows import made_ahead
from mofore.stages.model.embedding import embed_views, mean_pool
from mofore.stages.model.forecaster import make_forecaster
from mofore.stages.model.saved import MODEL

from .memory import stored, table

LENGTHS = [20, 25, 30, 18, 40, 22, 26, 35, 33, 9]
SETTINGS = FitSettings(
    steps=60, clip_length=4, gap_max=4, batch_size=4, embedding_width=8, hidden_width=8, lr=1e-2, validations=3
)
VARIANTS: dict[str, dict[str, Any]] = {
    "means from prefix sums": {},
    "short clips": {"clip_length": 16},
    "frames": {"aggregator": "conv"},
    "seconds": {"unit": "seconds", "clip_stride": 0.1, "gap_min": 0.0, "gap_max": 0.2, "clip_length": 3},
    "strided": {"clip_stride": 3, "clip_length": 2, "aggregator": "mean_sd"},
    "neighbours": {"neighbours": 2, "negatives": "lookalike", "holdout": 0.2, "keep": "best"},
}


class Breaks(Silent):
    """Does something to the store when the run is on its way."""

    def __init__(self, action: Any, step: int = 10) -> None:
        self.action, self.left = action, step

    def pulse(self) -> None:
        self.left -= 1
        if not self.left:
            self.action()


def both(folder: Path, made: FrameTable) -> tuple[FrameTable, FrameTable]:
    """The table loaded, and left in its files."""
    store, wanted = stored(folder, made)
    return store.load(wanted), store.attach(wanted)


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_and_log_are_the_same_to_the_byte(tmp_path: Path, variant: str) -> None:
    settings = replace(SETTINGS, **VARIANTS[variant])
    for name, frames in zip(("loaded", "files"), both(tmp_path, table(LENGTHS)), strict=True):
        fit.run(settings, frames, tmp_path / name, progress=Silent())
    for name in fit.OUTPUTS:
        assert (tmp_path / "files" / name).read_bytes() == (tmp_path / "loaded" / name).read_bytes(), name


def test_how_much_memory_there_was_does_not_change_the_weights(tmp_path: Path) -> None:
    for name, memory_gb in (("sums", 0.0), ("frames", 1e-9)):
        fit.run(replace(SETTINGS, memory_gb=memory_gb), table(LENGTHS), tmp_path / name, progress=Silent())
    assert (tmp_path / "sums" / MODEL).read_bytes() == (tmp_path / "frames" / MODEL).read_bytes()


def test_a_run_killed_on_files_goes_on_in_memory_to_the_same_bytes(tmp_path: Path) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    loaded, files = both(tmp_path, table(LENGTHS))
    settings = replace(SETTINGS, checkpoint_seconds=0.0)
    fit.run(settings, loaded, tmp_path / "whole", progress=Silent())
    with pytest.raises(KeyboardInterrupt):
        fit.run(settings, files, tmp_path / "killed", progress=Breaks(die, step=33))
    assert fit.run(settings, loaded, tmp_path / "killed", progress=Silent()).steps_run < 60
    assert (tmp_path / "killed" / MODEL).read_bytes() == (tmp_path / "whole" / MODEL).read_bytes()


def test_two_processes_read_the_same_files(tmp_path: Path) -> None:
    for name, frames in zip(("loaded", "files"), both(tmp_path, table(LENGTHS)), strict=True):
        fit.run(SETTINGS, frames, tmp_path / name, progress=Silent(), team=Spawned(2, torch.device("cpu")))
    assert (tmp_path / "files" / MODEL).read_bytes() == (tmp_path / "loaded" / MODEL).read_bytes()


def test_embeddings_and_pooled_features_are_the_same(tmp_path: Path) -> None:
    loaded, files = (FrameTensors.of(made, torch.device("cpu")) for made in both(tmp_path, table(LENGTHS)))
    for settings in (SETTINGS, replace(SETTINGS, aggregator="transformer")):
        embedder = make_forecaster(loaded.width, settings).teacher
        one, other = (embed_views(embedder, memory, settings, views=5) for memory in (loaded, files))
        assert torch.equal(one, other)
    assert np.array_equal(mean_pool(loaded), mean_pool(files))
    assert torch.equal(loaded.with_prefix_sums().prefix_MD, files.with_prefix_sums().prefix_MD)  # type: ignore[arg-type]


def test_a_feature_in_a_file_that_is_not_finite_is_named(tmp_path: Path) -> None:
    broken = table([20, 25, 30])
    broken.features_ND[27] = np.inf
    _, files = both(tmp_path, broken)
    with pytest.raises(StageError, match="a feature of 'v1' is not, in frame 7"):
        fit.run(replace(SETTINGS, batch_size=2), files, tmp_path, progress=Silent())


@pytest.mark.parametrize("damage", ["vanished", "cut short"])
def test_a_shard_that_is_lost_while_training_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(sampler, "GATHER_BYTES", 1)  # every batch is read for itself
    store, wanted = stored(tmp_path, table(LENGTHS))
    path = store.shard_files()[0]

    def lose() -> None:
        if damage == "vanished":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:3000])

    settings = replace(SETTINGS, steps=2000, validations=0, aggregator="conv")
    with pytest.raises(StoreError, match=f"{path.name}' (can no longer be read|was changed while it was in use)"):
        fit.run(settings, store.attach(wanted), tmp_path / "fit", progress=Breaks(lose))
    assert not (tmp_path / "fit" / MODEL).exists()


def test_the_next_item_is_made_while_one_is_in_use_and_errors_arrive_in_their_place() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(3):
            made.append(number)
            yield number
        raise StoreError("gone")

    waiting = made_ahead(items())
    assert next(waiting) == 0
    deadline = time.monotonic() + 10
    while made != [0, 1] and time.monotonic() < deadline:
        time.sleep(0.001)
    assert made == [0, 1], "one ahead, and no more"
    assert [next(waiting), next(waiting)] == [1, 2]
    with pytest.raises(StoreError, match="gone"):
        next(waiting)


MEASURED = """
import re, sys
from pathlib import Path
import torch
from mofore.cache.store import FeatureStore
from mofore.data.progress import Silent
from mofore.data.fit_settings import FitSettings
from mofore.stages.fit import stage as fit
from mofore.stages.frames import sampler
from mofore.stages.frames.loading import load_frames
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.model import embedding
from mofore.stages.model.forecaster import make_forecaster
from mofore.tests.stages.test_big_store import places

def most():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) >> 10

embedding.BLOCK_BYTES, sampler.GATHER_BYTES = 8 << 20, 4 << 20  # so that they do not hide what grows with the store
folder, cpu = Path(sys.argv[1]), torch.device("cpu")
settings = FitSettings(
    steps=100, memory_gb=1 / 32, device="cpu", embedding_width=8, hidden_width=8, validations=1, neighbours=1
)
store = FeatureStore(folder / "store")
wanted = places(store)
torch.set_num_threads(1)


def work(places, name):
    frames = load_frames(store, places, settings, progress=Silent())
    fit.run(settings, frames, folder / name, progress=Silent())
    memory = FrameTensors.of(frames, cpu)
    embedding.embed_views(make_forecaster(memory.width, settings).teacher, memory, settings, views=4)
    embedding.mean_pool(memory)


unused = most()
work(wanted[::8], "warm")  # code, networks and what the allocator keeps: none of it grows with the store
before = most()
work(wanted, "fit")
print(before - unused)
print(most() - before)
loaded = store.load(wanted)
print(most() - before)
"""


def places(store: FeatureStore) -> list[tuple[str, int, Any]]:
    return [
        (path.name, row, video) for path in store.shard_files() for row, video in enumerate(store.inspect(path).videos)
    ]


def write_wide_store(folder: Path) -> None:
    """384 MiB: 768 videos of 128 frames of width 2,048."""
    frames_TD = np.random.default_rng(0).standard_normal((128, 2048), np.float32).astype(np.float16)
    for shard in range(3):
        names = [f"v{256 * shard + number}" for number in range(256)]
        videos = [VideoFeatures(name, FileState(1, 1, name), frames_TD, np.arange(128) / 25) for name in names]
        FeatureStore(folder / "store").publish(videos, {})


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_stays_bounded_on_a_store_twelve_times_the_limit(tmp_path: Path) -> None:
    write_wide_store(tmp_path)
    line = [sys.executable, "-c", MEASURED, str(tmp_path)]
    fixed, from_files, loaded = map(int, subprocess.check_output(line, text=True).split())
    assert fixed < 192, "MiB: code, the networks, some clips, and what the allocator keeps"
    assert from_files < 192, "half of the store; what the allocator keeps varies by some tens"
    assert loaded > 336, "the store less the part that was warmed with: what is measured is seen"
