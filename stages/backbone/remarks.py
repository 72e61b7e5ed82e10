"""What timm and open_clip remark on while they make a model: the part that is for the user, and no other.

Both warn through ``warnings`` and through ``logging``, open_clip by the root logger, which installs a handler of its
own on the root the first time that it finds none there.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARIES = ("open_clip", "timm")
LOGGERS = ("root", *LIBRARIES)  # open_clip speaks as the root logger
PASSING = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning)
# Of registries; and that no weights were loaded, where they are about to be loaded from a file (else it is an error).
NOISE = re.compile(r"registry|deprecated|No pretrained weights|initialized partially|default weights on HF Hub", re.I)
ALSO = re.compile(r"Resiz")  # said as a mere information: positions were resampled


@contextmanager
def library_remarks() -> Iterator[list[str]]:
    """Within the block nothing of it is shown; afterwards the list holds what is worth reading, each remark once."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught, _collecting(said):
        warnings.simplefilter("always")
        try:
            yield said
        finally:
            said.extend(str(one.message) for one in caught if _is_remark(one))
            said[:] = dict.fromkeys(" ".join(text.split()) for text in said)


@contextmanager
def _collecting(said: list[str]) -> Iterator[None]:
    """The root logger's only handler is ours, so that what other libraries chat of is neither shown nor kept."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = [_Collector(said)]
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


class _Collector(logging.Handler):
    """Keeps what timm and open_clip warn of."""

    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's text, if it is one for the user."""
        text = record.getMessage()
        wanted = record.levelno >= logging.WARNING or ALSO.match(text)
        if record.name.partition(".")[0] in LOGGERS and wanted and not NOISE.search(text):
            self._said.append(text)


def _is_remark(caught: warnings.WarningMessage) -> bool:
    """Whether one of the libraries warns of what is made, and not of how it is called."""
    whose = any(f"/{name}/" in caught.filename.replace("\\", "/") for name in LIBRARIES)
    return whose and not issubclass(caught.category, PASSING) and not NOISE.search(str(caught.message))
