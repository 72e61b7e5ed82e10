"""How somebody's features are to be read, where their arrays do not say it themselves. Loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from ...data.errors import FeaturesError

AXES = ("time-first", "time-last")
EACH = "*"  # for ``dataset``: every dataset is a video


@dataclass(frozen=True, slots=True)
class Reading:
    """What ``mofore import`` was asked for."""

    # endings of names (``rgb`` of ``NAME_rgb.npy``) that are joined, in this order; empty for all there are
    streams: tuple[str, ...] = ()
    axis: str = AXES[0]  # where time is in an array, one of ``AXES``
    average_crops: bool = False  # arrays (T, crops, D) are averaged over their crops
    # of several arrays of one video, the name of the one to take; ``EACH`` if each array is a video
    dataset: str | None = None

    @property
    def time_last(self) -> bool:
        """Whether arrays are (D, T)."""
        return self.axis == AXES[1]

    def arguments(self) -> tuple[str, ...]:
        """The options of the command line that say the same."""
        found: list[str] = []
        if self.streams:
            found += ["--streams", ",".join(self.streams)]
        if self.time_last:
            found += ["--axis", self.axis]
        if self.average_crops:
            found.append("--average-crops")
        if self.dataset is not None:
            found += ["--dataset", self.dataset]
        return tuple(found)


def parse_streams(text: str | None) -> tuple[str, ...]:
    """The streams of ``rgb,flow``.

    Raises:
        FeaturesError: if one is empty or comes twice.
    """
    if text is None:
        return ()
    streams = tuple(name.strip().removeprefix("_") for name in text.split(","))
    if not all(streams) or len(set(streams)) < len(streams):
        raise FeaturesError(f"--streams '{text}': names with commas between them are needed, each once: rgb,flow")
    return streams


def shown(name: object) -> str:
    """A name for a message; a long one is cut in its middle."""
    text = str(name)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}...{text[-_LONGEST // 2 :]}"


def listed(names: list[str] | tuple[str, ...], most: int = 5) -> str:
    """The first few names and how many more there are, for a message of bounded length."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


_LONGEST = 120  # characters of a name in a message
