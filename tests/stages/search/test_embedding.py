from collections.abc import Sequence

import numpy as np
import pytest

from mofore.cache.shard import row_offsets
from mofore.cache.store import FrameTable
from mofore.data.errors import UsageError
from mofore.data.fit_settings import FitSettings
from mofore.data.sampling import Span
from mofore.stages.model.forecaster import make_forecaster
from mofore.stages.model.spaces import Space
from mofore.stages.search.embedding import QueryEmbedding, cut
from mofore.stages.search.encoder import QueryEncoder
from mofore.stages.search.queries import ImageFile, IndexedVideo, Path

RNG = np.random.default_rng(0)
FEATURES = RNG.standard_normal((100, 6)).astype(np.float16)
TIMES_S = np.concatenate([7 + np.arange(60) / 25, np.arange(40) / 10])
TABLE = FrameTable(FEATURES, TIMES_S, row_offsets([60, 40]), ("a", "b"))
STILLS = [("frames", {}), ("mofore", {}), ("mofore", {"aggregator": "gru"}), ("mofore", {"unit": "seconds"})]


def stored(ids: Sequence[str]) -> FrameTable:
    """Videos of the table."""
    rows = [slice(0, 60) if video_id == "a" else slice(60, 100) for video_id in ids]
    parts = [FEATURES[row] for row in rows]
    times_s = np.concatenate([TABLE.times_s_N[row] for row in rows])
    return FrameTable(np.concatenate(parts), times_s, row_offsets([*map(len, parts)]), tuple(ids))


class Pictures:
    """In place of the backbone: every picture has the first frame's feature."""

    def of_image(self, path: Path) -> FrameTable:
        return FrameTable(FEATURES[:1], np.zeros(1), row_offsets([1]), (str(path),))


def embedding(name: str = "frames", **fit: object) -> QueryEmbedding:
    settings = FitSettings(clip_length=4, embedding_width=5, **fit)  # type: ignore[arg-type]
    embedder = None if name == "frames" else make_forecaster(6, settings).teacher
    return QueryEmbedding(Space(name, "", settings, 3, embedder), stored, lambda: Pictures())  # type: ignore[arg-type, return-value]


def mean(rows: slice) -> np.ndarray:
    total = FEATURES[rows].astype(np.float64).mean(axis=0)
    return total / np.linalg.norm(total)


def test_a_span_is_of_the_frames_shown_in_it_by_their_times() -> None:
    part = cut(TABLE, [Span(0.4, 0.8), None])
    assert part.offsets.tolist() == [0, 10, 50]
    assert np.array_equal(part.features_ND[:10], FEATURES[10:20])
    assert part.times_s_N[:2].tolist() == [7.4, 7.44]
    with pytest.raises(UsageError, match=r"b has no frame 4.00-5.00 s: its last is at 3.90 s"):
        cut(TABLE, [None, Span(4, 5)])


def test_a_span_of_an_indexed_video_is_embedded_from_what_is_stored() -> None:
    asked = embedding()
    assert asked.vector(IndexedVideo("b", 1, Span(1.0, 2.0))) == pytest.approx(mean(slice(70, 80)), abs=1e-5)
    assert asked.vector(IndexedVideo("b", 1)) == pytest.approx(mean(slice(60, 100)), abs=1e-5)


@pytest.mark.parametrize(("name", "fit"), STILLS)
def test_an_image_is_a_clip_of_one_repeated_frame(name: str, fit: dict[str, str]) -> None:
    still = FrameTable(np.repeat(FEATURES[:1], 40, axis=0), np.arange(40) / 25, row_offsets([40]), ("still",))
    asked = embedding(name, **fit)
    expected = QueryEmbedding(asked.space, lambda _ids: still, asked.open_encoder).vector(IndexedVideo("still", 0))
    found = asked.vector(ImageFile(Path("x.png")))
    assert np.linalg.norm(found) == pytest.approx(1)
    if "aggregator" not in fit:  # a GRU gets the same features, but sees that no time passes
        assert found == pytest.approx(expected, abs=1e-5)


def test_an_image_is_refused_where_only_change_is_seen() -> None:
    asked = embedding("mofore", aggregator="conv", inputs="differenced")
    with pytest.raises(UsageError, match="sees what changes, and in a picture nothing does"):
        asked.vector(ImageFile(Path("x.png")))


def test_sequences_of_spans_are_those_of_the_videos_cut_out() -> None:
    asked = embedding()
    whole = asked.stored_sequences([("a", None), ("b", None)], 4)
    parts = asked.stored_sequences([("a", Span(0, 2.4)), ("b", Span(0.0, 2.0))], 4)
    assert np.allclose(whole[0], parts[0])
    assert not np.allclose(whole[1], parts[1])
    assert np.allclose(parts[1], asked.sequence(IndexedVideo("b", 1, Span(0.0, 2.0)), 4))


def test_the_encoder_is_opened_once_and_only_for_what_needs_it() -> None:
    opened: list[int] = []

    def open_encoder() -> QueryEncoder:
        opened.append(1)
        return Pictures()  # type: ignore[return-value]

    asked = QueryEmbedding(embedding().space, stored, open_encoder)
    asked.vector(IndexedVideo("a", 0, Span(0, 1)))
    assert not opened
    asked.vector(ImageFile(Path("x.png")))
    asked.vector(ImageFile(Path("y.png")))
    assert len(opened) == 1
