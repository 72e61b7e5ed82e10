"""``fit.tracker``: one function, told the figures of a fit."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from mofore.data.errors import ConfigError
from mofore.data.fit_settings import FitSettings
from mofore.data.progress import Silent
from mofore.stages.fit import tracker
from mofore.stages.fit.tensorboard import NoCurves


class Kept:
    """A tracker that keeps what it is told."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder, self.settings, self.finished = folder, settings, 0
        self.told: list[tuple[int, dict[str, float]]] = []
        self.broken = False
        KEPT.append(self)

    def log(self, figures: dict[str, float], *, step: int) -> None:
        if self.broken:
            raise OSError("no answer")
        self.told.append((step, figures))

    def finish(self) -> None:
        self.finished += 1


KEPT: list[Kept] = []


@pytest.fixture(autouse=True)
def tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    KEPT.clear()
    module = types.ModuleType("tracking_module")
    module.begin = Kept  # type: ignore[attr-defined]
    module.failing = lambda *_given: 1 / 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tracking_module", module)


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_none_is_asked_for_by_default(tmp_path: Path) -> None:
    assert isinstance(tracker.make_tracker(FitSettings(), tmp_path, Silent()), NoCurves)


def test_figures_are_told_by_group_and_step(tmp_path: Path) -> None:
    made = tracker.make_tracker(FitSettings(tracker="tracking_module:begin", lr=0.5), tmp_path, Silent())
    made.add("step", {"step": 100.0, "loss": 0.5})
    made.close()
    (kept,) = KEPT
    assert kept.told == [(100, {"step/loss": 0.5})]
    assert (kept.folder, kept.settings["lr"], kept.finished) == (tmp_path, 0.5, 1)


def test_one_that_fails_is_told_of_once_and_left(tmp_path: Path) -> None:
    notes = Notes()
    made = tracker.make_tracker(FitSettings(tracker="tracking_module:begin"), tmp_path, notes)
    KEPT[0].broken = True
    for step in range(3):
        made.add("step", {"step": step, "loss": 0.5})
    made.close()
    assert notes.notes == ["fit.tracker: log failed (OSError('no answer')); the fit goes on without it"]
    assert KEPT[0].finished == 0


@pytest.mark.parametrize("name", ["no_such_module:begin", "tracking_module:nothing", "tracking_module:failing"])
def test_one_that_cannot_begin_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"fit.tracker = '{name}'"):
        tracker.make_tracker(FitSettings(tracker=name), tmp_path, Silent())


def test_a_name_without_a_function_is_refused() -> None:
    with pytest.raises(ConfigError, match="MODULE:FUNCTION is needed"):
        FitSettings(tracker="tracking_module")
