"""What queries are made of: frames of the store, and the backbone that made them, for what is not stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..data.errors import StaleError, UsageError
from .snapshot import Snapshot

if TYPE_CHECKING:
    from ..cache.store import FrameTable
    from ..stages.search.encoder import QueryEncoder


class QuerySources:
    """The store and the encoder of a work folder; the encoder is loaded once."""

    def __init__(self, snapshot: Snapshot, note: Callable[[str], None]) -> None:
        self.snapshot, self.note = snapshot, note
        self._encoder: QueryEncoder | None = None

    def stored(self, ids: Sequence[str]) -> FrameTable:
        """The stored frames of videos, left in their shards.

        Raises:
            StaleError: if they are not there.
        """
        gone = [video_id for video_id in ids if video_id not in self.snapshot.stored]
        if gone:
            raise StaleError(
                f"the features of {gone[0]} are not there any more: run `{self.snapshot.workspace.told('index')}`"
            )
        return self.snapshot.open_store().attach([self.snapshot.stored[video_id] for video_id in ids])

    def open_encoder(self) -> QueryEncoder:
        """The backbone.

        Raises:
            UsageError: if the features were imported.
            StaleError: if the store does not say how its features were made.
        """
        if self._encoder is None:
            from ..stages.search.encoder import QueryEncoder

            snapshot = self.snapshot
            if snapshot.catalog.imported:
                raise UsageError(
                    "files cannot be searched for, videos of the index can (by id or name): these features were "
                    f"imported ({snapshot.config.extract.backbone}), the encoder that made them is not here"
                )
            pinned = snapshot.open_store().encoder()
            if pinned is None:
                raise StaleError("the store does not say how its features were made: run `mofore extract --force`")
            self._encoder = QueryEncoder(snapshot.config.extract, snapshot.weights, pinned, note=self.note)
        return self._encoder
