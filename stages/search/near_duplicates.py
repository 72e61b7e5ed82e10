"""Near-duplicates: videos that show the same pictures, or parts of one inside another, found from vectors of clips.

Clips of two videos that are nearly alike and lie at the same distance in time are one stretch: a copy, re-encoded or
trimmed, keeps time, so the clips that match lie on a diagonal. Where nothing moves every clip matches every other, and
the diagonal that matches longest is taken, of equal ones that with the smallest shift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ...data.arrays import Float32, Float64, Int64
from ..vectors.vector_index import Items

WHOLE = 0.8  # share of a video that counts as all of it: the last clip seldom ends with the video
NEIGHBOURS, MOST_NEIGHBOURS = 64, 4096  # asked for at first, and at most, of every clip
BLOCK = 1024  # clips that are asked for at a time

Search = Callable[[Float32, int], tuple[Float32, Int64]]  # unit vectors (Q, E) and k to cosines and rows (Q, K)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of one video that is nearly the same as a part of another."""

    videos: tuple[int, int]  # positions of both in ``Items.videos``, the earlier one first
    spans_s: tuple[tuple[float, float], tuple[float, float]]  # where it is in each, seconds from the first frame
    shares: tuple[float, float]  # of each video that it covers, 0 to 1
    similarity: float  # mean cosine of the clips that match
    clips: int  # that match

    @property
    def kind(self) -> str:
        """Nearly all of both is a copy; nearly all of one, which lies in the other, a part; else they overlap."""
        whole = [share >= WHOLE for share in self.shares]
        return "copy" if all(whole) else "part" if any(whole) else "overlap"


def near_duplicates(
    search: Search, vectors_of: Callable[[Int64], Float32], items: Items, *, threshold: float, least_s: float
) -> list[Stretch]:
    """The longest stretch of every two videos that have one, the most alike first.

    Args:
        search: the nearest clips of some vectors, by cosine, best first.
        vectors_of: vectors (R, E) of some rows.
        items: what the N rows are: clips, with their seconds.
        threshold: least cosine of two clips that match.
        least_s: least length of a stretch, seconds; shorter videos must match whole.
    """
    if items.start_s_N is None or items.end_s_N is None:
        raise ValueError("clips with their seconds are needed")
    length_V = _lengths(items)
    hop_s = _hop_s(items)
    found = []
    for (one, other), pairs_P2, cosine_P in _by_videos(_pairs(search, vectors_of, items, threshold), items):
        stretch = _longest(items, (one, other), pairs_P2, cosine_P, length_V, hop_s)
        covered_s = min(end - start for start, end in stretch.spans_s)
        if covered_s >= least_s or max(stretch.shares) >= WHOLE:
            found.append(stretch)
    return sorted(found, key=lambda each: (-each.similarity * max(each.shares), each.videos))


def _pairs(
    search: Search, vectors_of: Callable[[Int64], Float32], items: Items, threshold: float
) -> Iterator[tuple[Int64, Float64]]:
    """Pairs of rows (P, 2) of different videos at or above the threshold, the earlier video's first; their cosines.

    More neighbours are asked for as long as the last one is still near enough: a clip's own video comes first.
    """
    for begin in range(0, len(items), BLOCK):
        rows = np.arange(begin, min(begin + BLOCK, len(items)))
        count = NEIGHBOURS
        while len(rows):
            cosine_QK, row_QK = search(vectors_of(rows), count)
            whole = (cosine_QK.shape[1] < count) or count >= MOST_NEIGHBOURS
            done_Q = np.ones(len(rows), bool) if whole else cosine_QK[:, -1] < threshold
            near_QK = (cosine_QK >= threshold) & (row_QK >= 0) & done_Q[:, None]
            query, place = np.nonzero(near_QK)
            left, right = rows[query], row_QK[query, place]
            later = items.video_N[left] < items.video_N[right]
            yield np.stack([left, right], axis=1)[later], cosine_QK[query, place][later].astype(np.float64)
            rows, count = rows[~done_Q], count * 4


def _by_videos(
    found: Iterator[tuple[Int64, Float64]], items: Items
) -> Iterator[tuple[tuple[int, int], Int64, Float64]]:
    """The pairs of rows of every two videos."""
    parts = [part for part in found if len(part[0])]
    if not parts:
        return
    pairs_P2, cosine_P = (np.concatenate(each) for each in zip(*parts, strict=True))
    video_P2 = items.video_N[pairs_P2]
    order_P = np.lexsort((pairs_P2[:, 1], pairs_P2[:, 0], video_P2[:, 1], video_P2[:, 0]))
    pairs_P2, cosine_P, video_P2 = pairs_P2[order_P], cosine_P[order_P], video_P2[order_P]
    borders = np.flatnonzero((np.diff(video_P2, axis=0) != 0).any(axis=1)) + 1
    for part in np.split(np.arange(len(pairs_P2)), borders):
        one, other = video_P2[part[0]]
        yield (int(one), int(other)), pairs_P2[part], cosine_P[part]


def _longest(
    items: Items,
    videos: tuple[int, int],
    pairs_P2: Int64,
    cosine_P: Float64,
    length_V: Mapping[int, float],
    hop_s: float,
) -> Stretch:
    """The shift in time at which most clips match, and what they cover."""
    assert items.start_s_N is not None
    assert items.end_s_N is not None
    start_P2, end_P2 = items.start_s_N[pairs_P2], items.end_s_N[pairs_P2]
    shift_P = start_P2[:, 1] - start_P2[:, 0]
    candidates = np.unique(np.round(shift_P, 6))
    best, best_score = None, (-1, -1.0, -np.inf)
    for shift in candidates:
        on_P = np.abs(shift_P - shift) <= hop_s / 2 + 1e-6
        count = min(len(np.unique(pairs_P2[on_P, side])) for side in (0, 1))
        score = (count, round(float(cosine_P[on_P].mean()), 6), -abs(float(shift)))
        if score > best_score:
            best, best_score = on_P, score
    assert best is not None
    covered = [_union(start_P2[best, side], end_P2[best, side]) for side in (0, 1)]
    spans = tuple((float(start_P2[best, side].min()), float(end_P2[best, side].max())) for side in (0, 1))
    shares = tuple(min(1.0, covered[side] / max(length_V[videos[side]], 1e-9)) for side in (0, 1))
    return Stretch(videos, spans, shares, float(cosine_P[best].mean()), best_score[0])  # type: ignore[arg-type]


def _union(start_s: Float64, end_s: Float64) -> float:
    """Seconds that some spans cover together."""
    order = np.argsort(start_s, kind="stable")
    start_s, reach_s = start_s[order], np.maximum.accumulate(end_s[order])
    before_s = np.concatenate([[-np.inf], reach_s[:-1]])
    return float(np.maximum(reach_s - np.maximum(start_s, before_s), 0.0).sum())


def _lengths(items: Items) -> Mapping[int, float]:
    """Seconds of each video that its clips cover."""
    assert items.start_s_N is not None
    assert items.end_s_N is not None
    order_N = np.argsort(items.video_N, kind="stable")
    borders = np.flatnonzero(np.diff(items.video_N[order_N])) + 1
    parts = [part for part in np.split(order_N, borders) if len(part)]
    return {int(items.video_N[part[0]]): _union(items.start_s_N[part], items.end_s_N[part]) for part in parts}


def _hop_s(items: Items) -> float:
    """Seconds from clip to clip, the median; of videos of one clip alone, the clip's length."""
    assert items.start_s_N is not None
    assert items.end_s_N is not None
    steps = np.diff(items.start_s_N)[np.diff(items.video_N) == 0]
    lengths = items.end_s_N - items.start_s_N
    return float(np.median(steps)) if len(steps) else float(np.median(lengths)) if len(lengths) else 0.0
