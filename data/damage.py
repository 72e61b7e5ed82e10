"""What a decoder says of damage: frames that it could only guess at, and packets that it could not decode at all.

FFmpeg conceals: where bits are missing it fills the picture from its neighbours, marks it and goes on. Such a picture
is no more the video's than one that was made up, so it must not be stored in silence.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import VideoError
from .wording import counted

WAY_OUT = "`--set extract.damaged=keep --retry-failed` stores them as they come"


@dataclass(slots=True)
class Damage:
    """Counts of one decoding."""

    keep: bool = False  # whether decoding goes on after errors, and frames that are marked count as frames
    frames: int = 0  # decoded so far, whether they are wanted or not
    marked: int = 0  # frames among them that the decoder marks as corrupt
    errors: int = 0  # packets that could not be decoded, and 1 for a file that ends too early
    first_error: str = ""  # what was said of the first one

    def error(self, reason: str) -> None:
        """Something could not be decoded; it is counted."""
        self.first_error = self.first_error or reason
        self.errors += 1

    def forget(self, earlier: Damage) -> None:
        """Count as it was ``earlier``: what came since belongs to no frame that is wanted."""
        self.frames, self.marked = earlier.frames, earlier.marked
        self.errors, self.first_error = earlier.errors, earlier.first_error

    def refuse(self) -> None:
        """Refuse marked frames, unless they are to be kept.

        Raises:
            VideoError: saying how many of how many.
        """
        if self.marked and not self.keep:
            raise VideoError(f"damaged: the decoder marks {self}; {WAY_OUT}")

    @property
    def found(self) -> bool:
        """Whether there is any."""
        return bool(self.marked or self.errors)

    def __str__(self) -> str:
        marked = f"{self.marked:,} of {self.frames:,} frames as corrupt"
        errors = f"{counted(self.errors, 'error')} ({self.first_error})"
        return ", ".join([marked] * bool(self.marked or not self.errors) + [errors] * bool(self.errors))
