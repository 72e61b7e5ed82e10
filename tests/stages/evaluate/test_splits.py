from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mofore.data.metrics import Metrics
from mofore.data.progress import Silent
from mofore.data.settings import EvaluateSettings
from mofore.data.types import Split
from mofore.stages.evaluate import splits
from mofore.stages.evaluate import stage as evaluate
from mofore.stages.evaluate.baselines import Row, neighbour_row
from mofore.stages.evaluate.splits import CLOSED_FORM
from mofore.stages.fit import stage as fit

from .test_report import FIT, MEASURED, TRAIN, VIDEOS, given, table

TEST = frozenset(v.id for v in VIDEOS) - TRAIN
ONE, TWO, THREE = Split("official1", TRAIN, TEST), Split("official2", TEST, TRAIN), Split("official3", TRAIN, TEST)


def measured(tmp_path: Path, *splits: Split, settings: EvaluateSettings = MEASURED) -> Metrics:
    """On the first of the splits, and its fit on the others."""
    frames = table(VIDEOS)
    if not (tmp_path / "fit" / "0a").exists():
        fit.run(FIT, frames, tmp_path / "fit" / "0a", progress=Silent())
    inputs = replace(given(tmp_path, VIDEOS, frames, splits[0]), others=splits[1:])
    return evaluate.run(settings, inputs, tmp_path / "evaluate", progress=Silent())[0]


def test_the_closed_form_is_of_the_gallery_of_each_split(tmp_path: Path) -> None:
    here, there = (measured(tmp_path, *splits).protocols.splits for splits in ((ONE, TWO), (TWO,)))
    row = here["official2"].rows[CLOSED_FORM]
    assert row == there["official2"].rows[CLOSED_FORM], "as if the split were the run's own"
    assert row.queries_that_the_fit_saw is None, "it is fitted on this split's gallery"
    assert here["official2"].rows["mofore"].queries_that_the_fit_saw == 100


def test_it_is_fitted_once_for_each_official_gallery_and_for_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []

    def counted(name: str, *given: Any) -> Row:
        fitted.append(name)
        return neighbour_row(name, *given)

    monkeypatch.setattr(splits, "neighbour_row", counted)
    more = frozenset([*TEST, min(TRAIN)])
    part, drawn = replace(TWO, name="official2, debiased"), Split("random", more, TRAIN - more)
    mutual = replace(MEASURED, mutual_proximity=True)
    found = measured(tmp_path, ONE, part, TWO, THREE, drawn, settings=mutual).protocols
    assert fitted == [CLOSED_FORM], "the third has the gallery of the first, the part that of the second"
    assert CLOSED_FORM in found.splits["official2, debiased"].rows
    assert {*found.splits["random"].rows} == {*found.splits["official1"].rows} - {CLOSED_FORM}
    assert found.official is not None, "parts of an official split take nothing from the three"
    spread = found.official[CLOSED_FORM].r_at_1
    assert spread is not None
    figures = [found.splits[f"official{n}"].rows[CLOSED_FORM].recalls.r_at_1 for n in (1, 2, 3)]
    assert spread.mean == pytest.approx(np.mean(figures))


def test_without_an_official_split_it_is_on_the_own_one_alone(tmp_path: Path) -> None:
    own, other = replace(ONE, name="groups"), replace(TWO, name="random")
    found = measured(tmp_path, own, other).protocols
    assert [CLOSED_FORM in found.splits[name].rows for name in ("groups", "random")] == [True, False]
    assert found.official is None
