"""Steps of a fit against a plain Dataset, h5py and DataLoader, and against the bare step.

UCF101's size: 10,656 training videos of 150 frames would be 1.6 GB; 2,500 videos of 150 frames (0.4 GB) of random
features are used, so that the machine's caches hold neither. All kinds take turns in one run; the best turn of each
counts, since whatever disturbs a machine only slows it.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from mofore.cache.shard import row_offsets
from mofore.cache.store import FrameTable
from mofore.data.fit_settings import FitSettings
from mofore.data.progress import Silent
from mofore.stages.distributed.process_group import ProcessGroup
from mofore.stages.fit import stage as fit
from mofore.stages.fit.training import Training, matrix_products
from mofore.stages.fit.validation import Validator
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.frames.sampler import Batch, make_sampler
from mofore.stages.model.forecaster import make_forecaster

VIDEOS, FRAMES, WIDTH = 2_500, 150, 512
TURNS, TURN_S = 4, 4.0
UCF101_PAIRS = 10_656
PAPER = FitSettings(validations=0, tensorboard="off", checkpoint_seconds=3600.0)


class PlainClips(Dataset[tuple[Tensor, Tensor]]):
    """A context and a future clip of a video, read from an HDF5 file with a dataset for each video."""

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, None

    def __len__(self) -> int:
        return VIDEOS

    def __getitem__(self, video: int) -> tuple[Tensor, Tensor]:
        if self.file is None:
            self.file = h5py.File(self.path)
        features, length = self.file[f"v{video}"], PAPER.clip_length
        gap = int(torch.randint(0, int(PAPER.gap_max) + 1, ()))
        start = int(torch.randint(0, FRAMES - 2 * length - gap + 1, ()))
        future = start + length + gap
        clips = features[start : start + length], features[future : future + length]
        return torch.from_numpy(clips[0]).float(), torch.from_numpy(clips[1]).float()


def plain_pairs(path: Path, batch_size: int, workers: int) -> Iterator[int]:
    """Train as most would; yields the pairs of each step."""
    student, predictor, teacher = _mlp(), _mlp(), _mlp()
    teacher.load_state_dict(student.state_dict())
    optimizer = torch.optim.Adam([*student.parameters(), *predictor.parameters()], lr=1e-4)
    loader = DataLoader(
        PlainClips(path), batch_size, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0
    )
    while True:
        for context, future in loader:
            forecast = functional.normalize(predictor(student(context.mean(dim=1))), dim=1)
            with torch.no_grad():
                target = functional.normalize(teacher(future.mean(dim=1)), dim=1)
            error = (forecast - target).square().sum(dim=1).mean()
            contrast = functional.cross_entropy(forecast @ target.T / 0.1, torch.arange(len(forecast)))
            optimizer.zero_grad()
            (error + contrast).backward()
            optimizer.step()
            with torch.no_grad():
                for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
                    slow.mul_(0.7).add_(fast, alpha=0.3)
            yield len(forecast)


class Clock(Silent):
    """Notes when steps are reported."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = []

    def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:  # noqa: ARG002
        """Steps were taken."""
        self.seen.append((time.perf_counter(), done))

    def rate(self) -> float:
        """Steps a second between the first and the last report."""
        return sum(done for _, done in self.seen[1:]) / (self.seen[-1][0] - self.seen[0][0])


def fit_rate(settings: FitSettings, table: FrameTable, steps: int) -> float:
    """Steps a second of a whole fit, its log included, once it has begun."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        fit.run(replace(settings, steps=steps), table, Path(folder), progress=clock)
    return clock.rate()


def bare_step(settings: FitSettings, memory: FrameTensors) -> Callable[[int], None]:
    """The same step on batches that are there already."""
    everyone = torch.arange(VIDEOS)
    sampler = make_sampler(settings, memory, everyone)
    validator = Validator(settings, memory, everyone[:0], everyone, ())
    training = Training(settings, sampler, make_forecaster(WIDTH, settings), validator, Path(), ProcessGroup())
    batches: list[Batch] = list(sampler.batches(0, 32))

    def take(number: int) -> None:
        training.take_step(batches[number % len(batches)])
        training.step = 0

    return take


def compare(batch_size: int) -> dict[str, float]:
    """Pairs a second of each kind."""
    settings = replace(PAPER, batch_size=batch_size, steps=1_000_000)
    table = made_up_table()
    memory = FrameTensors.of(table, torch.device("cpu"))
    rates: dict[str, float] = defaultdict(float)
    with tempfile.TemporaryDirectory() as folder:
        path = _plain_file(table, Path(folder))
        plain = {workers: plain_pairs(path, batch_size, workers) for workers in (0, 2)}
        take = bare_step(settings, memory)
        steps = max(300, round(TURN_S * 6000 / batch_size**0.75))
        for _ in range(TURNS):
            for workers, pairs in plain.items():
                rates[f"plain, {workers} workers"] = max(rates[f"plain, {workers} workers"], _rate(pairs))
            rates["mofore fit"] = max(rates["mofore fit"], batch_size * fit_rate(settings, table, steps))
            with torch.no_grad(), matrix_products(settings.precision, memory.device):
                rates["bare step"] = max(rates["bare step"], batch_size * _calls(take))
    return rates


def main() -> None:
    """Print the table."""
    print("\n## Forecasting\n")
    print("| batch | plain, 0 workers | plain, 2 workers | mofore fit | bare step | x plain | of bare | epoch s |")
    print("|---|---|---|---|---|---|---|---|")
    for batch_size in (8, 64, 256):
        rates = compare(batch_size)
        ours, best = rates["mofore fit"], max(rates["plain, 0 workers"], rates["plain, 2 workers"])
        cells = [f"{rates[name]:,.0f}" for name in ("plain, 0 workers", "plain, 2 workers", "mofore fit", "bare step")]
        ratios = [f"{ours / best:.1f}", f"{ours / rates['bare step']:.2f}", f"{UCF101_PAIRS / ours:.2f}"]
        print("|", " | ".join([str(batch_size), *cells, *ratios]), "|", flush=True)


def _rate(pairs: Iterator[int]) -> float:
    for _ in range(5):  # workers start, caches fill
        next(pairs)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < TURN_S:
        count += next(pairs)
    return count / (time.perf_counter() - begin)


def _calls(function: Callable[[int], None]) -> float:
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < TURN_S:
        function(count)
        count += 1
    return count / (time.perf_counter() - begin)


def made_up_table(videos: int = VIDEOS) -> FrameTable:
    """Random features of so many videos."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((videos * FRAMES, WIDTH), np.float32).astype(np.float16)
    times_s = np.tile(np.arange(FRAMES) / 25, videos)
    return FrameTable(features, times_s, row_offsets([FRAMES] * videos), tuple(map(str, range(videos))))


def _plain_file(table: FrameTable, folder: Path) -> Path:
    path = folder / "plain.h5"
    with h5py.File(path, "w") as file:
        for video in range(VIDEOS):
            file[f"v{video}"] = table.features_ND[video * FRAMES : (video + 1) * FRAMES]
    return path


def _mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(WIDTH, 512), nn.ReLU(), nn.Linear(512, 512))


if __name__ == "__main__":
    main()
