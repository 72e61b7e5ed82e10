"""A part of the videos, for one of several machines that share them without talking to each other."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from .errors import UsageError


@dataclass(frozen=True, slots=True)
class Part:
    """The ``number``-th of ``count`` parts, counted from 1.

    Which part a video is of follows from its id and ``count`` alone, so that every machine decides alike, whatever is
    done already and whatever videos come and go.

    Raises:
        UsageError: if there is no such part.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            last = max(self.count, 1)
            raise UsageError(
                f"part {self}: they are counted from 1, so that of {last} there are 1/{last} to {last}/{last}"
            )

    @classmethod
    def parse(cls, text: str) -> Part:
        """``2/3`` as the second of three parts.

        Raises:
            UsageError: if it is written otherwise, or there is no such part.
        """
        written = re.fullmatch(r"(\d+)/(\d+)", text.strip(), re.ASCII)
        if written is None:
            raise UsageError(f"part '{text}': which of how many is needed, from 1/3 to 3/3 for three machines")
        return cls(int(written[1]), int(written[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def has(self, video_id: str) -> bool:
        """Whether a video is of this part."""
        digest = hashlib.sha256(video_id.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8]) % self.count == self.number - 1
