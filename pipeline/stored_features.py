"""The stored features of a work folder as a mapping, each video read from its shard when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ..data.errors import StaleError
from ..stages.search.queries import Names
from .snapshot import Snapshot

if TYPE_CHECKING:
    from ..cache.store import FrameTable
    from ..data.arrays import Float16, Float64


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrames:
    """The features of the frames of one video, in order of time.

    Attributes:
        id: of the video; of a file that is in no work folder, its path.
        features: (T, D) float16, one row for each frame, or for each window of a clip backbone.
        times_s: (T,) float64, seconds, strictly rising, as the container has them; of windows, when they begin.
        ends_s: (T,) float64, when windows end; None of frames.
    """

    id: str
    features: Float16 = field(repr=False)
    times_s: Float64 = field(repr=False)
    ends_s: Float64 | None = field(default=None, repr=False)

    @classmethod
    def of(cls, video_id: str, table: FrameTable) -> VideoFrames:
        """The one video of a table that is in memory."""
        import numpy as np

        assert isinstance(table.features_ND, np.ndarray)
        return cls(video_id, table.features_ND, table.times_s_N, table.ends_s_N)

    def __len__(self) -> int:
        return len(self.times_s)


class StoredFeatures(Mapping[str, VideoFrames]):
    """The features of all videos of a store, by id or by a name that only one video has.

    Iterating gives ids, in their order; nothing is read before a video is asked for, and nothing is kept.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._ids = snapshot.stored_ids()

    def __getitem__(self, name: str) -> VideoFrames:
        """Read a video.

        Raises:
            KeyError: if none is called so.
            UsageError: if several are.
            StoreError: if its shard is damaged.
        """
        video_id = self.id_of(name)
        if video_id is None:
            near = self.names.near(name)
            raise KeyError(f"no features of {name!r} are stored{f'; there is {near[0]}' if near else ''}")
        table = self._snapshot.open_store().load([self._snapshot.stored[video_id]])
        return VideoFrames.of(video_id, table)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.id_of(name) is not None

    def id_of(self, name: str) -> str | None:
        """The id of the video that is called so; None if none is.

        Raises:
            UsageError: if several are.
        """
        found = self.names.find(name)
        return None if found is None else self._ids[found]

    @property
    def width(self) -> int:
        """D.

        Raises:
            StaleError: if nothing is stored.
        """
        snapshot = self._snapshot
        if not self._ids:
            raise StaleError("no features are stored for these settings yet: run `mofore extract`")
        return snapshot.open_store().width(snapshot.stored[self._ids[0]].shard)

    @cached_property
    def names(self) -> Names:
        """What the videos are called."""
        return Names(self._ids)
