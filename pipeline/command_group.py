"""The commands in the order in which they are met, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from ..cache.atomic import meant_by
from ..data.errors import MoforeError
from . import terminal
from .config import SECTIONS

DONE, FAILED, WRONG_USAGE, UNREADABLE = 0, 1, 2, 3
INTERRUPTED, BROKEN_PIPE = 130, 141

EXIT_CODES = {
    DONE: "done",
    FAILED: "a stage failed, or a file of the work folder is damaged",
    WRONG_USAGE: "wrong usage, settings or arguments; nothing was started",
    UNREADABLE: "done, but some videos could not be read",
    INTERRUPTED: "interrupted; the same command goes on",
    BROKEN_PIPE: "whoever read the output had seen enough",
}

THE_ROAD = "The road (each brings what is above it up to date)"
# The road, and an example of each command: in this order they are listed.
EXAMPLES: dict[str, dict[str, str]] = {
    "Begin": {
        "demo": "mofore demo",
        "download": "mofore download ucf101 ~/ucf",
        "init": "mofore init ~/videos -w runs/mine",
        "import": "mofore import features.h5 -w runs/mine",
    },
    THE_ROAD: {
        "run": "mofore run -w runs/mine --name base",
        "extract": "mofore extract -w runs/mine --retry-failed",
        "fit": "mofore fit -w runs/mine --set fit.lr=0.001",
        "evaluate": "mofore evaluate -w runs/mine",
        "index": "mofore index -w runs/mine --recall 0.95",
        "finetune": "mofore finetune -w runs/mine",
        "sweep": "mofore sweep -w runs/mine --set fit.lr=1e-4,1e-3 --set fit.seed=0,1,2",
    },
    "Look at what came of it": {
        "status": "mofore status -w runs/mine",
        "list": "mofore list runs",
        "show": "mofore show base -w runs/mine",
        "compare": "mofore compare base lr3 -w runs/mine",
        "report": "mofore report -w runs/mine",
        "search": "mofore search v_YoYo_g19_c02 -w runs/mine --sheet out.png",
        "duplicates": "mofore duplicates -w runs/mine --across",
        "objectives": "mofore objectives cpc",
        "settings": "mofore settings gap",
    },
    "Take it elsewhere": {
        "export": "mofore export embeddings out.parquet -w runs/mine",
        "embed": "mofore embed clip.mp4 -w runs/mine -o clip.npy",
        "push": "mofore push s3://bucket/runs/mine -w runs/mine",
        "pull": "mofore pull s3://bucket/runs/mine -w runs/mine",
    },
    "Keep it in order": {
        "verify": "mofore verify -w runs/mine",
        "gc": "mofore gc -w runs/mine",
    },
}
OTHERS = "Others"
LONGEST = 200  # letters of what is said of a command; click would cut it


class Commands(click.Group):
    """A group whose help follows the road, and whose errors are one line and an exit code."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Register a command; its help ends with its example."""
        if example := _example(name or cmd.name or ""):
            cmd.epilog = f"Example: {example}"
        super().add_command(cmd, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the road."""
        ordered = [name for part in EXAMPLES.values() for name in part if name in self.commands]
        return [*ordered, *(name for name in super().list_commands(ctx) if name not in ordered)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Every command with what it does, and an example below."""
        listed = self.list_commands(ctx)
        parts = {title: [name for name in listed if name in part] for title, part in EXAMPLES.items()}
        parts[OTHERS] = [name for name in listed if not _example(name)]
        for title, names in parts.items():
            if names:
                with formatter.section(title):
                    formatter.write_dl([row for name in names for row in self._rows(name)])

    def _rows(self, name: str) -> list[tuple[str, str]]:
        help_text = self.commands[name].get_short_help_str(LONGEST)
        example = _example(name)
        return [(name, help_text), *([("", f"$ {example}")] if example else [])]

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """As click does; what is wrong with the group's own options is said as all errors are."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            raise click.exceptions.Exit(_say_usage(error)) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors become a message and an exit code."""
        terminal.begin("usual")
        try:
            done = super().invoke(ctx)
            sys.stdout.flush()
            return done
        except click.UsageError as error:
            code = _say_usage(error)
        except MoforeError as error:
            code = _say(str(error), error.exit_code)
        except BrokenPipeError:  # who reads it has seen enough (`| head`)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = BROKEN_PIPE
        except OSError as error:  # a full disk, a folder that became read-only, ...
            kept = "; what was finished is kept" if ctx.invoked_subcommand in EXAMPLES[THE_ROAD] else ""
            code = _say(f"{_cause(error)}: mend it and run the same command again{kept}", FAILED)
        except KeyboardInterrupt:
            code = _say("interrupted; what was finished is kept: run the same command to go on", INTERRUPTED)
        finally:
            terminal.close_log()
        raise click.exceptions.Exit(code)


def _example(name: str) -> str:
    return next((part[name] for part in EXAMPLES.values() if name in part), "")


def _say(message: str, code: int) -> int:
    if terminal.level() == "verbose":
        traceback.print_exc()
    terminal.show_error(message)
    return code


def _say_usage(error: click.UsageError) -> int:
    """What is wrong with the arguments, what was perhaps meant, and where the help is."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # nothing was asked for
        click.echo(error.format_message(), err=True)
        return WRONG_USAGE
    said = error.format_message().rstrip(".")
    command = error.ctx.command_path if error.ctx else "mofore"
    ways = [f"see `{command} --help`"]
    if isinstance(error, click.NoSuchOption):
        said = f"{command} has no option {error.option_name}"
        if setting := _setting_called(error.option_name, command.rpartition(" ")[2]):
            ways.insert(0, f"it is a setting: --set {setting}=VALUE")
        elif near := get_close_matches(error.option_name, error.possibilities or (), 1):
            ways.insert(0, f"did you mean {near[0]}?")
    elif "No such command" in said and error.ctx and isinstance(error.ctx.command, click.Group):
        wanted = said.split("'")[1]  # newer versions of click suggest some themselves
        near = get_close_matches(wanted, error.ctx.command.commands, 1)
        said, ways = f"no such command '{wanted}'", [*([f"did you mean {near[0]}?"] if near else []), *ways]
    return _say(f"{said}: {'; '.join(ways)}", WRONG_USAGE)


def _setting_called(option: str, command: str) -> str:
    """The setting that an option's name is of, that of the command's own section first; empty if there is none."""
    key = option.lstrip("-").replace("-", "_")
    found = [section for section, kind in SECTIONS.items() if key in {f.name for f in fields(kind)}]
    section = command if command in found else next(iter(found), "")
    return f"{section}.{key}" if section else ""


def _cause(error: OSError) -> str:
    """What is wrong, in one line; HDF5 buries a full disk in a paragraph."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return f"the disk is full ('{error.filename}')" if error.filename else "the disk is full"
    if not isinstance(error.filename, str | os.PathLike) or not error.filename:
        return str(error)
    return f"'{meant_by(Path(error.filename))}': {error.strerror}"
