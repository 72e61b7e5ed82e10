"""The commands. Each is a few lines: read the settings, call, show."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from .._version import __version__
from ..cache.ledger import Ledger
from ..data.errors import MoforeError, UsageError
from ..stages.distributed.seat import Seat
from ..stages.import_features.options import Reading, parse_streams
from ..stages.search.queries import Asked
from . import console, terminal
from .command_group import EXIT_CODES, UNREADABLE, Commands
from .command_options import (
    FORCE,
    JSON,
    LOCATION,
    ONLY,
    PART,
    PATH,
    RAY,
    REPLACE,
    RETRY,
    WORKDIR,
    complete_runs,
    described_by,
    of_workdir,
    options,
    reading_options,
    search_options,
    verbosity,
)
from .config import load_config
from .export_cli import add_commands, add_transfers
from .made import read_metrics
from .road import OPTIONAL, ROAD
from .run import Outcome
from .run_folder import Run
from .show.metric_tables import price_table
from .stage import Stage
from .workspace import Workspace

ABOUT = """Learn video representations by forecasting, offline, on cached frame features.

\b
Exit codes: {codes}.
Completion of commands and settings: docs/terminal.md.
"""


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help=ABOUT.format(codes=";\n".join(f"{code} {what}" for code, what in EXIT_CODES.items())),
)
@click.version_option(__version__, prog_name="mofore")
def cli() -> None:
    """The command ``mofore``."""


@cli.command()
@click.argument("videos", type=LOCATION, nargs=-1, required=True)
@described_by
@click.option("--backbone", help="timm:NAME, open_clip:NAME/TAG or random:NAME.")
@click.option("--weights", type=PATH, help="Local weights (.safetensors or .pth).")
@REPLACE
@click.option("--no-estimate", is_flag=True, help="Don't measure how long extraction would take.")
@of_workdir
def init(force: bool, no_estimate: bool, workdir: Path, **asked: Any) -> None:
    """Make a work folder for VIDEOS: writes a commented mofore.toml.

    VIDEOS is a folder, several folders, or a list of files (.txt, a path in every line); or folders of a bucket
    (s3://BUCKET/FOLDER, gs://...; docs/data.md).
    """
    from .commands.init import NewWorkspace, init_workspace

    init_workspace(workdir, NewWorkspace(**asked), replace=force, estimating=not no_estimate)


@cli.command("import")
@click.argument("features", type=PATH)
@described_by
@click.option("--fps", type=float, help="Frames a second of the features, where they have no times_s. [default: 25]")
@click.option("--name", "asked_name", help="What to call them: import:NAME. [default: the file's name]")
@reading_options
@REPLACE
@of_workdir
def import_(
    streams: str | None, axis: str, average_crops: bool, dataset: str | None, force: bool, workdir: Path, **asked: Any
) -> None:
    """Make a work folder of frame features that were made elsewhere; no video is needed.

    \b
    FEATURES is a file (.h5, .hdf5, .npz) that holds
      features (N, D)   float16, float32 or float64, all frames of all videos one after another
      lengths (V,)      frames of each video; they sum to N
      ids (V,)          a name for each video
      times_s (N,), labels (V,), groups (V,)   if you have them
    or a file with an array (T, D) for each video, or an HDF5 group that holds one; its key is the id;
    or a folder with one .npy (T, D), .npz or .h5 for each video, whose path without suffix is its id;
    or one of video_features: NAME_rgb.npy, NAME_flow.npy, NAME_fps.npy, NAME_timestamps_ms.npy.

    Class and group are read from the ids (v_<Class>_gNN_cNN, or the folder) unless labels and groups are there;
    a label -1 or none is no class. Arrays (T, 1, D) and (1, T, D) are taken for (T, D).
    Running it again stores only what changed.
    """  # noqa: D301 - click wants the control character that backslash b stands for
    from .commands.import_features import ImportRequest, import_features

    reading = Reading(parse_streams(streams), axis, average_crops, dataset)
    import_features(workdir, ImportRequest(reading=reading, **asked), console.Console(), replace=force)


def stage_command(stage: Stage) -> click.Command:
    """The command of a stage, as its record says."""

    @options(ONLY, FORCE, of_workdir)
    def command(workdir: Path, overrides: tuple[str, ...], **given: Any) -> None:
        for shortcut in stage.shortcuts:
            value = given.pop(shortcut.option.removeprefix("--"))
            overrides = overrides if value is None else (*overrides, f"{shortcut.setting}={value}")
        opened = _open(workdir, overrides)
        outcome = opened.extract(**given) if stage.divides else opened.make(stage.name, **given)
        _finish(opened.workspace, outcome)

    if stage.divides:
        command = PART(RAY(command))
    if stage.retries:
        command = RETRY(command)
    for shortcut in stage.shortcuts:
        limits = click.IntRange if shortcut.kind is int else click.FloatRange
        kind = limits(shortcut.low, shortcut.high)  # type: ignore[arg-type]
        command = click.option(shortcut.option, type=kind, help=shortcut.help)(command)
    return click.command(name=stage.name, help=stage.what)(command)


for each in (*ROAD, *OPTIONAL):
    cli.add_command(stage_command(each))


@cli.command()
@click.option("--name", metavar="NAME", help="Call the run so, for `mofore show NAME`; what has a name is kept by gc.")
@FORCE
@RETRY
@click.option("--no-report", is_flag=True, help="Make no page of it at the end.")
@of_workdir
def run(
    name: str | None, force: bool, retry_failed: bool, no_report: bool, workdir: Path, overrides: tuple[str, ...]
) -> None:
    """All stages; only what changed is run again."""
    opened = _open(workdir, overrides)
    outcome = opened.run(force=force, retry_failed=retry_failed, name=name or "", report=not no_report)
    _finish(opened.workspace, outcome)


@cli.command()
@JSON
@of_workdir
def status(as_json: bool, workdir: Path, overrides: tuple[str, ...]) -> None:
    """What a run would do, and why."""
    found = _open(workdir, overrides).status()
    if as_json:
        click.echo(console.status_as_json(found))
    else:
        console.show_status(found)


@cli.command("list")
@click.argument("folders", nargs=-1, type=PATH)
@click.option("--forget", metavar="NAME", help="Take this name from its run, which stays as it is.")
@JSON
@verbosity
def list_(folders: tuple[Path, ...], forget: str | None, as_json: bool) -> None:
    """The runs in FOLDERS and below (default: here): figures, backbone, preset, other settings, and when."""
    from .commands import runs as listing

    found = listing.find(folders, forget=forget)
    if as_json:
        console.write_text(json.dumps(listing.list_as_json(found), indent=2) + "\n")
    else:
        console.show_tables(listing.list_tables(found))


@cli.command()
@click.argument("run", required=False, shell_complete=complete_runs)
@JSON
@options(WORKDIR, verbosity)
def show(run: str | None, as_json: bool, workdir: Path) -> None:
    """All that is known of a run, and all of its tables (default: of what metrics.json shows).

    RUN is its name, its key, its work folder, or FOLDER:NAME.
    """
    from .commands import runs as listing
    from .runs import meet

    found = meet(run or str(workdir), workdir)
    if as_json:
        console.write_text(json.dumps(listing.show_as_json(found), indent=2) + "\n")
    else:
        console.show_lines(listing.show_lines(found))
        console.show_tables(listing.show_tables(found))


@cli.command()
@click.argument("queries", nargs=-1)
@search_options
@click.option("--json", "as_json", is_flag=True, help="For scripts; with --interactive an object a line.")
@click.option("--csv", "as_csv", is_flag=True, help="A row for each neighbour.")
@click.option("--sheet", type=PATH, metavar="OUT.png", help="Draw query and neighbours.")
@click.option("--interactive", is_flag=True, help="Keep everything loaded and ask for one query after another.")
@of_workdir
def search(
    queries: tuple[str, ...],
    as_json: bool,
    as_csv: bool,
    sheet: Path | None,
    interactive: bool,
    workdir: Path,
    overrides: tuple[str, ...],
    **asked: Any,
) -> None:
    """The neighbours of a query, or of the mean of several.

    \b
    A query is
      the id or the name of a video of the index,
      a video file, a folder of frame images or an image file,
      or "text: a person playing the guitar", where the backbone is of open_clip.
    """  # noqa: D301 - click wants the control character that backslash b stands for
    from .commands.search import Session, answered, converse, refuse_wrong_usage, show_answer

    refuse_wrong_usage(queries, as_json=as_json, as_csv=as_csv, interactive=interactive)
    session = Session(_open(workdir, overrides).snapshot, Asked(**asked), sheet)
    form = "json" if as_json else "csv" if as_csv else "table"
    if interactive:
        converse(session, console.typed_queries(), form)
    else:
        show_answer(session, answered(session, queries), form)


@cli.command()
@click.option("--space", default="frames", show_default=True, help="Whose clips are compared: frames, mofore, ...")
@click.option("--threshold", type=float, help="Least cosine of two clips that match. [default: 0.7]")
@click.option(
    "--least", "least_s", type=float, help="Least seconds of a stretch; shorter videos must match whole. [default: 1]"
)
@click.option("--across", is_flag=True, help="Only pairs of a test and a training video.")
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="Pairs to show; 0 = all.")
@JSON
@click.option("--csv", "as_csv", is_flag=True, help="A row for each pair.")
@of_workdir
def duplicates(
    across: bool, limit: int, as_json: bool, as_csv: bool, workdir: Path, overrides: tuple[str, ...], **asked: Any
) -> None:
    """Videos that are nearly the same, and parts of one inside another; those across sides first.

    It compares clips, so the index must have them: mofore index --set index.levels="video, clip".
    """
    from .commands import duplicates as finding

    if as_json and as_csv:
        raise UsageError("--json and --csv: give one of them")
    found = finding.find(_open(workdir, overrides).snapshot, **_given(asked))
    wanted = [each for each in found.found if each.across or not across]
    shown = wanted[:limit] if limit else wanted
    if as_json:
        console.write_text(finding.as_json(found, shown) + "\n")
    elif as_csv:
        console.write_text(finding.as_csv(shown))
    else:
        finding.show(found, shown, len(wanted) - len(shown))


@cli.command()
@click.option("--only-fit", is_flag=True, help="Train only: take no metrics, make no table.")
@click.option("--dry-run", is_flag=True, help="Say what is done of each run and what is not, and do nothing.")
@JSON
@click.option("--csv", "as_csv", is_flag=True, help="A row for each run.")
@of_workdir
def sweep(
    only_fit: bool, dry_run: bool, as_json: bool, as_csv: bool, workdir: Path, overrides: tuple[str, ...]
) -> None:
    """A fit and its metrics for every combination of settings: --set fit.lr=1e-4,1e-3 --set fit.seed=0,1,2.

    Commas separate values, but in quotes and brackets. Runs are those that other commands make with these settings,
    so what is done is used; runs of the same shapes train together. The table is written into sweep/ as CSV and JSON.
    """
    from .commands import sweep as sweeping
    from .commands.sweep_table import tables

    if as_json and as_csv:
        raise UsageError("--json and --csv: give one of them")
    opened = _open(workdir, ())
    runs = opened.grid_runs(overrides)
    if dry_run:
        console.show_lines(sweeping.plan_lines(sweeping.plan_sweep(opened.workspace, runs)))
        return
    swept = sweeping.sweep(opened.workspace, runs, console.of_run(opened.workspace), only_fit=only_fit)
    if swept.table is not None and as_json:
        click.echo(json.dumps(swept.table.as_json(), indent=2))
    elif swept.table is not None and as_csv:
        console.write_text(swept.table.as_csv())
    elif swept.table is not None:
        console.show_tables(tables(swept.table))
    if swept.folder is not None:
        console.say(f"the table as CSV and JSON: {swept.folder}")
    console.show_failures(swept.failures, opened.workspace)
    if swept.failed:
        raise sweeping.failed_error(swept.failed)
    if any(not failure.is_no_video for failure in swept.failures):
        raise click.exceptions.Exit(UNREADABLE)


@cli.command()
@click.argument("runs", nargs=-1, shell_complete=complete_runs)
@click.option("--row", "rows", multiple=True, help="Embeddings to compare. [default: mofore, raw_mean_pool]")
@JSON
@click.option(
    "--html",
    "page",
    type=PATH,
    is_flag=False,
    flag_value=Path("compare.html"),
    metavar="[OUT.html]",
    help="Write it as a page too. [name, if none is given: compare.html]",
)
@options(WORKDIR, verbosity)
def compare(runs: tuple[str, ...], rows: tuple[str, ...], as_json: bool, page: Path | None, workdir: Path) -> None:
    """RUNS side by side: settings that differ, figures, paired differences to the first.

    A run is given by its name, its key, its work folder, or FOLDER:NAME.
    """
    from .commands import compare as comparing

    folders = [comparing.folder_of(run, workdir) for run in runs]
    found = comparing.compare(folders, rows or comparing.FIRST_ROWS)
    if page is not None:
        from .commands.compare_page import write_comparison

        write_comparison(page, found, [comparing.open_run(folder) for folder in folders])
        console.say(f"the comparison as a page: {page}")
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        console.show_tables(comparing.tables(found))
        for note in found.notes:
            console.say(f"note: {note}")


@cli.command()
@JSON
@WORKDIR
def verify(as_json: bool, workdir: Path) -> None:
    """Read everything that is stored against its digests; damage is put aside, and exit code 1."""
    from .commands.verify import repair_command
    from .commands.verify import verify as check

    workspace = Workspace.open(workdir)
    findings = check(workspace, console.Console())
    repair = repair_command(workspace, findings)
    if as_json:
        click.echo(console.findings_as_json(findings, repair))
    else:
        console.show_findings(findings, repair)
    if findings.damage:
        raise click.exceptions.Exit(MoforeError.exit_code)


REMOTE = (
    "Instead: objects in the bucket that no manifest names, written more than DAYS (7) ago; fewer if nobody pushes."
)


@cli.command()
@click.option("--delete", is_flag=True, help="Delete what is listed.")
@click.option(
    "--keep",
    "keep",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="CONFIG.toml",
    help="Further settings whose outputs stay.",
)
@click.option("--missing-videos", is_flag=True, help="Delete although most of the stored videos are gone.")
@click.option(
    "--remote", "days", is_flag=False, flag_value=7.0, type=click.FloatRange(0), metavar="[DAYS]", help=REMOTE
)
@JSON
@of_workdir
def gc(
    delete: bool,
    keep: tuple[Path, ...],
    missing_videos: bool,
    days: float | None,
    as_json: bool,
    workdir: Path,
    overrides: tuple[str, ...],
) -> None:
    """List what the present settings do not refer to, with its size; --delete removes it."""
    from .commands.gc import clean, survey

    opened = _open(workdir, overrides)
    if days is not None:
        from .commands.gc_remote import clean_bucket

        click.echo(clean_bucket(opened.workspace, days, console.Console(), delete=delete, as_json=as_json))
        return
    workspace, configs = opened.workspace, (opened.config, *map(load_config, keep))
    if delete:
        listing = clean(workspace, configs, console.of_run(workspace), missing_videos=missing_videos)
    else:
        listing = survey(workspace, configs)
    if as_json:
        click.echo(console.listing_as_json(listing, deleted=delete))
    else:
        console.show_listing(listing, deleted=delete)


@cli.command()
@click.option("-w", "--workdir", type=PATH, default="runs/demo", show_default=True, help="Work folder.")
@verbosity
def demo(workdir: Path) -> None:
    """Draw a set of moving shapes and take it down the whole road, offline."""
    from .commands.demo import explained, next_lines, run_demo

    opened = Workspace(workdir)
    _finish(opened, run_demo(workdir, console.of_run(opened)), show=True)
    console.show_text(explained(read_metrics(opened)))
    console.show_lines(next_lines(workdir))


@cli.command()
@click.argument("words", nargs=-1)
@click.option("--markdown", is_flag=True, hidden=True, help="All of them as docs/settings.md.")
def settings(words: tuple[str, ...], markdown: bool) -> None:
    """The settings with their defaults: the basic ones, or those that say WORDS ('.': all)."""
    from .commands.settings import listed, page

    click.echo(page() if markdown else listed(words), nl=not markdown)


@cli.command()
@click.argument("name", required=False)
def objectives(name: str | None) -> None:
    """List what a fit can learn (fit.objective); with NAME, its source, its settings and its options."""
    from .commands.objectives import described, listed

    click.echo(described(name) if name else listed())


@cli.command()
@click.argument("dataset", type=click.Choice(["ucf101"]), expose_value=False)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--videos-url", help="Fetch the videos from a mirror (.rar, .zip, .tar.*).")
@click.option("--splits-url", help="Fetch the split lists from a mirror.")
@click.option("--no-unpack", is_flag=True, help="Fetch the archives only.")
@click.option(
    "--keep-archives/--remove-archives",
    default=True,
    help="Delete the archives (6.9 GB) once all of the videos are unpacked. Default: keep.",
)
def download(folder: Path, no_unpack: bool, **asked: Any) -> None:
    """Fetch UCF101 (6.9 GB) and its split lists into DIR and unpack them; goes on where it was interrupted."""
    from .commands.download import download_ucf101

    download_ucf101(folder, console.Console(), unpacking=not no_unpack, **_given(asked))


def main() -> None:
    """Entry point of the command ``mofore``; of the processes that torchrun started, the first one is it."""
    seat = Seat.here()
    if seat.size == 1:
        cli(prog_name="mofore")
        return
    from ..stages.distributed import torchrun as team

    if seat.rank:
        sys.exit(team.assist())
    team.lead()
    try:
        cli(prog_name="mofore")
    finally:
        team.dismiss()


def _open(workdir: Path, overrides: tuple[str, ...]) -> Run:
    workspace = Workspace.open(workdir)
    return Run(workspace, load_config(workspace.config, overrides), overrides=overrides, progress=True)


def _given(asked: dict[str, Any]) -> dict[str, Any]:
    """The options that were given; the others are left to the defaults of what they are handed to."""
    return {name: value for name, value in asked.items() if value not in (None, "")}


def _finish(workspace: Workspace, outcome: Outcome, *, show: bool = False) -> None:
    """Show what was found if it is new or is to be shown, what an index costs, and what could not be read."""
    if show or "evaluate" in outcome.ran:
        console.show_outcome(workspace, read_metrics(workspace))
    if "index" in outcome.ran and (terminal.level() == "verbose" or "evaluate" not in outcome.ran):
        latest = Ledger.open(workspace.ledger).latest("index")
        prices = [path for path in latest.outputs if path.endswith("/price.json")] if latest else []
        if prices:
            console.show_tables([price_table([json.loads((workspace.root / path).read_text()) for path in prices])])
    console.show_failures(outcome.failures, workspace)
    if any(not failure.is_no_video for failure in outcome.failures):
        raise click.exceptions.Exit(UNREADABLE)


add_commands(cli, of_workdir, _open, UNREADABLE)
add_transfers(cli)
