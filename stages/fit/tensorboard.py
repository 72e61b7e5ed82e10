"""Curves for TensorBoard, where it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from ...data.errors import ConfigError
from ...data.progress import Progress


class Curves(Protocol):
    """Where the scalars of a run are drawn from."""

    def add(self, group: str, row: Mapping[str, float]) -> None:
        """Figures of the step that ``row`` names."""

    def close(self) -> None:
        """No more will come."""


class NoCurves:
    """Curves that are not wanted, or cannot be drawn."""

    def add(self, group: str, row: Mapping[str, float]) -> None:
        """Forget the scalars of a step."""

    def close(self) -> None:
        """There is nothing to close."""


class TensorBoardCurves:
    """Event files in ``folder``; a resumed run goes on in a file of its own, later steps winning."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def add(self, group: str, row: Mapping[str, float]) -> None:
        """Write the scalars of a step, by name."""
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(f"{group}/{name}", value, int(row["step"]))

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._writer.close()


def make_curves(wish: str, folder: Path, progress: Progress) -> Curves:
    """Curves as ``fit.tensorboard`` wishes.

    Raises:
        ConfigError: if they are wished for and TensorBoard is not installed.
    """
    installed = find_spec("tensorboard") is not None
    if wish == "on" and not installed:
        raise ConfigError(
            'fit.tensorboard = "on", but it is not installed: pip install \'mofore[tensorboard]\', or set it to "auto"'
        )
    if wish == "off" or not installed:
        return NoCurves()
    progress.note(f"curves: tensorboard --logdir {folder / 'tensorboard'}")
    return TensorBoardCurves(folder / "tensorboard")
