"""Charts as inline SVG: their colours are the page's (light, dark, in print), their text can be read aloud.

No library: the handful of kinds that a report needs is less code than driving one, and a page of 50 kB stays one; the
map alone is drawn by the page itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from ...data.figures import Interval

WIDTH, HEIGHT = 360, 210  # of a chart, in its own pixels: what a phone shows
LETTER = 6.6  # width of a letter of a name, on average
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 38
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 4", "12 4")
COLOURS = 6


@dataclass(frozen=True, slots=True)
class Line:
    """A named line; points whose y is None are left out."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]

    def points(self) -> list[tuple[float, float]]:
        """Those that are known."""
        return [(x, y) for x, y in zip(self.x, self.y, strict=True) if y is not None and np.isfinite(y)]


@dataclass(frozen=True, slots=True)
class Axes:
    """What stands at the axes."""

    x: str
    y: str
    zero: bool = False  # whether a line is drawn at y = 0
    marks: tuple[float, ...] = ()  # x that are marked, such as alarms


def line_chart(title: str, lines: Sequence[Line], axes: Axes) -> Markup:
    """Lines that differ in colour and in dashes; empty where no point is known."""
    lines = [line for line in lines if line.points()]
    if not lines:
        return Markup("")
    x_all, y_all = zip(*(point for line in lines for point in line.points()), strict=True)
    frame = _Frame.of(x_all, (*y_all, *((0.0,) if axes.zero else ())))
    parts = [frame.axes(axes)]
    for number, line in enumerate(lines):
        path = " ".join(f"{frame.left(x):.1f},{frame.top(y):.1f}" for x, y in line.points())
        dash = f' stroke-dasharray="{DASHES[number % COLOURS]}"' if number else ""
        parts.append(f'<polyline class="line s{number % COLOURS}" points="{path}"{dash}/>')
        if len(line.points()) < 40:
            parts += [
                f'<circle class="dot s{number % COLOURS}" cx="{frame.left(x):.1f}" cy="{frame.top(y):.1f}" r="3">'
                f"<title>{escape(line.name)}: {y:.4g} at {x:.4g}</title></circle>"
                for x, y in line.points()
            ]
    ends = "; ".join(f"{line.name} from {line.points()[0][1]:.3g} to {line.points()[-1][1]:.3g}" for line in lines)
    names = [line.name for line in lines] if len(lines) > 1 else []
    return _figure(title, parts, _legend(names, dashed=True), f"{title}. {ends}")


def histogram(
    title: str, samples: Mapping[str, Sequence[float]], x: str, marks: Mapping[str, float] | None = None
) -> Markup:
    """Shares of one or several samples in the same bins; ``marks`` are values that are drawn beside them."""
    known = {name: np.asarray(values, np.float64) for name, values in samples.items() if len(values)}
    if not known:
        return Markup("")
    marks = marks or {}
    every = np.concatenate([*known.values(), np.array(list(marks.values()), np.float64)])
    low, high = float(every.min()), float(every.max())
    edges = np.linspace(low, high if high > low else low + 1.0, 31)
    shares = {name: 100.0 * np.histogram(values, edges)[0] / len(values) for name, values in known.items()}
    frame = _Frame.of(edges.tolist(), [0.0, max(float(share.max()) for share in shares.values())])
    parts = [frame.axes(Axes(x, "% of them"))]
    for number, share in enumerate(shares.values()):
        parts += [
            f'<rect class="bar s{number}" x="{frame.left(edges[bin]):.1f}" y="{frame.top(value):.1f}" '
            f'width="{frame.left(edges[bin + 1]) - frame.left(edges[bin]):.1f}" '
            f'height="{max(frame.top(0.0) - frame.top(value), 0.0):.1f}"/>'
            for bin, value in enumerate(share.tolist())  # noqa: A001
            if value
        ]
    for number, (name, value) in enumerate(marks.items()):
        at = frame.left(value)
        parts.append(
            f'<line class="mark s{number}" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}">'
            f"<title>{escape(name)} {value:.2f}</title></line>"
        )
    told = "; ".join(
        f"{name}: median {np.median(values):.3g}, {values.min():.3g} to {values.max():.3g}, n = {len(values):,}"
        for name, values in known.items()
    )
    legend = _legend(list(known) if len(known) > 1 or marks else [])
    legend += _legend([f"{name} {value:.2f}" for name, value in marks.items()], dashed=True, first=1)
    return _figure(title, parts, legend, f"{title}. {told}")


@dataclass(frozen=True, slots=True)
class Whisker:
    """A value and its interval."""

    name: str
    value: float
    interval: Interval | None = None
    learnt: bool = True


def whiskers(title: str, rows: Sequence[Whisker], x: str) -> Markup:
    """Values with their intervals, one below the other."""
    if not rows:
        return Markup("")
    ends = [end for row in rows for end in (row.value, *(row.interval or ()))]
    ticks = _ticks(min(*ends, ends[0]), max(ends))
    step, height = 24, 24 * len(rows) + TOP + BOTTOM
    left = min(max(142.0, LETTER * max(len(row.name) for row in rows) + 12), WIDTH / 2)
    low, high = min(*ticks, *ends), max(*ticks, *ends)

    def at(value: float) -> float:
        return left + float(value - low) / ((high - low) or 1.0) * (WIDTH - left - RIGHT - 8)

    parts = [
        f'<line class="grid" x1="{at(tick):.1f}" x2="{at(tick):.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>'
        f'<text class="tick" x="{at(tick):.1f}" y="{height - BOTTOM + 14}" text-anchor="middle">{tick:g}</text>'
        for tick in ticks
    ]
    parts.append(f'<text class="tick" x="{WIDTH - RIGHT}" y="{height - 6}" text-anchor="end">{escape(x)}</text>')
    for number, row in enumerate(rows):
        y, colour = TOP + step * number + step / 2, "s0" if row.learnt else "s1"
        name = escape(_short(row.name, int((left - 12) / LETTER)))
        parts.append(f'<text class="name" x="{left - 8:.1f}" y="{y + 4}" text-anchor="end">{name}</text>')
        if row.interval:
            ends_at = f'x1="{at(row.interval[0]):.1f}" x2="{at(row.interval[1]):.1f}"'
            parts.append(f'<line class="line {colour}" {ends_at} y1="{y}" y2="{y}"/>')
        shape = (
            f'<circle class="dot {colour}" cx="{at(row.value):.1f}" cy="{y}" r="5">'
            if row.learnt
            else f'<rect class="dot {colour}" x="{at(row.value) - 4.5:.1f}" y="{y - 4.5}" width="9" height="9">'
        )
        parts.append(f"{shape}<title>{escape(row.name)}: {row.value:.2f}</title></{shape[1:].split()[0]}>")
    told = "; ".join(f"{row.name} {row.value:.1f}" for row in rows)
    return _figure(title, parts, "", f"{title}. {told}", height=height)


def matrix(title: str, names: Sequence[str], counts: Sequence[Sequence[float]]) -> Markup:
    """Rows against columns, each row as shares of its sum; the diagonal is what is right."""
    size, left, top = len(names), 118, 74
    cell = (WIDTH - left - 34) / max(size, 1)
    parts = [
        f'<text class="tick" transform="translate({left + (column + 0.5) * cell + 2:.1f} {top - 4}) rotate(-50)">'
        f"{escape(_short(name, 16))}</text>"
        for column, name in enumerate(names)
    ]
    for row, values in enumerate(counts):
        total = sum(values)
        y = top + row * cell
        parts.append(
            f'<text class="tick" x="{left - 5}" y="{y + cell / 2 + 3:.1f}" text-anchor="end">'
            f"{escape(_short(names[row], 19))}</text>"
        )
        for column, value in enumerate(values):
            share = value / total if total else 0.0
            kind = "right" if row == column else "wrong"
            parts.append(
                f'<rect class="cell {kind}" x="{left + column * cell:.1f}" y="{y:.1f}" width="{cell - 1:.1f}" '
                f'height="{cell - 1:.1f}" fill-opacity="{0.06 + 0.94 * share:.2f}"><title>'
                f"{escape(names[row])} taken for {escape(names[column])}: {value:g} of {total:g}</title></rect>"
            )
            if value and cell > 18:
                strong = " strong" if share > 0.5 else ""
                parts.append(
                    f'<text class="count{strong}" x="{left + (column + 0.5) * cell - 0.5:.1f}" '
                    f'y="{y + cell / 2 + 3:.1f}" text-anchor="middle">{value:g}</text>'
                )
    height = round(top + size * cell + 4)
    right = sum(values[row] for row, values in enumerate(counts))
    total = sum(map(sum, counts))
    told = f"{title}. {right:g} of {total:g} on the diagonal"
    return _figure(title, parts, "", told, height=height)


@dataclass(frozen=True, slots=True)
class _Frame:
    """From data to the chart's pixels."""

    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]
    x_ends: tuple[float, float]
    y_ends: tuple[float, float]

    @classmethod
    def of(cls, x: Sequence[float], y: Sequence[float]) -> _Frame:
        x_ticks, y_ticks = _ticks(min(x), max(x)), _ticks(min(y), max(y))
        y_low, y_high = min(*y_ticks, *y), max(*y_ticks, *y)
        room = 0.0 if y_high > y_low else 0.5
        return cls(
            tuple(tick for tick in x_ticks if min(x) <= tick <= max(x)),
            tuple(y_ticks),
            (min(x), max(x) if max(x) > min(x) else min(x) + 1.0),
            (y_low - room, y_high + room),
        )

    def left(self, x: float) -> float:
        low, high = self.x_ends
        return LEFT + (float(x) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def top(self, y: float) -> float:
        low, high = self.y_ends
        return TOP + (high - float(y)) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def axes(self, axes: Axes) -> str:
        right, floor = WIDTH - RIGHT, HEIGHT - BOTTOM
        parts = [
            f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{self.top(tick):.1f}" y2="{self.top(tick):.1f}"/>'
            f'<text class="tick" x="{LEFT - 5}" y="{self.top(tick) + 3.5:.1f}" text-anchor="end">{_told(tick)}</text>'
            for tick in self.y_ticks
        ]
        parts += [
            f'<text class="tick" x="{self.left(tick):.1f}" y="{floor + 14}" text-anchor="middle">{_told(tick)}</text>'
            for tick in self.x_ticks
        ]
        if axes.zero:
            parts.append(
                f'<line class="zero" x1="{LEFT}" x2="{right}" y1="{self.top(0.0):.1f}" y2="{self.top(0.0):.1f}"/>'
            )
        parts += [
            f'<line class="alarm" x1="{self.left(x):.1f}" x2="{self.left(x):.1f}" y1="{TOP}" y2="{floor}"/>'
            for x in axes.marks
        ]
        parts.append(f'<text class="tick" x="{right}" y="{HEIGHT - 6}" text-anchor="end">{escape(axes.x)}</text>')
        parts.append(f'<text class="tick" x="2" y="{HEIGHT - 6}">{escape(axes.y)}</text>')
        return "".join(parts)


def _legend(names: Sequence[str], *, dashed: bool = False, first: int = 0) -> str:
    """A key for each name; ``first`` is the first dash, for lines that all have one."""
    return "".join(
        f'<span><svg class="key" viewBox="0 0 26 10" aria-hidden="true"><line class="line s{number % COLOURS}" x1="1" '
        f'x2="25" y1="5" y2="5" stroke-dasharray="{DASHES[max(number, first) % COLOURS] if dashed else ""}"/></svg>'
        f"{escape(name)}</span>"
        for number, name in enumerate(names)
    )


def _figure(title: str, parts: Sequence[str], legend: str, told: str, *, height: int = HEIGHT) -> Markup:
    """The chart below its title, with its legend, and what it says for those who do not see it."""
    return Markup(
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(told)}">{"".join(parts)}</svg>'
        + (f'<div class="legend">{legend}</div></figure>' if legend else "</figure>")
    )


def _ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers that reach over both ends."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** np.floor(np.log10(raw))
    step = float(next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999))
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [round(float(number * step), 12) for number in np.arange(first, last + 1)]


def _told(tick: float) -> str:
    return f"{tick:,.0f}" if abs(tick) >= 1000 else f"{tick:g}"


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
