"""The figures of a run for whoever keeps them: wandb, trackio, MLflow, or code of the user's own (``fit.tracker``)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from ...data.errors import ConfigError
from ...data.fit_settings import FitSettings
from ...data.progress import Progress
from .tensorboard import Curves, NoCurves


class Tracker(Protocol):
    """What the function that ``fit.tracker`` names returns; a run of wandb or trackio is one as it is."""

    def log(self, figures: dict[str, float], *, step: int) -> object:
        """Figures of a step, such as step/loss or validation/skill; steps never fall within one process."""

    def finish(self) -> object:
        """No more will come."""


class Tracked:
    """Figures handed to a tracker; one that fails is told of once and left, and the fit goes on."""

    def __init__(self, tracker: Tracker, progress: Progress) -> None:
        self._tracker: Tracker | None = tracker
        self._progress = progress

    def add(self, group: str, row: Mapping[str, float]) -> None:
        """Hand on the figures of a step, by group and name."""
        figures = {f"{group}/{name}": value for name, value in row.items() if name != "step"}
        self._call("log", figures, step=int(row["step"]))

    def close(self) -> None:
        """Let the tracker finish."""
        self._call("finish")

    def _call(self, method: str, *given: Any, **named: Any) -> None:
        if self._tracker is None:
            return
        try:
            getattr(self._tracker, method)(*given, **named)
        except Exception as error:  # noqa: BLE001 - another's code: no fit is lost since a server does not answer
            self._tracker = None
            self._progress.note(f"fit.tracker: {method} failed ({error!r}); the fit goes on without it")


def make_tracker(settings: FitSettings, folder: Path, progress: Progress) -> Curves:
    """What ``fit.tracker`` names, called with the fit's folder and its settings.

    Raises:
        ConfigError: if there is no such function, or it fails.
    """
    if not settings.tracker:
        return NoCurves()
    module, _, name = settings.tracker.partition(":")
    try:
        begin = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"fit.tracker = {settings.tracker!r} is not found ({error}): MODULE:FUNCTION is needed, of a module "
            "that Python finds; for one in this folder: PYTHONPATH=. mofore ..."
        ) from error
    try:
        return Tracked(begin(folder, settings.identity()), progress)
    except Exception as error:
        raise ConfigError(f"fit.tracker = {settings.tracker!r} failed ({error!r}): mend it, or leave it out") from error
