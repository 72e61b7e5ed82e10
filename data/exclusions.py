"""What ``data.exclude`` leaves out of the videos, and what is to be told of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase

from .wording import counted


class Exclusions:
    """Patterns of paths, and how many videos each has fitted.

    A pattern (with ``*``, ``?`` and ``[...]``) fits a video's path, a folder that it is in, or one name of the path.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = tuple(patterns)
        self._counts: Counter[str] = Counter()
        self.left_out = 0

    def leave_out(self, video_id: str) -> bool:
        """Whether a video is left out; it is counted if it is."""
        if not self._patterns:
            return False
        parts = video_id.split("/")
        tried = [*("/".join(parts[: count + 1]) for count in range(len(parts))), *parts]
        fitting = [
            pattern
            for pattern in self._patterns
            if any(fnmatchcase(each, pattern.removeprefix("./").strip("/")) for each in tried)
        ]
        self._counts.update(fitting)
        self.left_out += bool(fitting)
        return bool(fitting)

    def notes(self) -> tuple[str, ...]:
        """How many videos are left out, and patterns that fit none."""
        unused = [pattern for pattern in self._patterns if not self._counts[pattern]]
        told = (f"left out by data.exclude: {counted(self.left_out, 'video')}",) if self.left_out else ()
        return (*told, *(f"data.exclude: '{pattern}' fits no video" for pattern in unused))
