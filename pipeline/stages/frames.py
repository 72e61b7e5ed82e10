"""The frames that a stage reads, loaded once for all stages of a run that read the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...data.fit_settings import FitSettings
from ..stage import Work

if TYPE_CHECKING:
    from ...cache.ledger import StoredVideo
    from ...cache.store import FrameTable


def load(work: Work, ids: list[str], settings: FitSettings, *, keep: bool = False) -> FrameTable:
    """The frames of some videos, in that order, in memory or left in their shards.

    Args:
        work: of the stage.
        ids: of the videos.
        settings: what memory there is for them (``fit.memory_gb``), and on which device.
        keep: for stages of the same run that read the same, and go through the frames in their order.
    """
    from ...stages.frames.loading import load_frames

    snapshot = work.snapshot
    asked = (snapshot.store_key, ids)
    if keep and work.shared.get("frames of") == asked:
        kept: FrameTable = work.shared["frames"]
        return kept
    table = load_frames(snapshot.open_store(), _places(work, ids), settings, progress=work.progress, in_order=keep)
    if keep:
        work.shared.update({"frames": table, "frames of": asked})
    return table


def in_files(work: Work, ids: list[str]) -> FrameTable:
    """The frames of some videos, in that order, left in their shards."""
    return work.snapshot.open_store().attach(_places(work, ids))


def _places(work: Work, ids: list[str]) -> list[tuple[str, int, StoredVideo]]:
    return [work.snapshot.stored[video_id] for video_id in ids]
