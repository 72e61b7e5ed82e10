"""Frames that are left in their files, for processes that stand elsewhere: in another folder, or on another machine."""

from __future__ import annotations

from dataclasses import replace

from ...cache.shard_rows import ShardRows
from ...cache.store import FrameTable
from ...data.errors import StageError


def seen_from_elsewhere(table: FrameTable) -> FrameTable:
    """The same table with the whole paths of its files."""
    rows = table.features_ND
    if not isinstance(rows, ShardRows):
        return table
    shards = tuple(replace(shard, path=shard.path.absolute()) for shard in rows.shards)
    return replace(table, features_ND=replace(rows, shards=shards))


def refuse_unseen(table: FrameTable, way_out: str) -> None:
    """Say at once, and better than a read that fails, that this machine lacks the files.

    Args:
        table: which may be in memory as well.
        way_out: what would do.

    Raises:
        StageError: if so.
    """
    if not isinstance(table.features_ND, ShardRows):
        return
    for path in (shard.path for shard in table.features_ND.shards):
        if not path.exists():
            raise StageError(
                f"'{path}' is not there: features that stay in their files have to be on a disk that all nodes share, "
                f"at the same path; {way_out}"
            )
