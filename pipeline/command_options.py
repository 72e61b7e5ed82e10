"""The options of commands, as decorators; those that several commands share are here once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from ..data.errors import MoforeError
from ..data.index_settings import LEVELS
from ..data.part import Part
from ..data.remote_path import location
from ..stages.import_features.options import AXES
from ..stages.search.queries import BY, RERANK, STEPS, TEMPLATE
from . import terminal
from .config import SECTIONS


def options(*given: Callable[..., Any]) -> Callable[..., Any]:
    """Options as one decorator, in the order of the help."""

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(given):
            command = option(command)
        return command

    return decorated


SECONDS = click.FloatRange(min=0)  # from the first frame
PATH: click.Path = click.Path(path_type=Path)


class _Location(click.ParamType[Path]):
    """A path, or the URL of a store of objects."""

    name = "path"

    def convert(self, value: Any, _parameter: click.Parameter | None, _context: click.Context | None) -> Path:
        return value if isinstance(value, Path) else location(value)

    def shell_complete(self, _context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        return [CompletionItem(typed, type="file")]


LOCATION = _Location()
JSON = click.option("--json", "as_json", is_flag=True, help="For scripts.")
WORKDIR = click.option("-w", "--workdir", type=PATH, default=".", help="Work folder (default: here).")


def complete_settings(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Settings whose name begins so, with what they are; behind the equals sign the values that are allowed."""
    name, equals, value = typed.partition("=")
    settings = {f"{section}.{f.name}": f for section, kind in SECTIONS.items() for f in fields(kind)}
    if not equals:
        return [
            CompletionItem(f"{key}=", help=f.metadata["doc"]) for key, f in settings.items() if key.startswith(typed)
        ]
    known = settings.get(name)
    allowed = () if known is None else known.metadata["choices"] or (("true", "false") if known.type == "bool" else ())
    return [CompletionItem(f"{name}={each}") for each in allowed if each.startswith(value)]


def complete_runs(context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Names and keys of the runs in the work folder that was given, and paths."""
    from .runs import find_runs

    try:
        runs = find_runs([context.params.get("workdir") or Path()])
    except (MoforeError, OSError):
        runs = []
    named = [each for run in runs for each in (run.name, run.key) if each and each.startswith(typed)]
    return [*map(CompletionItem, named), CompletionItem(typed, type="file")]


def _say_so_much(_context: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given:
        terminal.begin("quiet" if parameter.name == "quiet" else "verbose")


def _flag(short: str, name: str, text: str) -> Callable[..., Any]:
    return click.option(short, f"--{name}", is_flag=True, expose_value=False, callback=_say_so_much, help=text)


SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    shell_complete=complete_settings,
    help="Change a setting for this command.",
)
verbosity = options(
    _flag("-q", "quiet", "Say nothing but errors."),
    _flag("-v", "verbose", "Show all tables at the end, and where an error came from."),
)
of_workdir = options(WORKDIR, SET, verbosity)
FORCE = click.option("--force", is_flag=True, help="Run it again, whatever is there.")
ONLY = click.option("--only", is_flag=True, help="Run just this stage; refuse if a stage above is out of date.")
RETRY = click.option("--retry-failed", is_flag=True, help="Try again what could not be read before.")
PART = click.option(
    "--part",
    callback=lambda _context, _parameter, text: None if text is None else Part.parse(text),
    metavar="I/N",
    help="Do one of N parts of the videos while other machines do the others, 1/N to N/N: --part 3/8 (docs/scale.md).",
)
RAY = click.option(
    "--ray",
    metavar="ADDRESS",
    help="Have the nodes of a Ray cluster do it: auto, HOST:PORT, or local for this machine (docs/scale.md).",
)
REPLACE = click.option("--force", is_flag=True, help="Replace a mofore.toml that is there.")
described_by = options(  # as both ways to make a work folder have it
    click.option("--splits", type=PATH, help="Folder of UCF101's official lists."),
    click.option(
        "--table",
        "tables",
        type=PATH,
        multiple=True,
        help="Classes, sides, groups, segments of videos: CSV, TSV, JSON, or what data sets ship (may be repeated).",
    ),
)


# How features are to be read that do not say it themselves.
reading_options = options(
    click.option(
        "--streams",
        metavar="NAME,...",
        help="Of files NAME_rgb.npy, NAME_flow.npy: which streams to take, joined in this order. [default: all]",
    ),
    click.option(
        "--axis", type=click.Choice(AXES), default=AXES[0], show_default=True, help="Arrays are (T, D), or (D, T)."
    ),
    click.option("--average-crops", is_flag=True, help="Arrays are (T, crops, D): take the mean over crops."),
    click.option(
        "--dataset",
        metavar="NAME",
        help="Of several arrays of a video (an HDF5 group, an .npz), the one to take; '*': each is a video.",
    ),
)


# How to search, and what may be found.
search_options = options(
    click.option("-k", "count", type=click.IntRange(min=1), default=10, show_default=True, help="Neighbours."),
    click.option("--space", help="mofore, frames, predict or fit:KEY. [default: mofore; images and texts: frames]"),
    click.option(
        "--level", type=click.Choice(LEVELS), default="video", show_default=True, help="Whole videos, or moments."
    ),
    click.option("--from", "start", type=SECONDS, metavar="SECONDS", help="Where in the query's video to begin."),
    click.option("--to", "end", type=SECONDS, metavar="SECONDS", help="Where in it to end."),
    click.option("--class", "classes", multiple=True, metavar="NAME", help="Find this class alone (repeatable)."),
    click.option("--exclude-same-group", is_flag=True, help="Find nothing of the query's group."),
    click.option("--split", "role", metavar="SIDE", help="Find this side alone: train, test, unassigned, val, ..."),
    click.option("--rerank", type=click.Choice(RERANK), help="Order the first 100 by how they unfold."),
    click.option(
        "--steps",
        type=click.IntRange(STEPS[0], STEPS[-1]),
        default=8,
        show_default=True,
        help="Parts that --rerank compares.",
    ),
    click.option(
        "--by",
        type=click.Choice(BY),
        default="both",
        show_default=True,
        help="What --rerank goes by: what changes, what it looks like, or changes beside the similarity.",
    ),
    click.option("--template", default=TEMPLATE, show_default=True, help="What a text is put into."),
)
