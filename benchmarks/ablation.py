"""Preset `default` without one of its parts at a time: R@1 / mAP of test videos against training videos.

Mean of the three official splits, its standard deviation over seeds, and how far that is from the whole preset. The
1,865 videos with cached features; labels are used afterwards alone.

    python -m benchmarks.ablation FEATURES.h5 [--seeds 3]
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from .findings import COLUMNS, DEFAULT
from .forecast_trials import FeatureSet, raw, trial, vgg_features

SPLITS = (1, 2, 3)
ROWS: dict[str, dict[str, Any]] = {
    "default": {},
    "the map alone, no training": {"passes": 0, "steps": 1, "lr": 1e-12},
    "no map (mean and standard deviation as they are)": {"input_map": "none", "input_dropout": 0.0},
    "nothing dropped": {"input_dropout": 0.0},
    "own futures alone, no neighbours": {"neighbours": 0},
    "no InfoNCE": {"contrast_weight": 0.0},
    "past in place of future": {"target": "past"},
    "six views of 4 frames in place of the whole video": {"video_pooling": "views"},
    "mean alone, without the standard deviation": {"aggregator": "mean"},
}


def measured(data: dict[int, FeatureSet], changes: dict[str, Any], seeds: range) -> list[list[list[float]]]:
    """Figures by column, seed and split."""
    made = [[trial(data[split], {**DEFAULT, **changes, "seed": seed}) for split in SPLITS] for seed in seeds]
    return [[[run[source][metric] for run in runs] for runs in made] for source, metric in COLUMNS]


def cell(by_seed: list[list[float]], whole: list[list[float]]) -> str:
    """Mean over splits, with its spread over seeds, and how far it is from the whole preset."""
    means = [statistics.mean(splits) for splits in by_seed]
    apart = statistics.mean(means) - statistics.mean(statistics.mean(splits) for splits in whole)
    spread = statistics.stdev(means) if len(means) > 1 else 0.0
    return f"{statistics.mean(means):.1f} ± {spread:.1f}" + ("" if by_seed is whole else f" ({apart:+.1f})")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    data = {split: vgg_features(asked.path, split) for split in SPLITS}
    print("| fit | R@1 teacher | mAP teacher | R@1 forecast | mAP forecast |\n|---|---|---|---|---|")
    plain = [raw(data[split]) for split in SPLITS]
    means = [f"{statistics.mean(float(found[metric] or 0) for found in plain):.1f}" for metric in ("R@1", "mAP")]
    print(f"| raw mean pool | {means[0]} | {means[1]} | | |", flush=True)
    whole: list[list[list[float]]] = []
    for name, changes in ROWS.items():
        columns = measured(data, changes, range(asked.seeds))
        whole = whole or columns
        print(f"| {name} | " + " | ".join(cell(*both) for both in zip(columns, whole, strict=True)) + " |", flush=True)


if __name__ == "__main__":
    main()
