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
        text = content.decode(marked or encoding or "utf-8")
    except UnicodeDecodeError as error:
        likely = "UTF-16 without its mark" if _is_wide(content) else "Windows' cp1252"
        raise CatalogError(
            f"{what} '{path}' is not {(marked or encoding or 'utf-8').upper()} (byte {error.start}), perhaps {likely}: "
            "save it as UTF-8"
        ) from error
    if "\0" in text:
        raise CatalogError(f"{what} '{path}' holds zero bytes, perhaps it is UTF-16 without its mark: save it as UTF-8")
    return text


def _is_wide(content: bytes) -> bool:
    """Whether most letters take two bytes of which one is zero."""
    return 4 * content.count(0) > len(content)
