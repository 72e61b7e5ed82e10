"""What the user sees: one line per stage, tables, answers. It prints with :mod:`.terminal`, nothing else does."""

from __future__ import annotations

import csv
import io
import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..data.csv_cells import cell
from ..data.metrics import Metrics
from ..data.progress import Stoppable
from ..data.types import Failure
from ..data.wording import counted, few, size_text
from . import terminal
from .live_display import Display
from .progress_text import duration
from .show.metric_tables import metric_tables
from .show.summary import summary_tables
from .show.table_layout import NOTHING, TableText, fitted, table_width
from .stage import StagePlan
from .terminal import WIDE, printable, say, show_error, wrapped, write, write_text
from .workspace import Workspace

if TYPE_CHECKING:
    from ..stages.extract.estimate import Estimate
    from ..stages.search.searcher import Answer
    from .commands.gc import Listing
    from .commands.verify import Findings
    from .run_folder import Status

__all__ = ["Console", "say", "show_error", "write_text"]  # of what is here from elsewhere

MOST_NAMES = 20  # of the videos that a damaged shard loses
LONG_S = 12 * 3600.0  # extraction that takes longer wants advice
COLUMNS = ("rank", "video_id", "label", "group", "start_s", "end_s", "similarity", "distance", "right")  # of --csv


def of_run(workspace: Workspace) -> Console:
    """A console whose lines are kept in the log of the work folder too."""
    terminal.open_log(workspace.log, f"mofore {__version__}: {shlex.join(sys.argv[1:])}")
    return Console()


class Console(Stoppable):
    """Shows a run. Messages go to stderr, results (tables, JSON) to stdout."""

    def __init__(self) -> None:
        self._display = Display()
        self._stage = ""

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
        """A piece of work begins, perhaps within another one."""
        self._stage = stage
        self._display.start(stage, total, unit)

    def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:
        """Show that ``done`` further units are finished."""
        self._display.advance(done, share, **figures)

    def note(self, message: str) -> None:
        """One line worth reading."""
        _line(self._stage, "", message)

    def finish(self) -> None:
        """The piece of work that began last is over."""
        self._display.finish()


def show_status(status: Status) -> None:
    """What ``mofore status`` says: what each stage would do and why, and which videos could not be read."""
    for who in status.at_work:
        write(f"at work just now: {who}; below, what would be left to do if it ended here")
    for stage in status.stages.values():
        todo = f"{stage.todo:,} {stage.unit}: " if stage.todo else ""
        told = f"up to date ({stage.summary})" if stage.action == "skip" else todo + "; ".join(map(str, stage.reasons))
        write(f"{stage.stage:<8} {stage.action:<8} {told}")
    for failure in status.failures:
        what = "without pictures" if failure.is_no_video else "unreadable"
        write(f"{what}: {failure.video_id}: {failure.reason}")


def status_as_json(status: Status) -> str:
    """The same for a program, as ``mofore status --json`` prints it."""
    stages = {
        name: {"action": stage.action, "reasons": [str(reason) for reason in stage.reasons], "todo": stage.todo}
        for name, stage in status.stages.items()
    }
    unreadable = [{"video_id": failure.video_id, "reason": failure.reason} for failure in status.failures]
    return json.dumps({"stages": stages, "unreadable": unreadable, "at_work": status.at_work}, indent=2)


def show_failures(failures: Sequence[Failure], workspace: Workspace | None = None, most: int = 20) -> None:
    """Videos that could not be read, by reason, the most frequent first; files of sound apart.

    Args:
        failures: which ones.
        workspace: whose extraction they failed in, to say how to try them again; None if it was none.
        most: reasons that are shown.
    """
    soundtracks = [failure.video_id for failure in failures if failure.is_no_video]
    if soundtracks:
        more = ", ..." if len(soundtracks) > 3 else ""
        names = ", ".join(map(printable, soundtracks[:3])) + more
        say(f"note: files without pictures (sound alone?), passed over: {len(soundtracks):,} ({names})")
    by_reason: dict[str, list[str]] = {}
    for failure in failures:
        if not failure.is_no_video:
            by_reason.setdefault(failure.reason, []).append(printable(failure.video_id))
    if not by_reason:
        return
    ordered = sorted(by_reason.items(), key=lambda each: -len(each[1]))
    say(f"{counted(sum(map(len, by_reason.values())), 'video')} could not be read:", always=True)
    for reason, videos in ordered[:most]:
        alone = f"  {videos[0]}: {printable(reason)}"
        several = f"  {len(videos):,} x {printable(reason)}: {few(videos)}"
        say(several if len(videos) > 1 else alone, always=True)
    if len(ordered) > most:
        say(f"  and {sum(len(videos) for _, videos in ordered[most:]):,} more", always=True)
    if workspace is not None:
        say(f"all of them: {workspace.told('status')}; to try them again: {workspace.told('extract --retry-failed')}")


def show_metrics(metrics: Metrics) -> None:
    """The metrics of an index, each beside its baselines."""
    show_tables(metric_tables(metrics))


def show_outcome(workspace: Workspace, metrics: Metrics) -> None:
    """What a run found, on one screen, and where the rest is; with `-v` all of it, with `-q` nothing."""
    if terminal.level() == "quiet":
        return
    show_tables(metric_tables(metrics) if terminal.level() == "verbose" else summary_tables(metrics))
    say(
        f"all tables: {workspace.told('show')}; as JSON: {workspace.metrics}; what a run would do: "
        f"{workspace.told('status')}"
    )


def show_tables(tables: Sequence[TableText]) -> None:
    """Tables and lines, one below the other; as wide as the terminal, and no cell is ever cut."""
    told = terminal.columns()
    for title, columns, rows in (part for whole in tables for part in fitted(whole, told or WIDE)):
        if title:
            write(wrapped(title, told))
        if columns:
            _print_table(columns, rows, told or WIDE)
        else:
            write()


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> None:
    from rich import box
    from rich.console import Console as RichConsole
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), show_header=any(columns))
    for number, column in enumerate(columns):
        said = [row[number] for row in rows if row[number] not in NOTHING]
        is_text = number == 0 or not column or all(cell[:1].isalpha() for cell in said)
        table.add_column(column, justify="left" if is_text else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(terminal.encodable, row))
    # As wide as it needs where a single cell is wider than the terminal, whose own breaking of lines loses nothing.
    console = RichConsole(width=max(width, table_width(columns, rows)), markup=False, highlight=False)
    with console.capture() as shown:  # rich would end the program itself where nobody reads any more
        console.print(table)
    write(shown.get().removesuffix("\n"))


def show_answer(answer: Answer) -> None:
    """The answer of a search."""
    for note in answer.notes:
        say(f"note: {printable(note)}")
    write(f"nearest to {printable(answer.query)}")
    width = max((len(printable(found.video_id)) for found in answer.neighbours), default=0)
    for found in answer.neighbours:
        name, label = printable(found.video_id), printable(found.label or "")
        seconds = "" if found.start_s is None else f"{found.start_s:8.2f} -{found.end_s or 0:8.2f} s  "
        distance = "" if found.distance is None else f"{found.distance:7.4f}  "
        wrong = "  (other class)" if found.right is False else ""
        write(f"{found.rank:4d}  {found.similarity:7.4f}  {distance}{seconds}{name:<{width}}  {label}{wrong}".rstrip())


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
    """A table as CSV; texts that a spreadsheet would compute are made harmless."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *([cell(value) for value in row] for row in rows)])
    return text.getvalue()


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
        write(line)


def show_text(paragraphs: Sequence[str]) -> None:
    """Sentences of a result, to stdout, in lines as long as the terminal is wide."""
    for paragraph in paragraphs:
        write(wrapped(paragraph, terminal.columns()))


def say_note(message: str) -> None:
    """What the user should know, as a line to stderr."""
    say(f"note: {message}")


def show_estimate(estimate: Estimate) -> None:
    """How long extraction would take, and a warning if there is no GPU for it."""
    for note in estimate.notes:
        say(f"note: {printable(note)}")
    seconds, on_gpu = estimate.seconds, estimate.devices[0].type == "cuda"
    where = f"{counted(len(estimate.devices), 'GPU')}" if on_gpu else "the processor"
    if not on_gpu:
        say("warning: no GPU found, or none allowed: extraction runs on the processor")
    say(
        f"extraction on {where}: about {estimate.frames:,} frames at about {estimate.frames_per_s:,.0f} frames/s "
        f"({estimate.arithmetic}, measured on {estimate.measured_frames}), that is {duration(seconds)}; "
        f"the features take {size_text(estimate.store_bytes)}"
    )
    if seconds > LONG_S:
        say(
            "that is long: a lighter backbone (timm:mobilenetv3_small_100), a smaller extract.image_size, or fewer "
            "frames (extract.stride = 2, extract.fps) make it shorter; it can be interrupted and goes on"
        )


def _line(stage: str, what: str, text: str) -> None:
    say(f"{stage:<8} {what:<10} {text}".rstrip(), indent=20)


def show_findings(findings: Findings, repair: str) -> None:
    """`mofore verify`; ``repair`` is the command that makes anew what is lost."""
    outputs = counted(findings.outputs, "output")
    read = f"{counted(findings.shards, 'shard')} with {counted(findings.videos, 'sound video')}, {outputs}"
    if findings.away:
        read += f"; {counted(findings.away, 'shard')} in {findings.place} alone, of which nothing was read"
    for damage in findings.damage:
        write(f"damaged  {printable(damage.path)}: {printable(damage.complaint)}")
        if damage.videos:
            names = ", ".join(map(printable, damage.videos[:MOST_NAMES]))
            more = f" and {len(damage.videos) - MOST_NAMES:,} more" if len(damage.videos) > MOST_NAMES else ""
            write(f"         {counted(len(damage.videos), 'video')} to redo: {names}{more}; {damage.kept:,} kept")
    if findings.damage and findings.read_only:
        write(f"read {read}; the folder cannot be written to, so that nothing was put aside. Mend a copy: {repair}")
    elif findings.damage:
        write(f"read {read}; what is damaged was put aside. Make it anew with: {repair}")
    else:
        write(f"all sound: {read}")


def findings_as_json(findings: Findings, repair: str) -> str:
    """What ``mofore verify --json`` prints: the damage, and the command that mends it."""
    sound = not findings.damage
    return json.dumps({"sound": sound, **asdict(findings), "next": None if sound else repair}, indent=2)


def show_listing(listing: Listing, *, deleted: bool) -> None:
    """What ``mofore gc`` says: each thing that could go, its size and why; and what was deleted."""
    for item in listing.items:
        write(f"{item.kind:<9} {size_text(item.bytes):>9}  {printable(item.path)}: {printable(item.why)}")
    for remark in listing.remarks:
        write(f"note: {printable(remark)}")
    total = f"{size_text(listing.bytes)} in {len(listing.items):,} places"
    if not listing.items:
        write("nothing to reclaim")
    else:
        write(f"deleted: {total}" if deleted else f"{total}; nothing was deleted: give --delete")


def listing_as_json(listing: Listing, *, deleted: bool) -> str:
    """The same for a program, as ``mofore gc --json`` prints it; sizes in bytes."""
    items = [
        {"kind": item.kind, "path": item.path, "bytes": item.bytes, "why": item.why, "videos": item.videos}
        for item in listing.items
    ]
    found = {"items": items, "bytes": listing.bytes, "remarks": listing.remarks, "missing": listing.missing}
    return json.dumps({**found, "deleted": deleted}, indent=2)
