"""How well features are forecast by gap: predictor = history beside damped persistence and four scalars.

Errors are squared distances to the unit embedding of the future clip, averaged over pairs. Four scalars: least squares
over the training pairs of a gap on the context, the mean of all seen, the trend (the context's last frame less the
context) and the clip before it, all less the training mean. Intervals of paired differences: bootstrap over recordings.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mofore.data.clips import Pairs
from mofore.data.fit_settings import FitSettings
from mofore.data.presets import PRESETS
from mofore.data.progress import Silent
from mofore.stages.evaluate.forecast_skill import probe_gaps
from mofore.stages.fit import stage as fit
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.model.embedding import outputs
from mofore.stages.model.forecaster import ForecastEmbedder, Forecaster
from mofore.stages.model.saved import load_forecaster

from .forecast_trials import FeatureSet, stored_features, vgg_features

STARTS, RESAMPLES, SEEDS = 3, 1000, (0, 1, 2)
CLIPS: dict[str, Any] = {**PRESETS["forecast"], "clip_length": 4, "gap_max": 8.0, "validations": 0}


def main(path: Path) -> None:
    """Print tables for a file of features (three splits), or for a store's folder."""
    print("| split | clips before the context | forecast | by gap: 0, 2, 4, 6, 8 | mean |")
    for split in (1, 2, 3):
        print_split(stored_features(path, split) if path.is_dir() else vgg_features(path, split), split)


def print_split(data: FeatureSet, split: int) -> None:
    """Rows of one split, for contexts anywhere in the video, and for those with a clip or more before them."""
    memory = FrameTensors.of(data.table, torch.device("cpu")).with_prefix_sums()
    made = [fitted(data, {**CLIPS, "seed": seed}) for seed in SEEDS]
    for earliest in (0, 1):
        rows: dict[str, list[list[Tensor]]] = {"preset forecast": [[] for _ in made]}
        of_recording: list[Tensor] = []
        for seed, (forecaster, settings) in enumerate(made):
            for gap in probe_gaps(settings):
                trial = Trial(memory, settings, int(gap), earliest)
                rows["preset forecast"][seed].append(trial.error(data, forecaster))
                if not seed:
                    of_recording.append(recordings(data, trial))
                    for name, error_VS in trial.baselines(data).items():
                        rows.setdefault(name, [[]])[0].append(error_VS)
        print_rows(rows, f"| {split} | {earliest}", of_recording)


def print_rows(rows: dict[str, list[list[Tensor]]], begin: str, of_recording: list[Tensor]) -> None:
    """Skill of each forecast by gap and its mean, seeds averaged, and how far the fit is above the four scalars."""
    persistence = rows["persistence"][0]
    for name, runs in rows.items():
        skills = [[1.0 - float(e.mean() / p.mean()) for e, p in zip(run, persistence, strict=True)] for run in runs]
        cells = [f"{statistics.mean(of_gap):+.3f}" for of_gap in zip(*skills, strict=True)]
        means = [statistics.mean(of_seed) for of_seed in skills]
        spread = f" ± {statistics.stdev(means):.4f}" if len(means) > 1 else ""
        print(f"{begin} | {name} |", " | ".join(cells), f"| {statistics.mean(means):+.3f}{spread} |")
    fits = [torch.stack(of_gap).mean(dim=0) for of_gap in zip(*rows["preset forecast"], strict=True)]
    compared = zip(fits, rows["four scalars"][0], persistence, of_recording, strict=True)
    print(f"{begin} | forecast less four scalars |", " | ".join(paired(*each) for each in compared), "|", flush=True)


def fitted(data: FeatureSet, changes: Mapping[str, Any]) -> tuple[Forecaster, FitSettings]:
    """A fit on the training videos."""
    with tempfile.TemporaryDirectory() as folder:
        fit.run(FitSettings(**changes), data.training_table(), Path(folder), progress=Silent())
        return load_forecaster(Path(folder))


class Trial:
    """Pairs of one gap, evenly spread over each video that is long enough."""

    def __init__(self, memory: FrameTensors, settings: FitSettings, gap: int, earliest: int) -> None:
        self.memory, self.settings, self.gap, self.length = memory, settings, gap, settings.clip_length
        self.first = earliest * self.length

    def pairs(self, video_V: Tensor) -> tuple[Tensor, Pairs]:
        """Videos (B,) and their pairs: :data:`STARTS` of each."""
        last_V = self.memory.frames_V[video_V] - 2 * self.length - self.gap
        video_V, last_V = video_V[last_V >= self.first], last_V[last_V >= self.first]
        start_VS = self.first + torch.arange(STARTS) * (last_V - self.first)[:, None] // (STARTS - 1)
        start_B = start_VS.flatten()
        return video_V.repeat_interleave(STARTS), Pairs(
            start_B, torch.full_like(start_B, self.length), torch.full_like(start_B, self.gap)
        )

    def error(self, data: FeatureSet, forecaster: Forecaster) -> Tensor:
        """Squared errors (videos, STARTS) of a fit on the test videos."""
        item_B, pairs = self.pairs(data.test_V)
        embedder = ForecastEmbedder(forecaster, float(self.gap))
        forecast_BD = outputs(embedder, self.memory, item_B, pairs.context, self.settings)
        return self._squared(forecast_BD - self.unit_mean(item_B, pairs.future_B, self.length))

    def baselines(self, data: FeatureSet) -> dict[str, Tensor]:
        """The same of the trivial forecasts, their scalars fitted on the training videos."""
        seen, seen_pairs = self.pairs(data.train_V)
        center_D = self.unit_mean(seen, seen_pairs.future_B, self.length).mean(dim=0)
        x_BRD, y_BD = self.regressors(seen, seen_pairs, center_D)
        gram_RR, by_R = torch.einsum("brd,bsd->rs", x_BRD, x_BRD), torch.einsum("brd,bd->r", x_BRD, y_BD)
        four_R, damped = torch.linalg.solve(gram_RR, by_R), by_R[0] / gram_RR[0, 0]
        x_BRD, y_BD = self.regressors(*self.pairs(data.test_V), center_D)
        made = {
            "persistence": x_BRD[:, 0],
            "damped persistence": damped * x_BRD[:, 0],
            "four scalars": torch.einsum("brd,r->bd", x_BRD, four_R),
        }
        return {name: self._squared(of_BD - y_BD) for name, of_BD in made.items()}

    def _squared(self, apart_BD: Tensor) -> Tensor:
        return apart_BD.square().sum(dim=1).view(-1, STARTS)

    def regressors(self, item_B: Tensor, pairs: Pairs, center_D: Tensor) -> tuple[Tensor, Tensor]:
        """What the scalars weigh (B, 4, D), and the targets (B, D), both less ``center_D``."""
        start_B = pairs.context_B
        last_BD = self.unit_mean(item_B, start_B + self.length - 1, 1)
        windows = ((start_B, self.length), (0 * start_B, start_B + self.length))
        context_BD, seen_BD = (self.unit_mean(item_B, *window) - center_D for window in windows)
        trend_BD = last_BD - center_D - context_BD
        before_BD = self.unit_mean(item_B, (start_B - self.length).clamp(min=0), self.length) - center_D
        target_BD = self.unit_mean(item_B, pairs.future_B, self.length) - center_D
        return torch.stack([context_BD, seen_BD, trend_BD, before_BD], dim=1), target_BD

    def unit_mean(self, item_B: Tensor, start_B: Tensor, length: int | Tensor) -> Tensor:
        """Unit means (B, D) of frames."""
        return functional.normalize(self.mean(item_B, start_B, length), dim=1)

    def mean(self, item_B: Tensor, start_B: Tensor, length: int | Tensor) -> Tensor:
        """Means (B, D) of frames, from the prefix sums."""
        assert self.memory.prefix_MD is not None
        row_B = self.memory.first_V[item_B] + item_B + start_B
        count_B1 = torch.as_tensor(length).expand(len(item_B))[:, None]
        sums_BD = self.memory.prefix_MD[row_B + count_B1[:, 0]] - self.memory.prefix_MD[row_B]
        return (sums_BD / count_B1).float()


def recordings(data: FeatureSet, trial: Trial) -> Tensor:
    """Number of the recording of each test video that the trial measures."""
    item_B, _ = trial.pairs(data.test_V)
    names = [(data.labels[video], data.groups[video]) for video in item_B[::STARTS].tolist()]
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return torch.tensor([numbers[name] for name in names])


def paired(fit_VS: Tensor, other_VS: Tensor, persistence_VS: Tensor, recording_V: Tensor) -> str:
    """Difference of skills, and its 95 % interval over recordings."""
    count = int(recording_V.max()) + 1
    better_G, floor_G = (
        torch.zeros(count).index_add(0, recording_V, of_VS.sum(dim=1)) for of_VS in (other_VS - fit_VS, persistence_VS)
    )
    draw = torch.randint(count, (RESAMPLES, count), generator=torch.Generator().manual_seed(0))
    low, high = (better_G[draw].sum(1) / floor_G[draw].sum(1)).quantile(torch.tensor([0.025, 0.975])).tolist()
    return f"{float(better_G.sum() / floor_G.sum()):+.3f} ({low:+.3f}, {high:+.3f})"
