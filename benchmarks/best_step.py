"""Which figure of a look, taken without labels, finds the step whose embeddings retrieve best?

Every look of several recipes is followed by retrieval on the test videos. For each figure: Spearman's correlation with
mAP over the looks of a run, and over all looks of all recipes; and the mAP of the step that it would keep.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mofore.data.fit_settings import FitSettings
from mofore.data.presets import PRESETS
from mofore.data.progress import Silent
from mofore.stages.fit import stage as fit
from mofore.stages.fit.validation import Validation, Validator
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.model.forecaster import Forecaster

from .forecast_trials import FeatureSet, embedding, retrieval

SEEDS = (0, 1, 2)
FIGURES = ("info_nce", "r2", "cosine", "skill", "effective_rank", "uniformity", "alignment")
SMALLER_IS_BETTER = ("info_nce", "uniformity", "alignment")
COARSE: dict[str, Any] = {"clip_length": 4, "gap_max": 8.0, "holdout": 0.1, "validations": 8, "alarm": "off"}
RECIPES: dict[str, dict[str, Any]] = {
    "paper": {**COARSE, "steps": 1600},
    "paper, lr 1e-3": {**COARSE, "steps": 1600, "lr": 1e-3},
    "paper, lambda 0": {**COARSE, "steps": 1600, "contrast_weight": 0.0},
    "default": {**PRESETS["default"], **COARSE},
    "default, no neighbours": {**PRESETS["default"], **COARSE, "neighbours": 0},
    "collapsing": {**COARSE, "steps": 1600, "contrast_weight": 0.0, "momentum": 0.0, "predictor": "none", "lr": 1e-3},
}


def looks_of(data: FeatureSet, changes: dict[str, Any]) -> list[dict[str, float]]:
    """The figures of every look after step 0, and the mAP on the test videos at that step."""
    memory, rows = FrameTensors.of(data.table, torch.device("cpu")), []

    def beside(look: Validation, forecaster: Forecaster, settings: FitSettings) -> None:
        if look.step:
            found = retrieval(data, embedding(forecaster, memory, settings, "teacher"))
            rows.append({**_figures(look), "mAP": found["mAP"], "step": look.step})

    groups = [data.groups[v] for v in data.train_V.tolist()]
    with _followed(beside), tempfile.TemporaryDirectory() as folder:
        table = data.training_table()
        fit.run(FitSettings(**changes), table, Path(folder), progress=Silent(), groups=groups)
    return rows


def main(data: FeatureSet) -> None:
    """Print correlations, and what each figure would keep."""
    runs = {name: [looks_of(data, {**changes, "seed": seed}) for seed in SEEDS] for name, changes in RECIPES.items()}
    print("| recipe | mAP by step (seed 0) |", *(f" kept by {figure} |" for figure in FIGURES), " best |", sep="")
    print("|---|---|" + "---|" * (len(FIGURES) + 1))
    for name, made in runs.items():
        course = " ".join(f"{row['mAP']:.1f}" for row in made[0])
        kept = [f"{statistics.mean(_kept(rows, figure) for rows in made):.1f}" for figure in FIGURES]
        best = statistics.mean(max(row["mAP"] for row in rows) for rows in made)
        print("|", " | ".join([name, course, *kept, f"{best:.1f}"]), "|", flush=True)
    every = [row for made in runs.values() for rows in made for row in rows]
    within = [[_correlation(rows, figure) for made in runs.values() for rows in made] for figure in FIGURES]
    print("| within runs | |", *(f" {statistics.mean(values):+.2f} |" for values in within), " |", sep="")
    print("| over all looks | |", *(f" {_correlation(every, figure):+.2f} |" for figure in FIGURES), " |", sep="")


@contextmanager
def _followed(beside: Any) -> Iterator[None]:
    """Have ``beside`` called after every look."""
    plain = Validator.look

    def look(self: Validator, forecaster: Forecaster, step: int, teacher_drift: float) -> Validation:
        made = plain(self, forecaster, step, teacher_drift)
        beside(made, forecaster, self.settings)
        return made

    Validator.look = look  # type: ignore[method-assign]
    try:
        yield
    finally:
        Validator.look = plain  # type: ignore[method-assign]


def _figures(look: Validation) -> dict[str, float]:
    whole, health = look.figures["forecast"]["all"], look.figures["health"]
    flat = {**{name: whole[name] for name in ("r2", "cosine", "skill")}, **health}
    flat |= {name: look.figures[name] for name in ("info_nce", "alignment")}
    return {name: (-flat[name] if name in SMALLER_IS_BETTER else flat[name]) or 0.0 for name in FIGURES}


def _kept(rows: list[dict[str, float]], figure: str) -> float:
    return max(rows, key=lambda row: row[figure])["mAP"]


def _correlation(rows: list[dict[str, float]], figure: str) -> float:
    orders = [np.argsort(np.argsort([row[name] for row in rows])) for name in (figure, "mAP")]
    return float(np.corrcoef(*orders)[0, 1])
