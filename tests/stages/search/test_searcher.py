"""Search over a small index, held against brute force; the networks are a fake that a reader can compute."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mofore.data.arrays import Float32
from mofore.data.errors import UsageError
from mofore.data.index_settings import IndexSettings
from mofore.data.sampling import Span
from mofore.stages.search.queries import Asked, ImageFile, IndexedVideo, Phrase, Query, VideoFile
from mofore.stages.search.searcher import Searcher
from mofore.stages.vectors.build import build
from mofore.stages.vectors.normalize import l2_normalize
from mofore.stages.vectors.vector_index import About, Items, VectorIndex

VIDEOS, CLIPS, WIDTH, STEPS = 30, 3, 8, 4
CLASSES = ("Run", "Walk", "Swim")


def video(number: int) -> dict[str, Any]:
    """Class by turns; group g00 to g04; the last ten are of the test side; video 29 alone has its class."""
    label = "Alone" if number == VIDEOS - 1 else CLASSES[number % 3]
    side = "test" if number >= 20 else "train"
    return {"id": f"v{number:02d}.avi", "label": label, "group": f"g{number % 5:02d}", "role": side}


@dataclass
class Fake:
    """Vectors of queries: of a phrase the first axis, of others the second; sequences by number."""

    asked: list[Query] = field(default_factory=list)

    def vector(self, query: Query) -> Float32:
        self.asked.append(query)
        return np.eye(WIDTH, dtype=np.float32)[0 if isinstance(query, Phrase) else 1]

    def sequence(self, query: Query, steps: int) -> Float32:
        return np.tile(np.eye(WIDTH, dtype=np.float32)[2], (steps, 1))

    def stored_sequences(self, places: Sequence[tuple[str, Span | None]], steps: int) -> Float32:
        angle_N = np.array([int(video_id[1:3]) for video_id, _ in places]) / 60
        axes = np.eye(WIDTH, dtype=np.float32)
        found_NE = np.cos(angle_N)[:, None] * axes[2] + np.sin(angle_N)[:, None] * axes[3]
        return np.repeat(found_NE[:, None].astype(np.float32), steps, axis=1)


def searcher(
    folder: Path,
    level: str = "video",
    *,
    center: bool = True,
    like: Float32 | None = None,
    describe: Callable[[int], dict[str, Any]] = video,
) -> Searcher:
    """An index of random vectors (or of some that are given), read from its folder."""
    videos = tuple(map(describe, range(VIDEOS)))
    clips = CLIPS if level == "clip" else 1
    rows = VIDEOS * clips
    drawn = np.random.default_rng(0).standard_normal((rows, WIDTH)).astype(np.float32) if like is None else like
    embeddings_NE = l2_normalize(drawn)
    mean_E = embeddings_NE.mean(axis=0) if center else np.zeros(WIDTH, np.float32)
    start_s_N = np.tile(np.arange(clips), VIDEOS).astype(np.float64)
    times = (start_s_N, start_s_N + 2) if level == "clip" else (None, None)
    items = Items(videos, np.repeat(np.arange(VIDEOS), clips), *times)
    built = build(l2_normalize(embeddings_NE - mean_E), IndexSettings())
    about = About("frames", level, "model", "flat", built.factory, {}, "", {})
    VectorIndex(built.index, items, mean_E, about).save(folder, embeddings_NE)
    fake = Fake()
    return Searcher(VectorIndex.load(folder), lambda: fake)


def of_index(number: int, span: Span | None = None) -> IndexedVideo:
    return IndexedVideo(video(number)["id"], number, span)


def found(ask: Searcher, queries: Sequence[Query], count: int = 5, **filters: Any) -> list[str]:
    return [one.video_id for one in ask.answer(queries, Asked(count, **filters)).neighbours]


def recording(row: dict[str, Any]) -> tuple[Any, Any]:
    """g07 of one class is not g07 of another."""
    return row["label"], row["group"]


@pytest.mark.parametrize("filters", [{}, {"classes": ("Run", "Swim")}, {"role": "test"}, {"exclude_same_group": True}])
def test_answers_are_those_of_brute_force(tmp_path: Path, filters: dict[str, Any]) -> None:
    ask = searcher(tmp_path)
    vectors_NE = ask.index.vectors(np.arange(VIDEOS))
    for number in range(VIDEOS):
        rows = [video(row) for row in range(VIDEOS)]
        mine = rows[number]
        allowed = [
            row
            for row in range(VIDEOS)
            if row != number
            and (not filters.get("classes") or rows[row]["label"] in filters["classes"])
            and (not filters.get("role") or rows[row]["role"] == filters["role"])
            and not (filters.get("exclude_same_group") and recording(rows[row]) == recording(mine))
        ]
        nearest = sorted(allowed, key=lambda row: -float(vectors_NE[row] @ vectors_NE[number]))[:7]
        answer = ask.answer([of_index(number)], Asked(7, **filters))
        assert [one.video_id for one in answer.neighbours] == [rows[row]["id"] for row in nearest]
        assert [one.right for one in answer.neighbours] == [rows[row]["label"] == mine["label"] for row in nearest]
        expected = [float(vectors_NE[row] @ vectors_NE[number]) for row in nearest]
        assert [one.similarity for one in answer.neighbours] == pytest.approx(expected, abs=1e-6)


def test_a_clip_is_found_with_its_seconds_and_the_video_asked_for_is_not(tmp_path: Path) -> None:
    ask = searcher(tmp_path, "clip")
    answer = ask.answer([of_index(4)], Asked(1000))
    assert len(answer.neighbours) == (VIDEOS - 1) * CLIPS
    assert "v04.avi" not in {one.video_id for one in answer.neighbours}
    assert {(one.start_s, one.end_s) for one in answer.neighbours} == {(0.0, 2.0), (1.0, 3.0), (2.0, 4.0)}
    assert "1,000 were asked for, 87 may be found" in answer.notes
    query_E = l2_normalize(ask.index.vectors(np.arange(12, 15)).mean(axis=0)[None])[0]
    cosine_N = ask.index.vectors(np.arange(VIDEOS * CLIPS)) @ query_E
    cosine_N[12:15] = -2
    first = answer.neighbours[0]
    assert (first.video_id, first.start_s) == (video(int(cosine_N.argmax()) // CLIPS)["id"], cosine_N.argmax() % CLIPS)


def test_several_queries_count_alike_and_are_all_left_out(tmp_path: Path) -> None:
    ask = searcher(tmp_path)
    vectors_NE = ask.index.vectors(np.arange(VIDEOS))
    answer = ask.answer([of_index(0), of_index(3)], Asked(100))
    nearest = np.argsort(-vectors_NE @ (vectors_NE[0] + vectors_NE[3]), kind="stable")
    assert [one.video_id for one in answer.neighbours] == [video(row)["id"] for row in nearest if row not in (0, 3)]
    assert answer.label == "Run", "both are"
    assert answer.query == "v00.avi + v03.avi"
    mixed = ask.answer([of_index(0), of_index(1)], Asked(3))
    assert mixed.label is None
    assert {one.right for one in mixed.neighbours} == {None}


def test_equal_similarities_are_in_the_order_of_the_index(tmp_path: Path) -> None:
    same = np.tile(np.eye(WIDTH, dtype=np.float32)[0], (VIDEOS, 1))
    ask = searcher(tmp_path, center=False, like=same)
    assert found(ask, [of_index(2)], 6) == ["v00.avi", "v01.avi", "v03.avi", "v04.avi", "v05.avi", "v06.avi"]
    assert found(ask, [of_index(2)], 100) == [video(row)["id"] for row in range(VIDEOS) if row != 2]


def test_a_text_is_compared_with_vectors_that_are_not_centred(tmp_path: Path) -> None:
    ask = searcher(tmp_path)
    answer = ask.answer([Phrase("a video of x.")], Asked(4))
    cosine_N = ask.index.embeddings_NE[:, 0]
    best = np.argsort(-cosine_N, kind="stable")[:4]
    assert [one.video_id for one in answer.neighbours] == [video(row)["id"] for row in best]
    assert [one.similarity for one in answer.neighbours] == pytest.approx(cosine_N[best].tolist())
    assert answer.label is None


def test_files_images_and_spans_are_embedded_and_centred(tmp_path: Path) -> None:
    ask = searcher(tmp_path)
    vectors_NE = ask.index.vectors(np.arange(VIDEOS))
    query_E = ask.index.centered(np.eye(WIDTH, dtype=np.float32)[1:2])[0]
    expected = [video(row)["id"] for row in np.argsort(-vectors_NE @ query_E, kind="stable")]
    assert found(ask, [VideoFile(Path("x.mp4"))], 100) == expected
    assert found(ask, [ImageFile(Path("x.png"))], 100) == expected
    assert found(ask, [of_index(7, Span(1, 2))], 100) == [name for name in expected if name != "v07.avi"]


def test_a_query_without_another_of_its_class_is_told(tmp_path: Path) -> None:
    answer = searcher(tmp_path).answer([of_index(VIDEOS - 1)], Asked(3))
    assert answer.notes == ("nothing that may be found has the query's class, Alone",)
    assert [one.right for one in answer.neighbours] == [False] * 3


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"classes": ("run",)}, "--class run: no video of the index has this class; did you mean Run"),
        ({"classes": ("Xyz",)}, "there are: Alone, Run, Swim, Walk"),
        ({"classes": ("Alone",), "role": "train"}, "--class Alone --split train leaves none of the 30 videos"),
        ({"role": "unassigned"}, "--split unassigned leaves none"),
    ],
)
def test_filters_that_leave_nothing_are_refused(tmp_path: Path, filters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        found(searcher(tmp_path), [of_index(0)], **filters)


def test_the_group_of_a_file_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the group of the query is not known"):
        found(searcher(tmp_path), [VideoFile(Path("x.mp4"))], exclude_same_group=True)


def test_opposite_queries_are_refused(tmp_path: Path) -> None:
    axes = np.eye(WIDTH, dtype=np.float32)
    like = np.concatenate([axes[:1], -axes[:1], np.tile(axes[1], (VIDEOS - 2, 1))])
    with pytest.raises(UsageError, match="each other's opposite"):
        found(searcher(tmp_path, center=False, like=like), [of_index(0), of_index(1)])


@pytest.mark.parametrize("method", ["aligned", "dtw"])
def test_reranking_by_looks_orders_by_the_distance_of_sequences(tmp_path: Path, method: str) -> None:
    ask = searcher(tmp_path, center=False)
    answer = ask.answer([of_index(20)], Asked(5, rerank=method, steps=STEPS, by="looks"))
    assert [one.video_id for one in answer.neighbours] == [f"v{number:02d}.avi" for number in range(5)]
    expected = [1 - np.cos(number / 60) for number in range(5)]
    assert [one.distance for one in answer.neighbours] == pytest.approx(expected, abs=1e-5)
    plain = {one.video_id: one.similarity for one in ask.answer([of_index(20)], Asked(100)).neighbours}
    assert [one.similarity for one in answer.neighbours] == [plain[one.video_id] for one in answer.neighbours]


def test_reranking_by_what_changes_leaves_stills_in_their_order(tmp_path: Path) -> None:
    """In the fake's videos nothing changes: all are equally far, and the order is that of the similarity."""
    ask = searcher(tmp_path)
    plain = found(ask, [of_index(20)])
    for by in ("changes", "both"):
        answer = ask.answer([of_index(20)], Asked(5, rerank="dtw", steps=STEPS, by=by))
        assert [one.video_id for one in answer.neighbours] == plain
        assert {one.distance for one in answer.neighbours} == {1.0}


def test_reranking_takes_one_video(tmp_path: Path) -> None:
    ask = searcher(tmp_path)
    for queries in ([of_index(0), of_index(1)], [Phrase("x")], [ImageFile(Path("x.png"))]):
        with pytest.raises(UsageError, match="it takes one query, a video"):
            ask.answer(queries, Asked(3, rerank="dtw"))


def test_of_several_classes_any_counts(tmp_path: Path) -> None:
    def described(number: int) -> dict[str, Any]:
        both = [video(number)["label"], "Outdoors"]
        return {**video(number), **({"label": ";".join(both), "labels": both} if number % 6 == 0 else {})}

    index = searcher(tmp_path, describe=described)
    answer = index.answer([of_index(0)], Asked(count=VIDEOS))
    assert answer.label == "Run;Outdoors"
    for found in answer.neighbours:
        number = int(found.video_id[1:3])
        assert found.right == (number % 3 == 0)
        assert found.label == (f"{video(number)['label']};Outdoors" if number % 6 == 0 else video(number)["label"])
    outdoors = index.answer([of_index(1)], Asked(count=VIDEOS, classes=("Outdoors",)))
    assert {int(found.video_id[1:3]) % 6 for found in outdoors.neighbours} == {0}
    assert {found.right for found in outdoors.neighbours} == {False}
    alone = index.answer([of_index(6)], Asked(count=VIDEOS, exclude_same_group=True))
    assert not {n for n in range(6, VIDEOS) if n % 3 == 0 and n % 5 == 1} & {
        int(found.video_id[1:3]) for found in alone.neighbours
    }
