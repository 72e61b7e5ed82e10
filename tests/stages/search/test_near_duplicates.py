from typing import Any

import numpy as np
import pytest

from mofore.data.arrays import Float32, Int64
from mofore.stages.search.near_duplicates import Stretch, near_duplicates
from mofore.stages.vectors.vector_index import Items

HOP, LENGTH = 0.5, 1.0  # seconds from clip to clip, and of a clip


class Set:
    """Videos as rows of clip vectors, searched by brute force."""

    def __init__(self) -> None:
        self.rows: list[Float32] = []
        self.videos: list[dict[str, Any]] = []
        self.video: list[int] = []
        self.start: list[float] = []
        self.asked: list[int] = []

    def add(self, vectors: Float32) -> int:
        """A video, clip by clip; its position."""
        self.videos.append({"id": f"v{len(self.videos)}"})
        for number, vector in enumerate(vectors):
            self.rows.append(vector / np.linalg.norm(vector))
            self.video.append(len(self.videos) - 1)
            self.start.append(number * HOP)
        return len(self.videos) - 1

    def found(self, threshold: float = 0.95, least_s: float = 1.0) -> list[Stretch]:
        vectors, start = np.array(self.rows, np.float32), np.array(self.start)
        items = Items(tuple(self.videos), np.array(self.video, np.int64), start, start + LENGTH)

        def search(queries_QE: Float32, k: int) -> tuple[Float32, Int64]:
            self.asked.append(k)
            cosine_QN = queries_QE @ vectors.T
            order_QK = np.argsort(-cosine_QN, axis=1, kind="stable")[:, :k]
            return np.take_along_axis(cosine_QN, order_QK, 1), order_QK

        return near_duplicates(search, lambda rows: vectors[rows], items, threshold=threshold, least_s=least_s)


def drawn(seed: int, clips: int) -> Float32:
    return np.random.default_rng(seed).standard_normal((clips, 32)).astype(np.float32)


def nearly(vectors: Float32, seed: int = 9) -> Float32:
    return vectors + 0.05 * np.random.default_rng(seed).standard_normal(vectors.shape).astype(np.float32)


def test_a_copy_a_part_and_an_overlap_are_found_where_they_are() -> None:
    videos = Set()
    film = videos.add(drawn(0, 20))
    copy = videos.add(nearly(drawn(0, 20)))
    part = videos.add(nearly(drawn(1, 20))[5:11])
    other = videos.add(drawn(1, 20))
    left = videos.add(np.concatenate([drawn(2, 12), drawn(3, 6)]))
    right = videos.add(np.concatenate([drawn(4, 5), nearly(drawn(3, 6))]))
    videos.add(drawn(5, 9))
    found = {each.videos: each for each in videos.found()}
    assert set(found) == {(film, copy), (part, other), (left, right)}
    assert (found[film, copy].kind, found[film, copy].shares) == ("copy", (1.0, 1.0))
    inside = found[part, other]
    assert inside.kind == "part"
    assert inside.spans_s == ((0.0, 3.5), (2.5, 6.0))
    assert inside.shares == pytest.approx((1.0, 3.5 / 10.5))
    assert found[left, right].kind == "overlap"
    assert found[left, right].spans_s == ((6.0, 9.5), (2.5, 6.0))
    assert found[left, right].clips == 6
    assert 0.95 < found[left, right].similarity < 1.0


@pytest.mark.parametrize("shift", [0, 1, 7, 13])
def test_a_planted_shift_is_found_exactly(shift: int) -> None:
    videos = Set()
    videos.add(drawn(0, 20))
    videos.add(nearly(drawn(0, 20)[shift : shift + 7]))
    (found,) = videos.found()
    assert found.spans_s == ((shift * HOP, shift * HOP + 4.0), (0.0, 4.0))
    assert found.clips == 7


def test_where_nothing_moves_the_longest_match_without_a_shift_is_taken() -> None:
    videos = Set()
    still = np.repeat(drawn(0, 1), 12, axis=0)
    videos.add(still)
    videos.add(still)
    videos.add(still[:5])
    found = {each.videos: each for each in videos.found()}
    assert found[0, 1].spans_s == ((0.0, 6.5), (0.0, 6.5))
    assert found[0, 2].spans_s == ((0.0, 3.0), (0.0, 3.0))
    assert found[0, 2].kind == "part"


def test_a_video_is_no_duplicate_of_itself_and_its_own_clips_hide_no_other() -> None:
    videos = Set()
    videos.add(np.repeat(drawn(0, 1), 300, axis=0))  # more clips of its own than are asked for at first
    videos.add(drawn(0, 1))
    (found,) = videos.found(least_s=1.0)
    assert found.videos == (0, 1)
    assert max(videos.asked) > 300


def test_short_matches_count_only_if_the_video_is_no_longer() -> None:
    videos = Set()
    videos.add(np.concatenate([drawn(0, 8), drawn(1, 1)]))
    videos.add(np.concatenate([drawn(1, 1), drawn(2, 8)]))
    videos.add(drawn(1, 1))
    assert {each.videos for each in videos.found(least_s=2.0)} == {(0, 2), (1, 2)}
    assert {each.videos for each in videos.found(least_s=0.5)} == {(0, 1), (0, 2), (1, 2)}


def test_nothing_alike_gives_nothing() -> None:
    videos = Set()
    videos.add(drawn(0, 8))
    videos.add(drawn(1, 8))
    assert videos.found() == []
