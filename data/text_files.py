"""Text files as people have them: UTF-8 with or without its mark, UTF-16 with it, Windows' cp1252 when asked for."""

from __future__ import annotations

import codecs
from pathlib import Path

from .errors import CatalogError

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_text(path: Path, what: str, *, encoding: str | None = None) -> str:
    """The text of a file.

    Args:
        path: of the file.
        what: it is, for a complaint ("the split list").
        encoding: to be taken where there is no mark; None: UTF-8.

    Raises:
        CatalogError: if it cannot be read, or is of another encoding.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CatalogError(f"{what} '{path}' cannot be read: {error.strerror}") from error
    marked = next((name for mark, name in MARKS.items() if content.startswith(mark)), None)
    try:
        return content.decode(marked or encoding or "utf-8")
    except UnicodeDecodeError as error:
        raise CatalogError(
            f"{what} '{path}' is not {(marked or encoding or 'utf-8').upper()} (byte {error.start}): save it as UTF-8"
        ) from error


def is_utf8(path: Path) -> bool:
    """Whether :func:`read_text` can read the file as it is."""
    try:
        read_text(path, "")
    except CatalogError:
        return False
    return True
