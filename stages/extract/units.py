"""Units of work for machines that may be lost: what is handed out, comes back, and is suspected of killing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...data.types import Video
from .many_devices import Handout

DEATHS = 3  # of those who held a unit alone, until it is split; and until a single video is given up


@dataclass(slots=True)
class Unit:
    """Videos that are handed out together.

    Attributes:
        left: those that nobody has told of yet, by id.
        deaths: how many died who held it alone.
        suspect: whether it may be to blame, and is done by itself from now on.
    """

    left: dict[str, Video]
    deaths: int = 0
    suspect: bool = False


class Units:
    """What is to be done: handed out in bounded helpings, and again when who held it is lost.

    Args:
        videos: all of them.
        parts: how many share them.
    """

    def __init__(self, videos: Sequence[Video], parts: int) -> None:
        self._handout = Handout(videos, parts)
        self._back: deque[Unit] = deque()
        self._suspects: deque[Unit] = deque()

    def take(self, held: Sequence[Unit]) -> Unit | None:
        """The next unit for who holds others; None if there is none for him.

        A suspect is given to who holds nothing, and nothing beside it: whom it kills, it alone is to blame for.
        """
        if any(unit.suspect for unit in held):
            return None
        while self._back:
            if (unit := self._back.popleft()).left:
                return unit
        if videos := self._handout.take():
            return Unit({video.id: video for video in videos})
        while self._suspects and not held:
            if (unit := self._suspects.popleft()).left:
                return unit
        return None

    def put_back(self, units: Iterable[Unit], *, blamed: bool) -> list[Video]:
        """Who held ``units`` is lost.

        Args:
            units: of which some videos may be done.
            blamed: whether they may be why; not so if a whole node is lost.

        Returns:
            Videos that are given up.
        """
        given_up: list[Video] = []
        for unit in units:
            unit.deaths += blamed and unit.suspect  # else others were held beside it
            unit.suspect |= blamed
            if not unit.left:
                continue
            if unit.deaths < DEATHS:
                (self._suspects if unit.suspect else self._back).append(unit)
            elif len(unit.left) == 1:
                given_up.extend(unit.left.values())
            else:
                self._suspects.extend(_halves(unit))
        return given_up

    def strike(self, done: Iterable[str]) -> None:
        """Videos that are done need no doing again, whoever did them."""
        names = frozenset(done)
        for waiting in (self._back, self._suspects):
            for unit in waiting:
                unit.left = {name: video for name, video in unit.left.items() if name not in names}

    def waiting(self) -> bool:
        """Whether there is something for who holds nothing."""
        return len(self._handout) > 0 or any(unit.left for unit in (*self._back, *self._suspects))


def _halves(unit: Unit) -> tuple[Unit, Unit]:
    videos = list(unit.left.items())
    middle = len(videos) // 2
    return Unit(dict(videos[:middle]), suspect=True), Unit(dict(videos[middle:]), suspect=True)
