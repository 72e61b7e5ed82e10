"""Where words go: lines to stderr, results to stdout, as wide as there is room, and both into the log of a run.

How much is said is set once for a command (:func:`begin`). While a display is live, lines appear above it.
rich is imported where a display or a table is drawn; the lines of a run with nothing to do need none of it.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import textwrap
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

Level = Literal["quiet", "usual", "verbose"]

WIDE = 132  # columns of what is shown where there is no terminal
LEAST_WRAPPED = 40  # columns; in fewer, lines are left as they are
LOG_BYTES, LOG_FILES = 1_000_000, 2
_log = logging.getLogger("mofore.run")


@dataclass(slots=True)
class _Words:
    """How much a command says, and the display that is live."""

    level: Level = "usual"
    live: RichConsole | None = None


_words = _Words()


def begin(level: Level) -> None:
    """Say so much from now on, and log nothing yet; every command begins with it."""
    _words.level = level
    close_log()


def level() -> Level:
    """How much is said."""
    return _words.level


def colour(*, err: bool = False) -> bool:
    """Whether colours are wanted: on a terminal, unless NO_COLOR (https://no-color.org) or TERM says otherwise."""
    stream = sys.stderr if err else sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def can_be_live() -> bool:
    """Whether a display may move: stderr is a terminal that can, and something is to be said."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and _words.level != "quiet"


def go_live(console: RichConsole | None) -> None:
    """A display has begun above which lines are to appear; None: it has ended."""
    _words.live = console


def columns(*, err: bool = False) -> int:
    """Columns of the terminal, or as many as COLUMNS says; 0 where there is neither."""
    stream = sys.stderr if err else sys.stdout
    told = os.environ.get("COLUMNS", "").isdigit() or stream.isatty()
    return shutil.get_terminal_size().columns if told else 0


def say(message: str = "", *, always: bool = False, indent: int = 0) -> None:
    """A line to stderr, above the display that is live, and to the log; with `-q` only what is said ``always``.

    On a terminal it breaks between words, and what follows the first line is indented.
    """
    if message:
        to_log(message)
    if _words.level == "quiet" and not always:
        return
    text = encodable(message, err=True)
    if sys.stderr.isatty():
        text = wrapped(text, shutil.get_terminal_size().columns, indent=indent)
    if _words.live is not None:
        from rich.text import Text

        _words.live.print(Text(text), soft_wrap=True)
    else:
        click.echo(text, err=True)


def show_error(message: str) -> None:
    """An error of the user's, in one place and one form."""
    to_log(message, logging.ERROR)
    mark = click.style("error:", fg="red", bold=True) if colour(err=True) else "error:"
    click.echo(f"{mark} {encodable(message, err=True)}", err=True, color=colour(err=True))


def write(text: str = "") -> None:
    """A line of a result to stdout."""
    click.echo(encodable(text))


def write_text(text: str) -> None:
    """To stdout as it is, names that are no valid text with their own bytes."""
    click.echo(text.encode("utf-8", "surrogateescape"), nl=False)


def wrapped(text: str, width: int, *, indent: int = 0) -> str:
    """Text in lines that break between words; as it is where there is no width, or next to none."""
    if width <= LEAST_WRAPPED:
        return text
    return textwrap.fill(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def printable(text: str) -> str:
    """File names need not be valid text; odd bytes are shown escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def encodable(text: str, *, err: bool = False) -> str:
    """Text that the stream can take: what its encoding lacks (cp1252, ASCII) is shown escaped."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    with suppress(LookupError):
        return printable(text).encode(encoding, "backslashreplace").decode(encoding)
    return printable(text)


def open_log(path: Path, command: str) -> None:
    """Keep what is said from now on in a file too; where it cannot be written, nowhere."""
    from logging.handlers import RotatingFileHandler

    class Handler(RotatingFileHandler):
        def handleError(self, record: logging.LogRecord) -> None:
            """Where the log cannot be written to any more, nothing is said of it: the run says what matters."""

    close_log()
    with suppress(OSError):
        handler = Handler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-5s %(message)s", "%Y-%m-%d %H:%M:%S"))
        _log.addHandler(handler)
        _log.setLevel(logging.INFO)
        _log.propagate = False
        to_log(command)


def close_log() -> None:
    """Nothing is logged any more."""
    for handler in [*_log.handlers]:
        _log.removeHandler(handler)
        with suppress(OSError):  # what it still had to write is lost with its disk
            handler.close()


def to_log(message: str, severity: int = logging.INFO) -> None:
    """To the log alone, where there is one."""
    if _log.handlers:
        _log.log(severity, "%s", printable(message))
