"""``mofore duplicates``: videos that are nearly the same, or parts of others; those on different sides first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ...data.errors import UsageError
from ...data.types import recording_of
from ...data.wording import counted
from .. import console
from ..snapshot import Snapshot
from .search import find_index

if TYPE_CHECKING:
    from ...stages.search.near_duplicates import Stretch
    from ...stages.vectors.vector_index import Items

THRESHOLD = 0.7  # of cosines of centred frame features, see docs/findings.md
LEAST_S = 1.0  # length of a stretch


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two videos of which a stretch is nearly the same."""

    video: str  # id of one; where one is inside the other, the shorter one
    other: str  # id of the other
    kind: str  # copy (nearly all of both), part (nearly all of ``video`` is in ``other``), overlap
    side: str  # of ``video``: train, test, or the user's own name
    other_side: str  # of ``other``
    across: bool  # whether one is searched (train) and the other asks: what flatters R@1
    same_class: bool | None  # whether they share a class; None where one has none
    same_recording: bool | None  # whether both are cut from one recording; None where that is not known
    similarity: float  # mean cosine of the clips that match
    start_s: float  # where the stretch begins in ``video``, seconds from its first frame
    end_s: float  # where it ends there
    other_start_s: float  # where it begins in ``other``
    other_end_s: float  # where it ends there
    share: float  # of ``video`` that it covers, 0 to 1
    other_share: float  # of ``other``


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What was found, and how it was looked for."""

    found: tuple[Duplicate, ...]
    videos: int
    space: str
    threshold: float

    @property
    def across(self) -> int:
        """Pairs of which one side asks and the other is searched."""
        return sum(each.across for each in self.found)

    @property
    def queries(self) -> int:
        """Test videos with a near-duplicate among the training videos."""
        return len({each.video if each.side != "train" else each.other for each in self.found if each.across})


def find(
    snapshot: Snapshot, *, space: str = "frames", threshold: float = THRESHOLD, least_s: float = LEAST_S
) -> Duplicates:
    """Near-duplicates among the indexed videos, those across sides first, then by similarity and length.

    Args:
        snapshot: of the work folder.
        space: whose clips are compared; raw frame features tell copies apart best.
        threshold: least cosine of two clips that match, centred as the index is.
        least_s: least length of a stretch, seconds; shorter videos must match whole.

    Raises:
        UsageError: if the threshold is none.
        StaleError: if the space is not indexed at the level of clips, with the command that would.
    """
    if not 0.0 < threshold <= 1.0 or least_s < 0:
        raise UsageError(
            f"--threshold {threshold:g} --least {least_s:g}: a cosine above 0, up to 1, and seconds from 0 are needed"
        )
    from ...stages.search.near_duplicates import near_duplicates
    from ...stages.vectors.vector_index import VectorIndex

    index = VectorIndex.load(find_index(snapshot, space, "clip"))
    stretches = near_duplicates(index.search, index.vectors, index.items, threshold=threshold, least_s=least_s)
    found = sorted((_duplicate(index.items, each) for each in stretches), key=lambda each: not each.across)
    return Duplicates(tuple(found), len(index.items.videos), space, threshold)


def _duplicate(items: Items, stretch: Stretch) -> Duplicate:
    order = (0, 1) if stretch.shares[0] >= stretch.shares[1] else (1, 0)  # the one that is inside the other first
    one, other = (items.videos[stretch.videos[side]] for side in order)
    spans, shares = [stretch.spans_s[side] for side in order], [stretch.shares[side] for side in order]
    roles = {one["role"], other["role"]}
    return Duplicate(
        video=one["id"],
        other=other["id"],
        kind=stretch.kind,
        side=one.get("side", one["role"]),
        other_side=other.get("side", other["role"]),
        across=roles == {"train", "test"},
        same_class=_same_class(one, other),
        same_recording=_same_recording(one, other),
        similarity=stretch.similarity,
        start_s=spans[0][0],
        end_s=spans[0][1],
        other_start_s=spans[1][0],
        other_end_s=spans[1][1],
        share=shares[0],
        other_share=shares[1],
    )


def _same_class(one: Any, other: Any) -> bool | None:
    sets = [set(video.get("labels") or [video["label"]]) - {None} for video in (one, other)]
    return bool(sets[0] & sets[1]) if all(sets) else None


def _same_recording(one: Any, other: Any) -> bool | None:
    names = [recording_of(video["label"], video["group"]) for video in (one, other)]
    return names[0] == names[1] if None not in names else None


def as_json(duplicates: Duplicates, shown: Sequence[Duplicate]) -> str:
    """Everything that was found, or the first of it."""
    head = {
        "videos": duplicates.videos,
        "space": duplicates.space,
        "threshold": duplicates.threshold,
        "pairs": len(duplicates.found),
        "pairs_across": duplicates.across,
        "queries_with_a_duplicate_in_training": duplicates.queries,
    }
    return json.dumps({**head, "duplicates": [asdict(each) for each in shown]}, indent=2)


def as_csv(shown: Sequence[Duplicate]) -> str:
    """A row for each pair."""
    return console.as_csv(Duplicate.__dataclass_fields__, (asdict(each).values() for each in shown))


def show(duplicates: Duplicates, shown: Sequence[Duplicate], hidden: int = 0) -> None:
    """What a pair is, and where in both; ``hidden`` are more than are shown."""
    found = duplicates.found
    if not found:
        _say(
            f"no near-duplicates among {counted(duplicates.videos, 'video')} (clips of the space {duplicates.space} "
            f"with a cosine of {duplicates.threshold:g}; --threshold)"
        )
        return
    _say(
        f"near-duplicate pairs among {counted(duplicates.videos, 'video')}: {len(found):,}; between test and training: "
        f"{duplicates.across:,} (test videos that have one: {duplicates.queries:,})"
    )
    for each in shown:
        about = [f"{each.side} - {each.other_side}", f"similarity {each.similarity:.3f}"]
        about += ["same recording"] * bool(each.same_recording) + ["other class"] * (each.same_class is False)
        mark = "! " if each.across else "  "
        _say(f"{mark}{each.kind:<8}{', '.join(about)}")
        spans = (
            (each.video, each.start_s, each.end_s, each.share),
            (each.other, each.other_start_s, each.other_end_s, each.other_share),
        )
        for name, start_s, end_s, share in spans:
            _say(f"    {start_s:8.2f} -{end_s:8.2f} s  {share:4.0%}  {name}")
    if hidden:
        _say(f"and {hidden:,} more: --limit 0 shows all")


def _say(line: str) -> None:
    console.write_text(line + "\n")
