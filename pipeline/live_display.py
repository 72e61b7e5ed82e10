"""One line at the bottom of the terminal that moves while a stage works; everything else appears above it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from . import terminal
from .progress_text import Meter, fitting

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.live import Live
    from rich.table import Table

PLAIN_SECONDS = 10.0  # between lines where nothing can move
BAR = 16  # columns
REFRESHES = 4  # a second
NAME = 9  # columns of the stage, the space after it with it
PERCENT = 6  # columns


class Display:
    """Shows the innermost of the pieces of work that are under way; plain lines where nothing can move."""

    def __init__(self, console: RichConsole | None = None) -> None:
        """An own ``console`` of rich is for tests; None: that of stderr, where that is a terminal."""
        self._given = console
        self._live: Live | None = None
        self._meters: list[Meter] = []
        self._shown = time.monotonic()

    def start(self, stage: str, total: int, unit: str) -> None:
        """A piece of work begins, perhaps within another one."""
        now = time.monotonic()
        self._meters.append(Meter(stage, total, unit, begun=now))
        self._shown = now
        if self._live is None and (self._given is not None or terminal.can_be_live()):
            self._open()

    def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:
        """``done`` further units of the innermost one are finished."""
        if not self._meters:
            return
        now, meter = time.monotonic(), self._meters[-1]
        meter.advance(now, done, share, figures)
        if self._live is None and now - self._shown >= PLAIN_SECONDS:
            self._shown = now
            terminal.say(f"{meter.stage:<8} {f'{100 * meter.share:.0f} %':<10} {', '.join(meter.parts(now))}")

    def finish(self) -> None:
        """The innermost piece of work is over."""
        if self._meters:
            self._meters.pop()
        if not self._meters:
            self.close()

    def close(self) -> None:
        """Take the line away."""
        self._meters.clear()
        live, self._live = self._live, None
        if live is not None:
            terminal.go_live(None)
            live.stop()

    def _open(self) -> None:
        from rich.console import Console as RichConsole
        from rich.live import Live

        console = self._given or RichConsole(stderr=True)
        live = Live(get_renderable=self.line, console=console, transient=True, refresh_per_second=REFRESHES)
        live.start()
        self._live = live
        terminal.go_live(console)

    def line(self) -> Table | str:
        """What is shown now: stage, bar, percent, and as many words as fit in one line."""
        if not self._meters:
            return ""
        from rich.console import Console as RichConsole
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        meter = self._meters[-1]
        console = self._live.console if self._live is not None else RichConsole(stderr=True)
        bar = min(BAR, console.width // 5)
        table = Table.grid()
        for width in (NAME, bar, PERCENT, None):
            table.add_column(width=width, no_wrap=True, overflow="crop")
        room = console.width - NAME - bar - PERCENT - 2  # a terminal may break a line that ends in its last column
        words = fitting(meter.parts(time.monotonic()), room)
        percent = f" {100 * meter.share:3.0f} %"[:PERCENT] if meter.first else ""
        table.add_row(Text(meter.stage), ProgressBar(1.0, meter.share, width=bar), percent, Text(f" {words}"))
        return table
