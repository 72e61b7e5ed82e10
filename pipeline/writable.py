"""Whether a file can be written, found out before the work that it is to hold."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..data.errors import UsageError


def refuse_unwritable(path: Path, option: str = "", named: Path | None = None) -> None:
    """Find out whether a file can be written, whose folder need not be there yet; nothing is left.

    Args:
        path: of the file.
        option: of the command line with which it was named, such as ``--sheet``; empty for an argument.
        named: what was named so, where that is not the file but the folder that it is to be in.

    Raises:
        UsageError: if it cannot.
    """
    there = next(folder for folder in path.absolute().parents if folder.exists())
    named = named or path
    told = f"{option} '{named}'".strip()
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder", str(path))
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        example = f"{option} {Path(tempfile.gettempdir()) / named.name}".strip()
        raise UsageError(
            f"{told}: '{there}' cannot be written to ({error.strerror}): name a place that can, such as {example}"
        ) from error
