"""Queries as vectors of a space: from stored features where there are any, else from pixels or text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...cache.shard import row_offsets
from ...cache.store import FrameTable
from ...data.arrays import Float16, Float32, Int64
from ...data.errors import UsageError
from ...data.sampling import ROUNDING_S, Span
from ..frames.memory import FrameTensors
from ..model.spaces import Space
from .queries import GivenFrames, GivenVector, ImageFile, IndexedVideo, Phrase, Query, VideoFile
from .sequences import sequences

if TYPE_CHECKING:
    from .encoder import QueryEncoder  # loads the backbones' libraries

CPU = torch.device("cpu")


@dataclass
class QueryEmbedding:
    """What makes vectors of queries."""

    space: Space  # that they are to lie in
    stored: Callable[[Sequence[str]], FrameTable]  # the stored frames of videos, by id
    open_encoder: Callable[[], QueryEncoder]  # called when the first query needs the backbone
    _latest: tuple[Query, FrameTable] | None = field(default=None, init=False)

    @cached_property
    def encoder(self) -> QueryEncoder:
        """The backbone, loaded when it is first asked for: stored videos need none."""
        return self.open_encoder()

    def vector(self, query: Query) -> Float32:
        """Unit vector (E,), not centred, made as those of whole videos are.

        Raises:
            UsageError: if the space has no vector for such a query.
            VideoError: if a file cannot be read.
        """
        if isinstance(query, GivenVector):
            return query.vector_E
        if isinstance(query, Phrase):
            return self.encoder.of_text(query.text)
        if isinstance(query, ImageFile) and self.space.embedder is not None and self.space.fit.inputs != "plain":
            raise UsageError(
                f'{query}: a fit with fit.inputs = "{self.space.fit.inputs}" sees what changes, and in a picture '
                "nothing does: leave out --space"
            )
        return np.asarray(self.space.of_videos(FrameTensors.of(self._frames(query), CPU))[0])

    def sequence(self, query: Query, steps: int) -> Float32:
        """Unit vectors (S, E) of the steps of one video, not centred."""
        return np.asarray(sequences(self.space, FrameTensors.of(self._frames(query), CPU), steps)[0])

    def stored_sequences(self, places: Sequence[tuple[str, Span | None]], steps: int) -> Float32:
        """Unit vectors (N, S, E) of the steps of indexed videos, or spans of them, not centred."""
        table = self.stored([video_id for video_id, _ in places])
        if any(span is not None for _, span in places):
            table = cut(table, [span for _, span in places])
        return sequences(self.space, FrameTensors.of(table, CPU), steps)

    def _frames(self, query: Query) -> FrameTable:
        """The frames of a query; those of the latest one are kept, since re-ranking asks for them again."""
        if self._latest is None or self._latest[0] != query:
            self._latest = query, self._read(query)
        return self._latest[1]

    def _read(self, query: Query) -> FrameTable:
        match query:
            case IndexedVideo(id=video_id, span=None):
                return self.stored([video_id])
            case IndexedVideo(id=video_id, span=span):
                return cut(self.stored([video_id]), [span])
            case VideoFile(path=path, span=span):
                return self.encoder.of_file(path, span)
            case ImageFile(path=path):
                return self.encoder.of_image(path)
            case GivenFrames(features_TD=features_TD, times_s_T=times_s_T):
                return FrameTable(features_TD, times_s_T, row_offsets([len(features_TD)]), ("",))
            case Phrase() | GivenVector():
                raise UsageError(f"{query} has no frames")


def cut(table: FrameTable, spans: Sequence[Span | None]) -> FrameTable:
    """The frames of a span of each video (None: all of it), in memory; of windows those with their middle in it.

    Raises:
        UsageError: if a video has no frame there.
    """
    rows = [_rows(table, video, span) for video, span in enumerate(spans)]
    chosen_R = np.concatenate(rows)
    ends_s_R = None if table.ends_s_N is None else table.ends_s_N[chosen_R]
    times_s_R, offsets = table.times_s_N[chosen_R], row_offsets([*map(len, rows)])
    return FrameTable(_take(table, chosen_R), times_s_R, offsets, table.ids, ends_s_R)


def _rows(table: FrameTable, video: int, span: Span | None) -> Int64:
    begin, end = int(table.offsets[video]), int(table.offsets[video + 1])
    passed_s_T = table.times_s_N[begin:end] - table.times_s_N[begin]
    if table.ends_s_N is not None:
        passed_s_T += (table.ends_s_N[begin:end] - table.times_s_N[begin:end]) / 2
    span = span or Span()
    inside_T = (passed_s_T >= span.start_s - ROUNDING_S) & (passed_s_T < span.end_s - ROUNDING_S)
    if not inside_T.any():
        what = "frame" if table.ends_s_N is None else "middle of a window"
        raise UsageError(f"{table.ids[video]} has no {what} {span}: its last is at {passed_s_T[-1]:.2f} s")
    return begin + np.flatnonzero(inside_T)


def _take(table: FrameTable, rows_R: Int64) -> Float16:
    features = table.features_ND
    return features[rows_R] if isinstance(features, np.ndarray) else features.take(rows_R)
