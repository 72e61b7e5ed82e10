"""The line that moves: one line at any width, notes above it, nothing left of it, and a time that is worth reading."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console as RichConsole

from mofore.pipeline import live_display, terminal
from mofore.pipeline.live_display import Display
from mofore.pipeline.progress_text import Meter, duration, fitting, short

CONTROL = re.compile(r"\x1b\[(\??\d*(?:;\d+)*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


def screen(written: str) -> list[str]:
    """What a terminal shows after that; of the controls that rich uses."""
    lines, row, column = [""], 0, 0
    for number, code, back, new, text in CONTROL.findall(written):
        if back:
            column = 0
        elif new:
            row, column = row + 1, 0
            lines += [""] if row == len(lines) else []
        elif code == "A":
            row -= int(number or 1)
        elif code == "K":
            lines[row] = ""
        elif text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
    return [line.rstrip() for line in lines]


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(live_display, "time", clock)
    return clock


def console(width: int) -> tuple[RichConsole, io.StringIO]:
    written = io.StringIO()
    return RichConsole(file=written, force_terminal=True, width=width, color_system=None, legacy_windows=False), written


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_it_is_one_line_and_no_figure_is_cut(clock: Clock, width: int) -> None:
    display = Display(console(width)[0])
    display.start("evaluate", 1_234_567, "videos")
    clock.now += 1
    display.advance(1000, rows=1_000_000.0, failed=12.0, bottleneck="preprocess", loss=0.123456)
    clock.now += 60
    display.advance(400_000, rows=45_678_901.0, row="window", failed=1234.0, bottleneck="preprocess", loss=0.123456)
    rich, written = console(width)
    rich.print(display.line())
    (line,) = written.getvalue().splitlines()
    display.close()
    assert len(line) < width
    assert "401,000 of 1,234,567 videos" in line
    assert "evaluate" in line
    assert "32 %" in line
    for part in line.split("videos, ")[1].split(", ") if width > 60 else ():
        assert re.fullmatch(
            r"2 min 05 s left|1,234 failed|[\d,]+ windows(/s)?|loss 0.1235|bound by preprocess", part
        ), part


def test_notes_appear_above_it_and_nothing_is_left(clock: Clock) -> None:
    rich, written = console(80)
    display = Display(rich)
    terminal.begin("usual")
    display.start("fit", 300, "steps")
    for step in range(1, 4):
        clock.now += 2
        display.advance(1, loss=step / 10)
        assert display._live is not None
        display._live.refresh()
        terminal.say(f"a note after step {step}")
        display._live.refresh()
    before = screen(written.getvalue())
    assert before[:3] == [f"a note after step {step}" for step in (1, 2, 3)]
    assert before[3].startswith("fit")
    assert "3 of 300 steps" in before[3]
    assert sum("of 300 steps" in line for line in before) == 1, "no ghost of an earlier one"
    display.finish()
    terminal.go_live(None)
    after = screen(written.getvalue())
    assert [line for line in after if line] == [f"a note after step {step}" for step in (1, 2, 3)]


def test_work_within_work_has_the_line_until_it_is_over(clock: Clock) -> None:
    rich, written = console(80)
    display = Display(rich)
    display.start("extract", 10, "videos")
    display.advance(4)
    display.start("sort", 2, "shards")
    display.advance(1)
    rich.print(display.line())
    display.finish()
    rich.print(display.line())
    display.close()
    shown = [line for line in screen(written.getvalue()) if " of " in line]
    assert any(line.startswith("sort") and "1 of 2 shards" in line for line in shown)
    assert any(line.startswith("extract") and "4 of 10 videos" in line for line in shown)
    display.finish()  # more often than begun: nothing happens
    display.advance(1)


def test_the_part_that_a_stage_is_at_is_shown_in_place_of_counts() -> None:
    meter = Meter("evaluate", 200, "videos", begun=0.0)
    meter.advance(5.0, 0, 0.25, {"at": "intervals and probes"})
    assert meter.parts(6.0) == ["intervals and probes"]


def test_the_time_that_is_left_leaves_start_up_out() -> None:
    meter = Meter("extract", 100, "videos", begun=0.0)
    assert meter.seconds_left(30.0) is None
    meter.advance(30.0, 10, None, {})  # half a minute of loading, and what was done before
    assert meter.seconds_left(30.5) is None, "too early to say"
    meter.advance(40.0, 10, None, {})  # ten videos in ten seconds
    assert meter.seconds_left(40.0) == pytest.approx(80.0)
    meter.advance(120.0, 80, None, {})
    assert meter.seconds_left(120.0) is None, "done"


def test_parts_are_left_out_whole() -> None:
    assert fitting(["12,345 of 99,999 videos", "3 s left", "7 frames/s"], 35) == "12,345 of 99,999 videos, 3 s left"
    assert fitting(["longer than there is room"], 5) == "longer than there is room"
    assert fitting([], 5) == ""


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (65, "1 min 05 s"), (3599.6, "1 h 00 min"), (7380, "2 h 03 min")]
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_figures_are_short() -> None:
    assert [short(value) for value in (12345.0, 0.123456, 1.5e-7, "gloo")] == ["12,345", "0.1235", "1.5e-07", "gloo"]
