"""What the user sees: one line per stage, a progress view, tables. The only module that prints.

rich is imported where a bar or a table is drawn; the lines of a run with nothing to do need none of it.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import textwrap
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..data.metrics import Metrics
from ..data.progress import Stoppable
from ..data.types import Failure
from ..data.wording import counted, size_text
from .show.metric_tables import metric_tables
from .show.table_layout import TableText, fitted
from .stage import StagePlan

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from ..stages.extract.estimate import Estimate
    from ..stages.search.searcher import Answer
    from .commands.gc import Listing
    from .commands.verify import Findings

MOST_NAMES = 20  # of the videos that a damaged shard loses
PLAIN_SECONDS = 10.0  # between progress lines where there is no terminal
LONG_S = 12 * 3600.0  # extraction that takes longer wants advice
WIDE = 132  # columns of a table where there is no terminal
COLUMNS = ("rank", "video_id", "label", "group", "start_s", "end_s", "similarity", "distance", "right")  # of --csv
WINDOW_S = 5.0  # that the present rate is taken over


class Console(Stoppable):
    """Shows a run. Messages go to stderr, results (tables, JSON) to stdout."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._stage, self._unit = "", ""
        self._total = self._done = 0
        self._share = 0.0
        self._begin = self._shown = 0.0
        self._window: deque[tuple[float, float]] = deque()  # (time, frames or steps done by then)

    def stop(self) -> None:
        """The user asked to stop: at the next safe point, or, asked again, at once."""
        super().stop()
        self.note("stopping at the next safe point (once more: at once)")

    def skipped(self, plan: StagePlan) -> None:
        """A stage is up to date."""
        _line(plan.stage, "up to date", f"({plan.summary})")

    def begins(self, plan: StagePlan) -> None:
        """A stage is about to run."""
        self._stage = plan.stage
        todo = f"{counted(plan.todo, plan.unit.removesuffix('s'), plan.unit)}: " if plan.todo else ""
        _line(plan.stage, plan.action, todo + "; ".join(map(str, plan.reasons)))

    def done(self, plan: StagePlan, seconds: float, summary: str) -> None:
        """A stage finished: what it made, in so many seconds."""
        _line(plan.stage, "done", f"{summary} in {seconds:.1f} s")

    def start(self, stage: str, total: int, unit: str) -> None:
        """Open the progress view of a stage."""
        self._stage, self._unit, self._total, self._done, self._share = stage, unit, total, 0, 0.0
        self._begin = self._shown = time.monotonic()
        self._window.clear()
        if sys.stderr.isatty():
            self._open_bar()

    def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:
        """Show that ``done`` further units are finished."""
        self._done += done
        self._share = self._done / max(self._total, 1) if share is None else share
        now = time.monotonic()
        self._window.append((now, float(figures.get("frames", self._done))))
        while now - self._window[0][0] > WINDOW_S and len(self._window) > 2:
            self._window.popleft()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._share, text=self._text(now, figures))
        elif now - self._shown >= PLAIN_SECONDS:
            self._shown = now
            _line(self._stage, f"{100 * self._share:.0f} %", self._text(now, figures))

    def note(self, message: str) -> None:
        """One line worth reading."""
        _line(self._stage, "", message)

    def finish(self) -> None:
        """Close the progress view."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = None

    def _open_bar(self) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
        from rich.table import Column

        columns = (
            "{task.description}",
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}", table_column=Column(ratio=1)),
        )
        self._bar = Progress(*columns, console=RichConsole(stderr=True), transient=True, expand=True)
        self._task = self._bar.add_task(self._stage, total=1.0, text="")
        self._bar.start()

    def _text(self, now: float, figures: dict[str, float | str]) -> str:
        """What is done, how fast now and on average, the time left, and the stage's own figures."""
        parts = [f"{self._done:,} of {self._total:,} {self._unit}"]
        if "frames" in figures:
            parts.append(f"{_short(float(figures['frames']))} frames")
        parts += [self._rates(now, "frames" if "frames" in figures else self._unit), self._time_left(now)]
        if "bottleneck" in figures:
            parts.append(f"bound by {figures['bottleneck']}")
        if figures.get("failed"):
            parts.append(f"{_short(float(figures['failed']))} failed")
        shown = ("frames", "failed", "bottleneck")
        parts += [f"{name} {_short(value)}" for name, value in figures.items() if name not in shown and value != ""]
        return ", ".join(filter(None, parts))

    def _rates(self, now: float, unit: str) -> str:
        (first_s, before), (last_s, count) = self._window[0], self._window[-1]
        average = count / max(now - self._begin, 1e-9)
        if last_s - first_s < 1.0:
            return f"{average:,.0f} {unit}/s"
        now_rate = max(count - before, 0.0) / (last_s - first_s)  # frames may be taken back when a job is shared out
        return f"{now_rate:,.0f} {unit}/s now, {average:,.0f} on average"

    def _time_left(self, now: float) -> str:
        if not 0 < self._share < 1:
            return ""
        return f"{_duration((now - self._begin) * (1 - self._share) / self._share)} left"


def show_plan(plan: Mapping[str, StagePlan], failures: Sequence[Failure]) -> None:
    """What ``mofore status`` says: what each stage would do and why, and which videos could not be read."""
    for stage in plan.values():
        todo = f"{stage.todo:,} {stage.unit}: " if stage.todo else ""
        told = f"up to date ({stage.summary})" if stage.action == "skip" else todo + "; ".join(map(str, stage.reasons))
        click.echo(f"{stage.stage:<8} {stage.action:<8} {told}")
    for failure in failures:
        what = "without pictures" if failure.is_no_video else "unreadable"
        click.echo(f"{what}: {_printable(failure.video_id)}: {failure.reason}")


def plan_as_json(plan: Mapping[str, StagePlan], failures: Sequence[Failure]) -> str:
    """The same for a program, as ``mofore status --json`` prints it."""
    stages = {
        name: {"action": stage.action, "reasons": [str(reason) for reason in stage.reasons], "todo": stage.todo}
        for name, stage in plan.items()
    }
    unreadable = [{"video_id": failure.video_id, "reason": failure.reason} for failure in failures]
    return json.dumps({"stages": stages, "unreadable": unreadable}, indent=2)


def show_failures(failures: Sequence[Failure], most: int = 20) -> None:
    """Videos that could not be read: the reasons, the most frequent first, then each video; files of sound apart."""
    soundtracks = [failure.video_id for failure in failures if failure.is_no_video]
    if soundtracks:
        more = ", ..." if len(soundtracks) > 3 else ""
        names = ", ".join(map(_printable, soundtracks[:3])) + more
        say(f"note: files without pictures (sound alone?), passed over: {len(soundtracks):,} ({names})")
    failures = [failure for failure in failures if not failure.is_no_video]
    if not failures:
        return
    click.echo(f"{counted(len(failures), 'video')} could not be read:", err=True)
    if len(failures) > 1:
        counts = Counter(failure.reason for failure in failures)
        for reason, count in counts.most_common(8):
            click.echo(f"  {count:6,d} x {_printable(reason)}", err=True)
    for failure in failures[:most]:
        click.echo(f"  {_printable(failure.video_id)}: {_printable(failure.reason)}", err=True)
    if len(failures) > most:
        click.echo(f"  and {len(failures) - most:,} more: mofore status lists all", err=True)


def show_metrics(metrics: Metrics) -> None:
    """The metrics of an index, each beside its baselines."""
    show_tables(metric_tables(metrics))


def show_tables(tables: Sequence[TableText]) -> None:
    """Tables and lines, one below the other."""
    from rich import box
    from rich.console import Console as RichConsole
    from rich.table import Table

    told_width = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    console = RichConsole(width=shutil.get_terminal_size().columns if told_width else WIDE)
    for title, columns, rows in (part for whole in tables for part in fitted(whole, console.width)):
        if title:
            click.echo(_wrapped(title, console.width) if told_width else title)
        if not columns:
            click.echo()
            continue
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1))
        for number, column in enumerate(columns):
            is_name = number == 0 or column == "embedding"
            table.add_column(column, justify="left" if is_name else "right", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        console.print(table)


def show_answer(answer: Answer) -> None:
    """The answer of a search."""
    for note in answer.notes:
        say(f"note: {_printable(note)}")
    click.echo(f"nearest to {_printable(answer.query)}")
    width = max((len(_printable(found.video_id)) for found in answer.neighbours), default=0)
    for found in answer.neighbours:
        name, label = _printable(found.video_id), _printable(found.label or "")
        seconds = "" if found.start_s is None else f"{found.start_s:8.2f} -{found.end_s or 0:8.2f} s  "
        distance = "" if found.distance is None else f"{found.distance:7.4f}  "
        wrong = "  (other class)" if found.right is False else ""
        click.echo(
            f"{found.rank:4d}  {found.similarity:7.4f}  {distance}{seconds}{name:<{width}}  {label}{wrong}".rstrip()
        )


def answer_as_json(answer: Answer, *, indent: int | None = 2) -> str:
    """`mofore search --json`; in one line, where ``indent`` is None."""
    found = [asdict(neighbour) for neighbour in answer.neighbours]
    if all(each["metadata"] is None for each in found):
        found = [{name: value for name, value in each.items() if name != "metadata"} for each in found]
    head = {"query": answer.query, "label": answer.label, "space": answer.space, "level": answer.level}
    return json.dumps({**head, "notes": answer.notes, "neighbours": found}, indent=indent)


def answer_as_csv(answer: Answer) -> str:
    """`mofore search --csv`: a row for each neighbour."""
    rows = (asdict(found) for found in answer.neighbours)
    return as_csv(["query", *COLUMNS], ([answer.query, *(row[name] for name in COLUMNS)] for row in rows))


def as_csv(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue()


def write_text(text: str) -> None:
    """To stdout as it is, names that are no valid text with their own bytes."""
    click.echo(text.encode("utf-8", "surrogateescape"), nl=False)


def typed_queries() -> Iterator[str]:
    """Lines that are typed, or come through a pipe, until Ctrl-D; empty ones are passed over."""
    prompt = "search> " if sys.stdin.isatty() else ""
    if prompt:
        with suppress(ImportError):
            import readline  # noqa: F401 - gives input() a history and arrow keys
        say('a video of the index, a file, "text: ..."; several with " + " between; Ctrl-D ends')
    while True:
        try:
            line = input(prompt).strip()
        except EOFError:
            if prompt:
                say("")  # what comes next begins a line
            return
        if line:
            yield line


def show_lines(lines: Sequence[str]) -> None:
    """Lines of a result, to stdout."""
    for line in lines:
        click.echo(_printable(line))


def say(message: str) -> None:
    """A line to stderr."""
    click.echo(message, err=True)


def say_note(message: str) -> None:
    """What the user should know, as a line to stderr."""
    say(f"note: {message}")


def show_estimate(estimate: Estimate) -> None:
    """How long extraction would take, and a warning if there is no GPU for it."""
    for note in estimate.notes:
        say(f"note: {_printable(note)}")
    seconds, on_gpu = estimate.seconds, estimate.devices[0].type == "cuda"
    where = f"{counted(len(estimate.devices), 'GPU')}" if on_gpu else "the processor"
    if not on_gpu:
        say("warning: no GPU found, or none allowed: extraction runs on the processor")
    say(
        f"extraction on {where}: about {estimate.frames:,} frames at about {estimate.frames_per_s:,.0f} frames/s "
        f"({estimate.arithmetic}, measured on {estimate.measured_frames}), that is {_duration(seconds)}; "
        f"the features take {size_text(estimate.store_bytes)}"
    )
    if seconds > LONG_S:
        say(
            "that is long: a lighter backbone (timm:mobilenetv3_small_100), a smaller extract.image_size, or fewer "
            "frames (extract.stride = 2, extract.fps) make it shorter; it can be interrupted and goes on"
        )


def show_error(message: str) -> None:
    """An error of the user's, in one place and one form."""
    click.echo(f"{click.style('error:', fg='red', bold=True)} {_printable(message)}", err=True)


def _line(stage: str, what: str, text: str) -> None:
    line = f"{stage:<8} {what:<10} {_printable(text)}"
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else 0
    click.echo(_wrapped(line, width, indent=20) if width > 40 else line, err=True)


def _wrapped(text: str, width: int, *, indent: int = 0) -> str:
    """Text in lines that break between words."""
    return textwrap.fill(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def _printable(text: str) -> str:
    """File names need not be valid text; odd bytes are shown escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _short(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"


def show_findings(findings: Findings, repair: str) -> None:
    """`mofore verify`; ``repair`` is the command that makes anew what is lost."""
    outputs = counted(findings.outputs, "output")
    read = f"{counted(findings.shards, 'shard')} with {counted(findings.videos, 'sound video')}, {outputs}"
    for damage in findings.damage:
        click.echo(f"damaged  {_printable(damage.path)}: {_printable(damage.complaint)}")
        if damage.videos:
            names = ", ".join(map(_printable, damage.videos[:MOST_NAMES]))
            more = f" and {len(damage.videos) - MOST_NAMES:,} more" if len(damage.videos) > MOST_NAMES else ""
            click.echo(f"         {counted(len(damage.videos), 'video')} to redo: {names}{more}; {damage.kept:,} kept")
    if findings.damage:
        click.echo(f"read {read}; what is damaged was put aside. Make it anew with: {repair}")
    else:
        click.echo(f"all sound: {read}")


def findings_as_json(findings: Findings, repair: str) -> str:
    """What ``mofore verify --json`` prints: the damage, and the command that mends it."""
    sound = not findings.damage
    return json.dumps({"sound": sound, **asdict(findings), "next": None if sound else repair}, indent=2)


def show_listing(listing: Listing, *, deleted: bool) -> None:
    """What ``mofore gc`` says: each thing that could go, its size and why; and what was deleted."""
    for item in listing.items:
        click.echo(f"{item.kind:<9} {size_text(item.bytes):>9}  {_printable(item.path)}: {_printable(item.why)}")
    for remark in listing.remarks:
        click.echo(f"note: {_printable(remark)}")
    total = f"{size_text(listing.bytes)} in {len(listing.items):,} places"
    if not listing.items:
        click.echo("nothing to reclaim")
    else:
        click.echo(f"deleted: {total}" if deleted else f"{total}; nothing was deleted: give --delete")


def listing_as_json(listing: Listing, *, deleted: bool) -> str:
    """The same for a program, as ``mofore gc --json`` prints it; sizes in bytes."""
    items = [
        {"kind": item.kind, "path": item.path, "bytes": item.bytes, "why": item.why, "videos": item.videos}
        for item in listing.items
    ]
    found = {"items": items, "bytes": listing.bytes, "remarks": listing.remarks, "missing": listing.missing}
    return json.dumps({**found, "deleted": deleted}, indent=2)
