"""What a stage may tell its user while it works; the console decides how it looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """A sink for progress. Stages never print."""

    def start(self, stage: str, total: int, unit: str) -> None:
        """A stage begins ``total`` units of work."""

    def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:
        """``done`` further units are finished.

        Args:
            done: may be 0.
            share: of the work that is done by now, in [0, 1], where units are of unequal size.
            figures: current values worth showing; "rows" are what the rate is of, and "row" says what one is.
        """

    def pulse(self) -> None:
        """Called often, where it is safe to stop: raises KeyboardInterrupt if the user asked to."""

    def note(self, message: str) -> None:
        """One line worth reading."""

    def finish(self) -> None:
        """The stage that was started is over."""


@contextmanager
def under_way(progress: Progress, stage: str, total: int, unit: str) -> Iterator[None]:
    """A block of ``total`` units of work: told when it begins, and when it is over, whatever ends it."""
    progress.start(stage, total, unit)
    try:
        yield
    finally:
        progress.finish()


class Silent:
    """A progress sink that shows nothing."""

    def start(self, stage: str, total: int, unit: str) -> None:
        """The work that begins is not shown."""

    def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:
        """What is done is not shown."""

    def pulse(self) -> None:
        """Never stop: there is nobody who could ask for it."""

    def note(self, message: str) -> None:
        """The line is dropped."""

    def finish(self) -> None:
        """There is nothing to take away from a screen."""


class Stoppable:
    """Ends a run at its next safe point when the user asks to."""

    _stopping = False

    def stop(self) -> None:
        """The user asked to stop: at the next safe point, or, asked again, at once."""
        if self._stopping:
            raise KeyboardInterrupt
        self._stopping = True

    def pulse(self) -> None:
        """Stop here, at a safe point, if the user asked to: raises KeyboardInterrupt."""
        if self._stopping:
            raise KeyboardInterrupt
