"""Several classes a video: figures against plain loops over every order of equally similar videos."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby, permutations, product
from pathlib import Path

import numpy as np
import pytest

from mofore.data.types import Split, Video
from mofore.stages.evaluate.classification import TEMPERATURE, knn_accuracy
from mofore.stages.evaluate.paper_table import different_pairs, same_class_pairs
from mofore.stages.evaluate.protocol import EvaluationSplit
from mofore.stages.evaluate.ranking import Sides, rank
from mofore.stages.evaluate.retrieval import per_class, recalls
from mofore.stages.evaluate.video_classes import VideoClasses, recordings
from mofore.stages.vectors.normalize import l2_normalize

from .test_report import VIDEOS, measure

QUERIES, ITEMS = 12, 7


def some_classes(rng: np.random.Generator) -> tuple[str, ...]:
    return tuple(rng.permutation(list("abcde"))[: rng.integers(1, 4)].tolist())


def made(seed: int) -> tuple[tuple[Video, ...], Split, np.ndarray]:
    """Videos of one to three of five classes at so few places that many are equally similar."""
    rng = np.random.default_rng(seed)
    places = l2_normalize(rng.standard_normal((4, 6)).astype(np.float32))
    videos = []
    for number in range(QUERIES + ITEMS):
        first, *more = some_classes(rng)
        videos.append(Video(f"v{number:02}", first, None, 1, 1, more_labels=tuple(more)))
    ids = [video.id for video in videos]
    split = Split("random", frozenset(ids[QUERIES:]), frozenset(ids[:QUERIES]))
    return tuple(videos), split, places[rng.integers(0, 4, len(videos))]


def sides_of(videos: tuple[Video, ...], split: Split, vectors: np.ndarray) -> Sides:
    return EvaluationSplit.of(split, videos).sides(vectors, centered=False)


def orders(query: np.ndarray, gallery: np.ndarray) -> Iterator[list[int]]:
    """Every ranking of the gallery that its similarities allow."""
    similarity = [float(np.float32(query.astype(np.float64) @ item.astype(np.float64))) for item in gallery]
    nearest_first = sorted(range(len(gallery)), key=lambda item: -similarity[item])
    tied = [list(group) for _, group in groupby(nearest_first, key=lambda item: similarity[item])]
    for chosen in product(*(permutations(group) for group in tied)):
        yield [item for group in chosen for item in group]


def by_loops(videos: tuple[Video, ...], vectors: np.ndarray) -> dict[str, float]:
    """Means over queries of means over orders."""
    queries, items = videos[:QUERIES], videos[QUERIES:]
    figures: dict[str, list[float]] = {"R@1": [], "R@5": [], "mAP": []}
    for query, vector in zip(queries, vectors, strict=False):
        relevant = [any(label in query.labels for label in item.labels) for item in items]
        if not any(relevant):
            continue
        found: dict[str, list[float]] = {name: [] for name in figures}
        for order in orders(vector, vectors[QUERIES:]):
            hits = [relevant[item] for item in order]
            found["R@1"].append(float(hits[0]))
            found["R@5"].append(float(any(hits[:5])))
            at_hits = [sum(hits[: place + 1]) / (place + 1) for place, hit in enumerate(hits) if hit]
            found["mAP"].append(sum(at_hits) / len(at_hits))
        for name, values in found.items():
            figures[name].append(sum(values) / len(values))
    return {name: 100 * sum(values) / len(values) for name, values in figures.items()}


@pytest.mark.parametrize("seed", range(5))
def test_retrieval_equals_loops_over_every_order(seed: int) -> None:
    videos, split, vectors = made(seed)
    measured = recalls(rank(sides_of(videos, split, vectors))).as_json()
    assert measured["queries_with_ties"] > 0
    for name, value in by_loops(videos, vectors).items():
        assert measured[name] == pytest.approx(value), name


def test_neighbours_vote_for_all_of_their_classes() -> None:
    videos, split, vectors = made(1)
    right = []
    for query, vector in zip(videos[:QUERIES], vectors, strict=False):
        votes: dict[str, float] = {}
        for item, other in zip(videos[QUERIES:], vectors[QUERIES:], strict=True):
            weight = np.exp((float(vector.astype(np.float64) @ other) - 1) / TEMPERATURE)
            for label in item.labels:
                votes[label] = votes.get(label, 0.0) + weight
        winners = [label for label, vote in votes.items() if vote > max(votes.values()) * (1 - 1e-9)]
        right.append(sum(label in query.labels for label in winners) / len(winners))
    sides = sides_of(videos, split, vectors)
    assert knn_accuracy(rank(sides), sides, ITEMS) == pytest.approx(100 * np.mean(right), abs=1e-3)


def test_a_query_counts_for_each_of_its_classes() -> None:
    videos, split, vectors = made(2)
    sides = sides_of(videos, split, vectors)
    ranked = rank(sides)
    found = per_class({"x": ranked}, sides, EvaluationSplit.of(split, videos).classes)
    assert sum(row.queries for row in found.values()) == sum(len(video.labels) for video in videos[:QUERIES])
    hit_Q = ranked.hits(1)
    mine = ["a" in video.labels for video in videos[:QUERIES]]
    assert found["a"].r_at_1["x"] == pytest.approx(100 * np.nanmean(hit_Q[mine]))
    assert found["a"].queries_without_a_match == int(np.isnan(hit_Q[mine]).sum())


@pytest.mark.parametrize("seed", range(3))
def test_one_class_a_video_has_the_same_figures_either_way(seed: int) -> None:
    videos, split, vectors = made(seed)
    videos = tuple(replace(video, more_labels=()) for video in videos)
    codes = sides_of(videos, split, vectors)
    assert codes.member_QC is None
    eye = np.eye(5, dtype=bool)
    sets = replace(codes, member_QC=eye[codes.class_Q], member_NC=eye[codes.class_N])
    assert recalls(rank(codes)) == recalls(rank(sets))
    assert knn_accuracy(rank(codes), codes, 3) == knn_accuracy(rank(sets), sets, 3)


def test_pairs_of_one_class_share_any_and_come_once() -> None:
    videos, _, _ = made(3)
    same, different = same_class_pairs(videos, 1000, 0), different_pairs(videos, 1000, 0)
    classes = VideoClasses.of(videos)
    assert classes.shared(same).all()
    assert not classes.shared(different).any()
    shared = sum(any(label in b.labels for label in a.labels) for n, a in enumerate(videos) for b in videos[n + 1 :])
    assert len(same) == shared


def test_videos_of_one_group_that_share_a_class_are_of_one_recording() -> None:
    labels = [("a",), ("a", "b"), ("b",), ("c",), ("a",), ()]
    found = recordings(list("uvwxyz"), labels, ["g1", "g1", "g1", "g1", "g2", None])
    assert found is not None
    assert found[0] == found[1] == found[2]
    assert len({*found[2:].tolist()}) == 4
    assert recordings(list("uv"), labels[:2], [None, None]) is None


def test_what_needs_one_class_a_video_is_left_out_and_said(tmp_path: Path) -> None:
    videos = tuple(
        replace(video, more_labels=("X",)) if number % 5 == 0 else video for number, video in enumerate(VIDEOS)
    )
    split = Split("groups", frozenset(v.id for v in videos[:12]), frozenset(v.id for v in videos[12:]))
    metrics = measure(tmp_path, videos, split)
    assert metrics["left_out"]["videos"] == 4
    row = metrics["retrieval"]["mofore"]
    assert row["R@1"] is not None
    assert row["knn_20"] is not None
    assert (row["few_shot"], "probe" in row, metrics["confusions"]) == ({}, False, {})
    assert metrics["clustering"]["mofore"]["nmi"] is None
    assert "group_probe" not in metrics["health"]["mofore"]
    assert metrics["protocol"]["classes"] == 4
    queries = json.loads((tmp_path / "evaluate" / "queries.json").read_text())
    assert queries["labels"] == ["A", "B", "C", ["A", "X"], "B", "C"]
    assert "left_out" not in measure(tmp_path, VIDEOS, split)
