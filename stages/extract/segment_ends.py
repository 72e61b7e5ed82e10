"""Segments that a table lets end after their file does: they are stored as far as there are frames, and told."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...cache.ledger import ShardRecord
from ...cache.store import FeatureStore
from ...data.arrays import Float64
from ...data.types import Video
from ...data.wording import counted

MOST = 3  # that are named
SLACK_S = 0.1  # by which tables round the length of a file


def overrun_note(videos: Sequence[Video], store: FeatureStore, shards: Sequence[ShardRecord]) -> str:
    """One line: how many segments end after their file, and by how much; empty where none does.

    Args:
        videos: that were asked for; those that are whole files are passed over.
        store: where their features are.
        shards: of the store.
    """
    wanted = {video.id: video.span for video in videos if video.span is not None and video.span.end_s < math.inf}
    places = [
        (shard.name, row, stored)
        for shard in shards
        for row, stored in enumerate(shard.videos)
        if stored.id in wanted and stored.frames
    ]
    if not places:
        return ""
    table = store.attach(places)
    overrun = []
    for row, video_id in enumerate(table.ids):
        span = wanted[video_id]
        rows = slice(*table.offsets[row : row + 2])
        covered_s = _covered_s(table.times_s_N[rows])
        if table.ends_s_N is not None:  # what is left over after whole windows is shorter than one
            starts_s, ends_s = table.times_s_N[rows], table.ends_s_N[rows]
            covered_s = float(ends_s[-1] - starts_s[0] + (ends_s - starts_s).max())
        missing_s = span.end_s - span.start_s - covered_s
        if missing_s > SLACK_S:
            overrun.append((missing_s, video_id))
    if not overrun:
        return ""
    longest = sorted(overrun, reverse=True)[:MOST]
    named = ", ".join(f"'{video_id}' by about {missing_s:.1f} s" for missing_s, video_id in longest)
    more = ", ..." if len(overrun) > MOST else ""
    end = counted(len(overrun), "segment ends after its file, and is", "segments end after their files, and are")
    return f"{end} stored up to there: {named}{more}"


def _covered_s(times_s_T: Float64) -> float:
    """Seconds from the first frame to the end of the last, which is shown as long as the longest of the others."""
    steps_s = np.diff(times_s_T)
    longest_s = float(steps_s.max()) if len(steps_s) else math.inf  # of a single frame nothing is known
    return float(times_s_T[-1] - times_s_T[0]) + longest_s
