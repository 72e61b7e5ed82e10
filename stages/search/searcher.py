"""Search: the nearest videos, or moments, of an index; exact bookkeeping of what may be found and how it is shown.

Nothing here needs torch: a query by the id of an indexed video is answered from the index alone. What needs the
networks comes through :class:`.embedding.QueryEmbedding`, which is opened when it is first asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.arrays import Bool, Float32, Int64
from ...data.errors import UsageError
from ...data.sampling import Span
from ...data.types import recording_of
from ...data.wording import counted
from ..vectors.normalize import l2_normalize
from ..vectors.vector_index import Items, VectorIndex
from .queries import Asked, GivenVector, ImageFile, IndexedVideo, Names, Phrase, Query
from .rerank import TOP, changes, rerank

if TYPE_CHECKING:
    from .embedding import QueryEmbedding

FEW_HIDDEN = 256  # rows that may not be found and are cheaper to ask for and drop than to hide from FAISS
FAINT = 1e-4  # length of the mean of unit vectors, below which it is rounding


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One answer.

    Attributes:
        rank: from 1.
        video_id: its id.
        label: its class.
        group: its recording.
        similarity: cosine to the query, centred as the index is (not for texts).
        right: whether its class is the query's; None where either is not known.
        start_s: where the clip begins, seconds from the first frame; None at the level of videos.
        end_s: where it ends.
        distance: of the sequences, where neighbours were re-ranked by it.
        metadata: what else a table says of it, by column.
    """

    rank: int
    video_id: str
    label: str | None
    group: str | None
    similarity: float
    right: bool | None = None
    start_s: float | None = None
    end_s: float | None = None
    distance: float | None = None
    metadata: Mapping[str, str] | None = None

    @property
    def span(self) -> Span | None:
        """The clip that was found, where an index of clips says which; None for whole videos."""
        return None if self.start_s is None or self.end_s is None else Span(self.start_s, self.end_s)


@dataclass(frozen=True, slots=True)
class Answer:
    """The neighbours of a query."""

    queries: tuple[Query, ...]  # as they were understood
    space: str  # that was searched
    level: str  # video or clip
    label: str | None  # class of the query, where its videos have one in common
    neighbours: tuple[Neighbour, ...]  # the nearest first
    notes: tuple[str, ...] = ()  # what is worth knowing

    @property
    def query(self) -> str:
        """All of them in one line."""
        return " + ".join(map(str, self.queries))


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows of an index, best first."""

    row_K: Int64  # the rows
    similarity_K: Float32  # of each
    distance_K: Float32 | None = None  # of the sequences of the first ones, where they were re-ranked


@dataclass(frozen=True)
class Searcher:
    """An index that is ready to be asked."""

    index: VectorIndex  # to search
    open_embedding: Callable[[], QueryEmbedding]  # called when the first query needs it

    @cached_property
    def names(self) -> Names:
        """Whom a query may mean: the videos of the index, by what they may be called."""
        return Names(str(video["id"]) for video in self.index.items.videos)

    @cached_property
    def embedding(self) -> QueryEmbedding:
        """What makes vectors of queries, opened when it is first asked for."""
        return self.open_embedding()

    def answer(self, queries: Sequence[Query], asked: Asked) -> Answer:
        """The nearest of a query, or of the mean of several; the queries' own videos are left out.

        Raises:
            UsageError: if a filter names nothing or leaves nothing, or the query cannot be searched for so.
            VideoError: if a file cannot be read.
        """
        items, about = self.index.items, self.index.about
        allowed_N = allowed_rows(items, asked, queries)
        if asked.rerank:
            ranking = self._reranked(queries, asked, self._nearest(queries, max(asked.count, TOP), allowed_N))
        else:
            ranking = self._nearest(queries, asked.count, allowed_N)
        own = _own_videos(items, queries)
        label = _common(own) if len(own) == len(queries) else None
        found = tuple(self._neighbour(ranking, place, label) for place in range(min(asked.count, len(ranking.row_K))))
        notes = _notes(items, allowed_N, label, asked.count)
        return Answer(tuple(queries), about.space, about.level, label, found, notes)

    def _nearest(self, queries: Sequence[Query], count: int, allowed_N: Bool) -> Ranking:
        """The nearest rows; to a text those of vectors that are not centred, by brute force."""
        if any(isinstance(query, Phrase) for query in queries):
            query_E = _mean([self._vector(query, centered=False) for query in queries])
            return nearest_uncentered(self.index, query_E, count, allowed_N)
        query_E = _mean([self._vector(query, centered=True) for query in queries])
        hidden = int((~allowed_N).sum())
        if hidden <= FEW_HIDDEN:
            similarity_1K, row_1K = self.index.search(query_E[None], count + hidden)
        else:
            similarity_1K, row_1K = self.index.search(query_E[None], count, allowed_N)
        found_K = (row_1K[0] >= 0) & allowed_N[row_1K[0]]
        return Ranking(row_1K[0][found_K][:count], similarity_1K[0][found_K][:count])

    def _vector(self, query: Query, *, centered: bool) -> Float32:
        """Unit vector (E,) of a query; of a video of the index the mean of its rows."""
        if isinstance(query, IndexedVideo) and query.span is None:
            rows = np.flatnonzero(self.index.items.video_N == query.video)
            rows_RE = self.index.vectors(rows) if centered else self.index.embeddings_NE[rows]
            return _mean(list(rows_RE))
        query_E = self._given(query) if isinstance(query, GivenVector) else self.embedding.vector(query)
        return self.index.centered(query_E[None])[0] if centered else query_E

    def _given(self, query: GivenVector) -> Float32:
        if query.vector_E.shape != self.index.mean_E.shape:
            width, space = len(self.index.mean_E), self.index.about.space
            raise UsageError(f"{query} was given, the space {space!r} is of width {width}: embed it in that space")
        return query.vector_E

    def _reranked(self, queries: Sequence[Query], asked: Asked, ranking: Ranking) -> Ranking:
        """The same rows, the first ones in another order."""
        query, items = queries[0], self.index.items
        if len(queries) > 1 or isinstance(query, Phrase | ImageFile | GivenVector):
            raise UsageError("--rerank compares how two videos unfold: it takes one query, a video")
        places = [(items.of(row)["id"], _span(items, row)) for row in ranking.row_K[:TOP]]
        seen = self._centered if asked.by == "looks" else changes
        found_KSE = seen(self.embedding.stored_sequences(places, asked.steps))
        asked_1SE = seen(self.embedding.sequence(query, asked.steps)[None])
        similarity_1K = ranking.similarity_K[None] if asked.by == "both" else None
        place_1K = np.arange(len(ranking.row_K))[None]
        method = asked.rerank or ""
        order_1K, distance_1K = rerank(asked_1SE, found_KSE, place_1K, method, similarity_QK=similarity_1K)
        return Ranking(ranking.row_K[order_1K[0]], ranking.similarity_K[order_1K[0]], distance_1K[0])

    def _centered(self, sequences_NSE: Float32) -> Float32:
        flat = sequences_NSE.reshape(-1, sequences_NSE.shape[-1])
        return self.index.centered(flat).reshape(sequences_NSE.shape)

    def _neighbour(self, ranking: Ranking, place: int, label: str | None) -> Neighbour:
        row, distance_K = int(ranking.row_K[place]), ranking.distance_K
        video, span = self.index.items.of(row), _span(self.index.items, row)
        return Neighbour(
            rank=place + 1,
            video_id=video["id"],
            label=video["label"],
            group=video["group"],
            similarity=float(ranking.similarity_K[place]),
            right=None if label is None or video["label"] is None else _shares(video, label),
            start_s=None if span is None else span.start_s,
            end_s=None if span is None else span.end_s,
            distance=float(distance_K[place]) if distance_K is not None and place < len(distance_K) else None,
            metadata=video.get("metadata"),
        )


def allowed_rows(items: Items, asked: Asked, queries: Sequence[Query]) -> Bool:
    """Rows (N,) that may be found: what the filters leave, without the videos of the queries.

    Raises:
        UsageError: if a class is not there, the group of a query is not known, or nothing is left.
    """
    allowed_V = np.ones(len(items.videos), bool)
    own = [query.video for query in queries if isinstance(query, IndexedVideo)]
    allowed_V[own] = False
    if asked.classes:
        _refuse_unknown(items, asked.classes)
        allowed_V &= [bool(_classes(video) & set(asked.classes)) for video in items.videos]
    if asked.role:
        _refuse_unknown_side(items, asked.role)
        allowed_V &= [asked.role in (video["role"], video.get("side")) for video in items.videos]
    if asked.exclude_same_group:
        groups = _groups(items, queries)
        allowed_V &= [not _recordings(video) & groups for video in items.videos]
    if not allowed_V.any():
        raise UsageError(f"{_described(asked)} leaves none of the {counted(len(items.videos), 'video')} to be found")
    return np.asarray(allowed_V[items.video_N])


def nearest_uncentered(index: VectorIndex, query_E: Float32, count: int, allowed_N: Bool) -> Ranking:
    """The nearest of the embeddings as they are, before centring; equal cosines by row.

    A text's vector is no picture's: the mean of the pictures is nothing that could be subtracted from it.
    """
    rows = np.flatnonzero(allowed_N)
    cosine_R = index.embeddings_NE[rows] @ query_E
    order_K = np.argsort(-cosine_R, kind="stable")[:count]
    return Ranking(rows[order_K], np.asarray(cosine_R[order_K]))


def _own_videos(items: Items, queries: Sequence[Query]) -> list[Any]:
    return [items.videos[query.video] for query in queries if isinstance(query, IndexedVideo)]


def _classes(video: Mapping[str, Any]) -> set[str]:
    """Of a video of the index: several, one or none."""
    return set(video.get("labels") or ([] if video["label"] is None else [video["label"]]))


def _shares(video: Mapping[str, Any], label: str) -> bool:
    """Whether it has one of the classes, with semicolons between, that a query has."""
    return video["label"] == label or bool(_classes(video) & set(label.split(";")))


def _recordings(video: Mapping[str, Any]) -> set[str]:
    """What it may have been cut from: groups that are numbers count anew in each of its classes."""
    classes: set[str | None] = {*_classes(video)} or {None}
    names = {recording_of(label, video["group"]) for label in classes}
    return {name for name in names if name is not None}


def _groups(items: Items, queries: Sequence[Query]) -> set[str]:
    """Recordings of the queries."""
    own = [_recordings(video) for video in _own_videos(items, queries)]
    if len(own) < len(queries) or not all(own):
        raise UsageError(
            "--exclude-same-group: the group of the query is not known; it is of videos of the index that have one "
            "(v_<Class>_gNN_cNN)"
        )
    return set.union(*own)


def _refuse_unknown(items: Items, classes: Sequence[str]) -> None:
    known = sorted({label for video in items.videos for label in _classes(video)})
    for name in classes:
        if name not in known:
            by_case = {label.casefold(): label for label in known}
            near = [by_case[text] for text in get_close_matches(name.casefold(), by_case, 3, 0.5)]
            few = f"; there are: {', '.join(known[:8]) or 'none'}{', ...' if len(known) > 8 else ''}"
            hint = f"; did you mean {' or '.join(near)}?" if near else few
            raise UsageError(f"--class {name}: no video of the index has this class{hint}")


def _refuse_unknown_side(items: Items, side: str) -> None:
    known = {name for video in items.videos for name in (video["role"], video.get("side")) if name}
    if side not in {*known, "train", "test", "unassigned"}:
        raise UsageError(
            f"--split {side}: no video of the index is on this side; there are: {', '.join(sorted(known))}"
        )


def _described(asked: Asked) -> str:
    parts = [f"--class {name}" for name in asked.classes]
    parts += [f"--split {asked.role}"] if asked.role else []
    parts += ["--exclude-same-group"] if asked.exclude_same_group else []
    return " ".join(parts) or "leaving out the query itself"


def _notes(items: Items, allowed_N: Bool, label: str | None, count: int) -> tuple[str, ...]:
    notes = []
    if label is not None:
        videos = {int(video) for video in np.unique(items.video_N[allowed_N])}
        if not any(_shares(items.videos[video], label) for video in videos):
            notes.append(f"nothing that may be found has the query's class, {label}")
    if count > int(allowed_N.sum()):
        notes.append(f"{count:,} were asked for, {int(allowed_N.sum()):,} may be found")
    return tuple(notes)


def _span(items: Items, row: int) -> Span | None:
    if items.start_s_N is None or items.end_s_N is None:
        return None
    start_s, end_s = float(items.start_s_N[row]), float(items.end_s_N[row])
    return Span(start_s, end_s if end_s > start_s else math.inf)  # a single frame lasts as long as nothing else comes


def _mean(vectors: Sequence[Float32]) -> Float32:
    """The unit vector in the direction of the mean.

    Raises:
        UsageError: if there is none.
    """
    if len(vectors) == 1:
        return vectors[0]
    mean_E: Float32 = np.asarray(np.mean(vectors, axis=0), np.float32)
    if np.linalg.norm(mean_E) < FAINT:
        raise UsageError("the queries are each other's opposite: their mean is like nothing; ask for one at a time")
    return np.asarray(l2_normalize(mean_E[None])[0])


def _common(videos: Sequence[Mapping[str, Any]]) -> str | None:
    """The classes that all of them have, with semicolons between."""
    if not videos or not all(_shares(video, str(videos[0]["label"])) for video in videos):
        return None
    shared = set.intersection(*map(_classes, videos))
    return ";".join(label for label in str(videos[0]["label"]).split(";") if label in shared) or None
