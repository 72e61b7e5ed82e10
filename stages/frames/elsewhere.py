"""Frames that are left in their files, for processes that stand elsewhere: in another folder, or on another machine."""

from __future__ import annotations

from dataclasses import replace

from ...cache.shard_rows import ShardFeatures, ShardRows
from ...cache.store import FrameTable
from ...data.errors import StageError


def seen_from_elsewhere(table: FrameTable) -> FrameTable:
    """The same table with the whole paths of its files."""
    rows = table.features_ND
    if not isinstance(rows, ShardRows):
        return table
    return replace(table, features_ND=replace(rows, shards=tuple(map(_absolute, rows.shards))))


def _absolute(shard: ShardFeatures) -> ShardFeatures:
    remote = shard.remote and replace(shard.remote, top=shard.remote.top.absolute())
    return replace(shard, path=shard.path.absolute(), remote=remote)


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
    for shard in table.features_ND.shards:
        if shard.remote is None and not shard.path.exists():  # those of a bucket are fetched
            raise StageError(
                f"'{shard.path}' is not there: features that stay in their files have to be on a disk that all nodes "
                f"share, at the same path; {way_out}"
            )
