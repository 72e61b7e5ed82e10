"""How far a stage is, in one line that fits: what is done, how fast, and how long it takes. Nothing is printed here."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

WINDOW_S = 5.0  # that the present rate is taken over
LEAST_S = 1.0  # of work, before anything is said of the time that is left
SPECIAL = ("rows", "row", "failed", "bottleneck", "at")  # figures that are told in words of their own
AT = "at"  # the part of a stage that it is at, where these are no units of its work


@dataclass(slots=True)
class Meter:
    """The work of a stage; times are seconds of one clock, given with each report.

    The time that is left follows from what was done since the first unit was finished: loading a backbone, compiling,
    or what an interrupted run had done already says nothing of it.
    """

    stage: str
    total: int
    unit: str
    begun: float
    done: int = 0
    share: float = 0.0  # of the work
    figures: dict[str, float | str] = field(default_factory=dict)
    first: tuple[float, float] | None = None  # time and share when the first unit was finished
    window: deque[tuple[float, float]] = field(default_factory=deque)  # (time, rows or units done by then)

    def advance(self, now: float, done: int, share: float | None, figures: Mapping[str, float | str]) -> None:
        """``done`` further units are finished."""
        self.done += done
        self.share = self.done / max(self.total, 1) if share is None else share
        self.figures = dict(figures)
        if self.first is None and self.share > 0:
            self.first = (now, self.share)
        self.window.append((now, float(figures.get("rows", self.done))))
        while now - self.window[0][0] > WINDOW_S and len(self.window) > 2:
            self.window.popleft()

    def seconds_left(self, now: float) -> float | None:
        """None while that cannot be said."""
        if self.first is None or not 0 < self.share < 1:
            return None
        begun, before = self.first
        worked = self.share - before
        if now - begun < LEAST_S or worked <= 0:
            return None
        return (now - begun) * (1 - self.share) / worked

    def parts(self, now: float) -> list[str]:
        """What is to be said, what matters most first."""
        if AT in self.figures:
            return [str(self.figures[AT]), *self._own_figures()]
        left = self.seconds_left(now)
        rows = self.figures.get("rows")
        said = [
            f"{self.done:,} of {self.total:,} {self.unit}",
            "" if left is None else f"{duration(left)} left",
            self._failed(),
            self._rate(now),
            *self._own_figures(),
            "" if rows is None else f"{short(float(rows))} {self._rows()}",
            f"bound by {self.figures['bottleneck']}" if self.figures.get("bottleneck") else "",
        ]
        return [part for part in said if part]

    def _failed(self) -> str:
        failed = self.figures.get("failed")
        return f"{short(float(failed))} failed" if failed else ""

    def _rows(self) -> str:
        """Frames, or windows of a clip backbone."""
        return f"{self.figures.get('row', 'frame')}s"

    def _own_figures(self) -> list[str]:
        return [f"{n} {short(value)}" for n, value in self.figures.items() if n not in SPECIAL and value != ""]

    def _rate(self, now: float) -> str:
        """Of the last seconds, once there are some."""
        if not self.window:
            return ""
        unit = self._rows() if "rows" in self.figures else self.unit
        (first_s, before), (last_s, count) = self.window[0], self.window[-1]
        if last_s - first_s < LEAST_S:
            rate = count / max(now - self.begun, 1e-9)
        else:  # rows may be taken back when a job is shared out
            rate = max(count - before, 0.0) / (last_s - first_s)
        return f"{rate:,.0f} {unit}/s" if rate >= 10 or not rate else f"{rate:.2g} {unit}/s"


def fitting(parts: Sequence[str], width: int) -> str:
    """As many parts as fit, the first ones first, none of them cut; the first one always."""
    line = ""
    for part in parts:
        longer = f"{line}, {part}" if line else part
        if line and len(longer) > width:
            break
        line = longer
    return line


def duration(seconds: float) -> str:
    """``12 s``, ``3 min 05 s``, ``2 h 07 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def short(value: float | str) -> str:
    """A figure in a few digits."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"
