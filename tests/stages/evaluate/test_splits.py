from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mofore.data.metrics import Metrics
from mofore.data.progress import Silent
from mofore.data.types import Split
from mofore.stages.evaluate import stage as evaluate
from mofore.stages.fit import stage as fit

from .test_report import FIT, MEASURED, TRAIN, VIDEOS, given, table

CLOSED = {"raw_expanded", "raw_expanded_gallery", "neighbour_lda", "neighbour_lda_mean_sd"}
TEST = frozenset(v.id for v in VIDEOS) - TRAIN


def measured(tmp_path: Path, *splits: Split) -> Metrics:
    """On the first of the splits, and its fit on the others."""
    frames = table(VIDEOS)
    if not (tmp_path / "fit" / "0a").exists():
        fit.run(FIT, frames, tmp_path / "fit" / "0a", progress=Silent())
    inputs = replace(given(tmp_path, VIDEOS, frames, splits[0]), others=splits[1:])
    return evaluate.run(MEASURED, inputs, tmp_path / "evaluate", progress=Silent())[0]


def test_closed_forms_are_of_the_gallery_of_each_split(tmp_path: Path) -> None:
    one, other = Split("one", TRAIN, TEST), Split("other", TEST, TRAIN)
    here, there = measured(tmp_path, one, other).protocols.splits, measured(tmp_path, other).protocols.splits
    assert set(here["other"].rows) >= CLOSED
    for name in CLOSED:
        assert here["other"].rows[name] == there["other"].rows[name], "as if the split were the run's own"
        assert here["other"].rows[name].queries_that_the_fit_saw is None, "it is fitted on this split's gallery"
    assert here["other"].rows["mofore"].queries_that_the_fit_saw == 100


def test_the_mean_over_three_official_splits_has_the_closed_forms(tmp_path: Path) -> None:
    official = [Split(f"official{n}", TRAIN, TEST) for n in (1, 2, 3)]
    found = measured(tmp_path, *official).protocols
    assert found.official is not None
    assert set(found.official) == set(found.splits["official2"].rows)
    spread = found.official["neighbour_lda"].r_at_1
    assert spread is not None
    assert spread.mean == pytest.approx(found.splits["official1"].rows["neighbour_lda"].recalls.r_at_1)
    assert spread.sd == 0, "the same split three times"
