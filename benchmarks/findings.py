"""Does forecasting work? Every table of docs/findings.md.

python -m benchmarks.findings features FEATURES.h5
python -m benchmarks.findings clips WORK/features/ENCODER
python -m benchmarks.findings best FEATURES.h5
python -m benchmarks.findings motion WEIGHTS.safetensors
python -m benchmarks.findings skill FILE_OR_STORE
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mofore.data.presets import PRESETS

from .forecast_trials import FeatureSet, raw, stored_features, trial, vgg_features

SEEDS = (0, 1, 2)
COLUMNS = [(source, metric) for source in ("teacher", "predictor") for metric in ("R@1", "mAP")]
COARSE: dict[str, Any] = {"clip_length": 4, "gap_max": 8.0, "validations": 0}  # 25 frames of 7 s: 4 are about a second
WHOLE: dict[str, Any] = {**COARSE}  # the paper's recipe, 5,000 steps
PAPER: dict[str, Any] = {**COARSE, "steps": 2000}  # the same for 2,000 steps, where one choice at a time is changed
DEFAULT: dict[str, Any] = {**PRESETS["default"], **COARSE, "holdout": 0.0}
TEACHERS = (0.0, 0.5, 0.7, 0.9, 0.99, 1.0)


def methods() -> dict[str, dict[str, Any]]:
    """Presets, networks and controls."""
    gru = {**PAPER, "aggregator": "gru", "steps": 1000}
    return {
        "paper, 5,000 steps": WHOLE,
        "paper": PAPER,
        "default": DEFAULT,
        "paper, gap-conditioned": {**PAPER, "predictor": "gap"},
        "paper, several horizons": {**PAPER, "predictor": "horizons"},
        "paper, skip": {**PAPER, "predictor_skip": True},
        "paper, transformer (1,000 steps)": {**gru, "aggregator": "transformer"},
        "paper, GRU (1,000 steps)": gru,
        "control: past": {**PAPER, "target": "past"},
        "control: other clip of the video": {**PAPER, "target": "other"},
        "control: another video's future": {**PAPER, "target": "shuffled"},
        "default, past": {**DEFAULT, "target": "past"},
        "default, other clip": {**DEFAULT, "target": "other"},
        "default, no neighbours": {**DEFAULT, "neighbours": 0},
    }


def on_clips() -> dict[str, dict[str, Any]]:
    """The rows that matter most, for videos of which every frame is there."""
    clips = {"clip_length": 16, "gap_max": 16.0, "validations": 0}
    paper = {**PAPER, **clips}
    return {
        "paper": paper,
        "default": {**PRESETS["default"], **clips},
        "paper, gap-conditioned": {**paper, "predictor": "gap"},
        "paper, skip": {**paper, "predictor_skip": True},
        "paper, transformer (300 steps)": {**paper, "aggregator": "transformer", "steps": 300},
        "control: past": {**paper, "target": "past"},
        "control: other clip of the video": {**paper, "target": "other"},
        "control: another video's future": {**paper, "target": "shuffled"},
    }


def sweeps() -> dict[str, dict[str, Any]]:
    """One choice of the paper's recipe at a time."""
    found: dict[str, dict[str, Any]] = {}
    for weight in (1.0, 0.0):
        for momentum in TEACHERS:
            found[f"m = {momentum:g}, lambda = {weight:g}"] = {**PAPER, "momentum": momentum, "contrast_weight": weight}
    found |= {f"lambda = {value:g}": {**PAPER, "contrast_weight": value} for value in (0.1, 10.0)}
    found |= {f"tau = {value:g}": {**PAPER, "temperature": value} for value in (0.03, 0.3, 1.0)}
    found |= {
        f"batch {size}, {steps:,} steps": {**PAPER, "batch_size": size, "steps": steps}
        for size, steps in ((64, 1000), (256, 400))
    }
    found["symmetric"] = {**PAPER, "contrast_symmetric": True}
    found["queue of 4,096"] = {**PAPER, "queue": 4096}
    return found


def table(data: FeatureSet, rows: Mapping[str, dict[str, Any]], seeds: Sequence[int] = SEEDS) -> None:
    """Print retrieval and forecast of each row, mean and standard deviation over seeds."""
    plain = raw(data)
    print(
        "| fit | R@1 teacher | mAP teacher | R@1 forecast | mAP forecast | rank | cosine | R2 | skill, all (by gap) |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    print(f"| raw mean pool | {plain['R@1']:.1f} | {plain['mAP']:.1f} | | | {plain['rank']:.0f} | | | |", flush=True)
    for name, changes in rows.items():
        begin = time.perf_counter()
        made = [trial(data, {**changes, "seed": seed}) for seed in seeds]
        cells = [_spread([run[source][metric] for run in made]) for source, metric in COLUMNS]
        cells += [f"{statistics.mean(run['teacher']['rank'] for run in made):.0f}"]
        cells += [_spread([run["forecast"]["all"][key] for run in made], 3) for key in ("cosine", "r2")]
        cells += [f"{_skill(made)} ({', '.join(_by_gap(made))})"]
        print("|", " | ".join([name, *cells]), "|", flush=True)
        print(f"<!-- {name}: {time.perf_counter() - begin:.0f} s -->", flush=True)


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["features", "clips", "best", "motion", "skill"])
    parser.add_argument("path", type=Path)
    asked = parser.parse_args()
    if asked.what == "motion":
        from . import motion_trials

        motion_trials.main(asked.path)
        return
    if asked.what == "skill":
        from . import skill_trials

        skill_trials.main(asked.path)
        return
    if asked.what == "best":
        from . import best_step

        best_step.main(vgg_features(asked.path))
        return
    if asked.what == "clips":
        table(stored_features(asked.path), on_clips())
        return
    for split in (1, 2, 3):
        print(f"\n### Official split {split}\n")
        table(vgg_features(asked.path, split), {name: methods()[name] for name in ("paper, 5,000 steps", "default")})
    data = vgg_features(asked.path)
    for title, rows in (("Methods and controls", methods()), ("The paper's choices", sweeps())):
        print(f"\n### {title}\n")
        table(data, rows)


def _spread(values: Sequence[float], digits: int = 1) -> str:
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def _skill(made: Sequence[Mapping[str, Any]]) -> str:
    return f"{statistics.mean(run['forecast']['all']['skill'] for run in made):+.2f}"


def _by_gap(made: Sequence[Mapping[str, Any]]) -> list[str]:
    gaps = made[0]["forecast"]["gaps"]
    return [f"{statistics.mean(run['forecast']['gaps'][gap]['skill'] for run in made):+.2f}" for gap in gaps]


if __name__ == "__main__":
    main()
