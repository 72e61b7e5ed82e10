"""Motion that a mean cannot see: the drawn motion set, on features of a pretrained backbone.

Ten motions, six of them in pairs that are each other's reversal; 14 appearances, every motion in each. Class is the
motion; queries are the clips of 4 appearances that neither training nor gallery has. Chance is 10 %.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mofore.cache.fingerprint import stat_of
from mofore.cache.shard import row_offsets
from mofore.cache.store import FrameTable
from mofore.data.motion import write_motion_set
from mofore.data.sampling import EVERY_FRAME
from mofore.data.settings import ExtractSettings
from mofore.data.types import Video
from mofore.stages.backbone.encoder import Encoder, load_encoder
from mofore.stages.decode.source import Frames, Reading, read_video

from .forecast_trials import FeatureSet, raw, trial

GROUPS, QUERY_GROUPS, CLIPS, FRAMES = 14, 4, 2, 64
SEEDS = (0, 1, 2)
BASE: dict[str, Any] = {
    "clip_length": 16,
    "gap_max": 16.0,
    "validations": 0,
    "batch_size": 64,
    "steps": 600,
    "lr": 3e-4,
    "momentum": 0.99,
    "hidden_width": 256,
    "embedding_width": 256,
}


def motion_features(weights: Path) -> FeatureSet:
    """Draw the set and extract it with MobileNetV2."""
    settings = ExtractSettings(backbone="timm:mobilenetv2_100", weights=str(weights))
    encoder = load_encoder(settings, weights, torch.device("cpu"))
    parts, ids = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in write_motion_set(Path(folder), groups=GROUPS, clips=CLIPS, frames=FRAMES):
            pass
        for path in sorted(Path(folder).rglob("*.*")):
            parts.append(_features(encoder, path))
            ids.append(path.stem)
    labels, groups = zip(*((name.split("_")[1], name.split("_")[2]) for name in ids), strict=True)
    test = torch.tensor([int(group[1:]) > GROUPS - QUERY_GROUPS for group in groups])
    lengths = [len(part) for part in parts]
    times_s = np.concatenate([np.arange(length) / 25 for length in lengths])
    table = FrameTable(np.concatenate(parts), times_s, row_offsets(lengths), tuple(ids))
    return FeatureSet(table, labels, groups, torch.nonzero(~test).flatten(), torch.nonzero(test).flatten())


def _features(encoder: Encoder, path: Path) -> np.ndarray[Any, Any]:
    reading = Reading(encoder.preprocess, EVERY_FRAME, 25.0)
    size, mtime_ns = stat_of(path)
    events = read_video(path, Video(path.name, None, None, size, mtime_ns), reading)
    pieces = [encoder.encode(e.pixels.permute(0, 3, 1, 2)).half().numpy() for e in events if isinstance(e, Frames)]
    return np.concatenate(pieces)


def fits() -> dict[str, dict[str, Any]]:
    """Order-blind and order-sensitive, with appearance and without."""
    found: dict[str, dict[str, Any]] = {"mean": BASE}
    for aggregator in ("conv", "gru", "transformer"):
        for inputs in ("plain", "centered", "differenced"):
            for negatives in ("batch", "lookalike"):
                found[f"{aggregator}, {inputs}, negatives: {negatives}"] = {
                    **BASE,
                    "aggregator": aggregator,
                    "inputs": inputs,
                    "negatives": negatives,
                }
    return found


def main(weights: Path) -> None:
    """Print the table."""
    data = motion_features(weights)
    plain = raw(data)
    print("| fit | R@1 | R@5 | mAP | skill |")
    print("|---|---|---|---|---|")
    print(f"| raw mean pool | {plain['R@1']:.1f} | {plain['R@5']:.1f} | {plain['mAP']:.1f} | |", flush=True)
    for name, changes in fits().items():
        made = [trial(data, {**changes, "seed": seed}) for seed in SEEDS]
        cells = [_spread([run["teacher"][metric] for run in made]) for metric in ("R@1", "R@5", "mAP")]
        cells.append(f"{statistics.mean(run['forecast']['all']['skill'] for run in made):+.2f}")
        print("|", " | ".join([name, *cells]), "|", flush=True)


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"
