"""The metrics as a whole, on sets whose odd members have a defined outcome."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mofore.cache.shard import row_offsets
from mofore.cache.store import FrameTable
from mofore.data.errors import StageError
from mofore.data.fit_settings import FitSettings
from mofore.data.index_settings import IndexSettings
from mofore.data.metrics import SCHEMA, Metrics
from mofore.data.progress import Silent
from mofore.data.settings import EvaluateSettings
from mofore.data.types import Split, Video
from mofore.pipeline.show.metric_tables import metric_tables
from mofore.pipeline.show.table_layout import fitted
from mofore.stages.evaluate import stage as evaluate
from mofore.stages.fit import stage as fit

FRAMES, WIDTH = 12, 8
FIT = FitSettings(
    clip_length=4, gap_max=2, steps=5, embedding_width=6, hidden_width=6, validations=0, tensorboard="off"
)
INDEX = IndexSettings(views=3)
MEASURED = EvaluateSettings(resamples=20, pairs=50)


def video(number: int, label: str | None, group: str | None = None) -> Video:
    return Video(f"{label}/v{number:02d}.avi", label, group, 1, 1)


VIDEOS = tuple(video(n, "ABC"[n % 3], f"g{n // 6:02d}") for n in range(18))
TRAIN = frozenset(v.id for v in VIDEOS[:12])
MIXED = tuple(replace(v, label="XYZ"[n % 3]) for n, v in enumerate(VIDEOS))  # features say nothing of these classes


def table(videos: tuple[Video, ...]) -> FrameTable:
    rng = np.random.default_rng(0)
    features = [
        np.eye(WIDTH)["ABC".find(v.label or "") % WIDTH] + 0.4 * rng.standard_normal((FRAMES, WIDTH)) for v in videos
    ]
    times_s = np.tile(np.arange(FRAMES) / 25, len(videos))
    offsets = row_offsets([FRAMES] * len(videos))
    return FrameTable(np.concatenate(features).astype(np.float16), times_s, offsets, tuple(v.id for v in videos))


def given(
    tmp_path: Path, videos: tuple[Video, ...], frames: FrameTable, split: Split, embedding: IndexSettings = INDEX
) -> evaluate.EvaluateInputs:
    folder, of = tmp_path / "fit" / "0a", {"store": "s", "fit": "0a"}
    return evaluate.EvaluateInputs(videos, frames, split, (), folder, embedding, of)


def measure(
    tmp_path: Path,
    videos: tuple[Video, ...],
    split: Split,
    settings: EvaluateSettings = MEASURED,
    **changes: Any,
) -> dict[str, Any]:
    frames = table(videos)
    if not (tmp_path / "fit" / "0a").exists():
        fit.run(FIT, frames, tmp_path / "fit" / "0a", progress=Silent())
    inputs = given(tmp_path, videos, frames, split, replace(INDEX, **changes))
    found, _ = evaluate.run(settings, inputs, tmp_path / "evaluate", progress=Silent())
    metrics = found.as_json()
    assert Metrics.from_json(metrics) == found
    assert json.loads((tmp_path / "evaluate" / "metrics.json").read_text()) == metrics, "all of it is JSON"
    assert metrics["schema"] == SCHEMA
    return metrics


def test_every_row_has_every_figure(tmp_path: Path) -> None:
    metrics = measure(tmp_path, VIDEOS, Split("groups", TRAIN, frozenset(v.id for v in VIDEOS[12:])))
    assert set(metrics["health"]) == set(metrics["retrieval"]) == set(metrics["clustering"])
    assert set(metrics["protocol"]["rows"]) == set(metrics["retrieval"])
    raw = metrics["retrieval"]["raw_mean_pool"]
    assert raw["R@1"] == 100
    assert raw["knn_1"] == 100
    assert raw["probe"]["accuracy"] == 100
    assert raw["against_raw_mean_pool"] is None
    low, high = metrics["retrieval"]["mofore"]["intervals"]["mAP"]["interval"]
    assert low <= metrics["retrieval"]["mofore"]["mAP"] <= high
    assert metrics["protocols"]["groups"]["rows"]["mofore"]["queries_that_the_fit_saw"] == 0
    queries = json.loads((tmp_path / "evaluate" / "queries.json").read_text())
    assert queries["ids"] == [v.id for v in VIDEOS[12:]]
    mean_ap = 100 * float(np.mean(queries["rows"]["mofore"]["AP"]))
    assert mean_ap == pytest.approx(metrics["retrieval"]["mofore"]["mAP"])


def test_every_row_is_held_against_the_best_that_costs_no_training(tmp_path: Path) -> None:
    metrics = measure(tmp_path, MIXED, Split("groups", TRAIN, frozenset(v.id for v in MIXED[12:])))
    rows, best = metrics["retrieval"], metrics["protocol"]["best_trivial"]
    trivial = {name: row["mAP"] for name, row in rows.items() if name not in ("mofore", "predict", "persistence")}
    assert trivial[best] == max(trivial.values())
    assert "against_best_trivial" not in rows[best]
    for name, row in rows.items():
        if name != best:
            tested = row["against_best_trivial"]["mAP"]
            assert tested["difference"] == pytest.approx(row["mAP"] - rows[best]["mAP"], abs=1e-9)
    assert [name for name, row in rows.items() if row.get("transductive")] == ["raw_expanded"]
    assert "transductive" in metrics["protocol"]["rows"]["raw_expanded"]


def test_mutual_proximity_is_a_second_row_of_each(tmp_path: Path) -> None:
    split = Split("groups", TRAIN, frozenset(v.id for v in MIXED[12:]))
    usual = measure(tmp_path, MIXED, split)
    both = measure(tmp_path, MIXED, split, replace(MEASURED, mutual_proximity=True))
    assert {*both["retrieval"]} == {name + end for name in usual["retrieval"] for end in ("", "+mp")}
    assert both["health"] == usual["health"]
    raw, mutual = (both["retrieval"][name] for name in ("raw_mean_pool", "raw_mean_pool+mp"))
    assert raw["mAP"] == usual["retrieval"]["raw_mean_pool"]["mAP"]
    assert mutual["mAP"] != raw["mAP"]
    assert both["protocol"]["rows"]["mofore+mp"].endswith("ranked by mutual proximity")
    texts = [cell for _, _, rows in metric_tables(Metrics.from_json(both)) for row in rows for cell in row]
    assert {"mofore+mp", "raw_expanded*", "raw_expanded+mp*"} <= {*texts}


def test_figures_of_an_older_file_are_read_and_shown(tmp_path: Path) -> None:
    metrics = measure(tmp_path, MIXED, Split("groups", TRAIN, frozenset(v.id for v in MIXED[12:])))
    del metrics["protocol"]["best_trivial"]
    for row in metrics["retrieval"].values():
        row.pop("against_best_trivial", None)
        row.pop("transductive", None)
    for gap in (*metrics["forecast"]["gaps"].values(), metrics["forecast"]["all"]):
        assert gap["four_scalars"]["skill"] >= -10
        for name in ("damped", "four_scalars", "recording", "against_best"):
            gap.pop(name, None)
    older = Metrics.from_json(metrics)
    assert older.as_json() == metrics
    tables = [part for table in metric_tables(older) for part in fitted(table, 80)]
    assert not any("trivial" in column for _, columns, _ in tables for column in columns)


def test_tables_of_all_rows_fit_eighty_columns(tmp_path: Path) -> None:
    split = Split("groups", TRAIN, frozenset(v.id for v in MIXED[12:]))
    found = Metrics.from_json(measure(tmp_path, MIXED, split, replace(MEASURED, mutual_proximity=True)))
    for title, columns, rows in (part for table in metric_tables(found) for part in fitted(table, 80)):
        widths = [max(len(line) for line in (*c.split("\n"), *(row[n] for row in rows))) for n, c in enumerate(columns)]
        assert sum(width + 2 for width in widths) + 1 <= 80, title


def test_persistence_is_the_teacher_whoever_embeds(tmp_path: Path) -> None:
    split = Split("groups", TRAIN, frozenset(v.id for v in VIDEOS[12:]))
    usual = measure(tmp_path, VIDEOS, split)
    assert "probe" in usual["retrieval"]["persistence"]
    forecast_embedder = measure(tmp_path, VIDEOS, split, embed_from="predictor")
    for table_ in ("retrieval", "clustering", "health"):
        assert forecast_embedder[table_]["persistence"] == usual[table_]["persistence"]
    assert forecast_embedder["health"]["persistence"] != forecast_embedder["health"]["mofore"]


def test_measuring_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    split = Split("groups", TRAIN, frozenset(v.id for v in VIDEOS[12:]))
    assert measure(tmp_path, VIDEOS, split) == measure(tmp_path, VIDEOS, split)


def test_without_queries_there_is_no_retrieval_but_the_rest(tmp_path: Path) -> None:
    metrics = measure(tmp_path, VIDEOS, Split("random", frozenset(v.id for v in VIDEOS), frozenset()))
    row = metrics["retrieval"]["mofore"]
    assert (row["R@1"], row["mAP"], row["queries"], row["knn_20"]) == (None, None, 0, None)
    assert row["against_raw_mean_pool"]["mAP"]["verdict"] is None
    assert metrics["protocols"]["random"]["rows"]["mofore"]["queries_that_the_fit_saw"] is None
    assert metrics["protocol"]["evaluated_on"] == "training videos"
    assert metrics["health"]["mofore"]["effective_rank"] > 1


def test_without_a_gallery_no_query_has_a_match(tmp_path: Path) -> None:
    metrics = measure(tmp_path, VIDEOS, Split("random", frozenset(), frozenset(v.id for v in VIDEOS)))
    row = metrics["retrieval"]["raw_mean_pool"]
    assert (row["R@1"], row["queries"], row["queries_without_a_match"]) == (None, 0, 18)
    assert row["few_shot"] == {}


def test_a_class_of_one_video_is_a_query_without_a_match(tmp_path: Path) -> None:
    videos = tuple(sorted((*VIDEOS, video(18, "D", "g09")), key=lambda v: v.id))
    test = frozenset(v.id for v in VIDEOS[12:]) | {"D/v18.avi"}
    metrics = measure(tmp_path, videos, Split("groups", TRAIN, test))
    row = metrics["retrieval"]["raw_mean_pool"]
    assert (row["queries"], row["queries_without_a_match"]) == (6, 1)
    assert metrics["per_class"]["D"] == {"queries": 1, "mofore": None, "raw_mean_pool": None}
    assert row["knn_1"] == pytest.approx(100 * 6 / 7), "a class that is not there to be found is a wrong answer"


def test_videos_without_classes_are_indexed_and_measured_without_them(tmp_path: Path) -> None:
    videos = tuple(video(n, None) for n in range(12))
    metrics = measure(tmp_path, videos, Split("random", frozenset(v.id for v in videos[:8]), frozenset()))
    assert metrics["retrieval"]["mofore"]["queries"] == 0
    assert metrics["protocol"]["classes"] == 0
    assert "group_probe" not in metrics["health"]["mofore"]


def test_a_smaller_gallery_than_k_and_duplicates_have_an_outcome(tmp_path: Path) -> None:
    three = frozenset(v.id for v in VIDEOS[:3])
    metrics = measure(tmp_path, VIDEOS, Split("random", three, frozenset(v.id for v in VIDEOS[3:])))
    row = metrics["retrieval"]["raw_mean_pool"]
    assert row["R@5"] == row["R@50"] == 100, "all of the gallery"


def test_another_fit_says_which_queries_it_saw_and_must_be_of_such_features(tmp_path: Path) -> None:
    split = Split("groups", TRAIN, frozenset(v.id for v in VIDEOS[12:]))
    frames = table(VIDEOS)
    fit.run(replace(FIT, seed=1), frames, tmp_path / "fit" / "0b", progress=Silent())
    (tmp_path / "fit" / "0b" / "inputs.json").write_text(json.dumps({"videos": {v.id: "" for v in VIDEOS}}))
    rows = measure(tmp_path, VIDEOS, split, spaces="mofore, frames, fit:0b")["protocols"]["groups"]["rows"]
    assert rows["mofore"]["queries_that_the_fit_saw"] == 0
    assert rows["fit:0b"]["queries_that_the_fit_saw"] == 100
    narrow = FrameTable(frames.features_ND[:, :5].copy(), frames.times_s_N, frames.offsets, frames.ids)
    fit.run(FIT, narrow, tmp_path / "fit" / "0c", progress=Silent())
    with pytest.raises(StageError, match="fit:0c was fitted on features of width 5, these have 8"):
        measure(tmp_path, VIDEOS, split, spaces="mofore, frames, fit:0c")


def test_the_predictor_may_be_what_embeds(tmp_path: Path) -> None:
    split = Split("groups", TRAIN, frozenset(v.id for v in VIDEOS[12:]))
    by_teacher = measure(tmp_path, VIDEOS, split)
    by_forecast = measure(tmp_path, VIDEOS, split, embed_from="predictor", spaces="mofore, frames")
    assert by_forecast["retrieval"]["mofore"]["mAP"] == pytest.approx(by_teacher["retrieval"]["predict"]["mAP"])
    for gap, row in by_teacher["forecast"]["gaps"].items():
        assert by_forecast["forecast"]["gaps"][gap]["r2"] == pytest.approx(row["r2"]), "the teacher's mean, either way"


OTHER_NAMES = {"A": "Z", "B": "M", "C": "D"}  # sorted, these come the other way round


def comparable(metrics: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """What does not hang on random draws: of examples, of held-out recordings, of starts, of pairs."""
    rows = {
        name: {key: value for key, value in row.items() if key not in ("intervals", "few_shot", "probe")}
        for name, row in metrics["retrieval"].items()
        if name not in ("random_projection", "untrained")
    }
    for row in rows.values():
        against = row.pop("against_raw_mean_pool")
        row.pop("against_best_trivial", None)
        row["differences"] = against and {metric: tested["difference"] for metric, tested in against.items()}
    classes = {old: metrics["per_class"][new] for old, new in names.items()}
    group_probe = metrics["health"]["mofore"]["group_probe"]
    return {"rows": rows, "classes": classes, "purity": metrics["purity_by_distance"], "recordings": group_probe}


def flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in flat(value[key])]
    if isinstance(value, list):
        return [leaf for item in value for leaf in flat(item)]
    return [] if value is None else [value]


@pytest.mark.parametrize("same", [False, True])
def test_classes_of_other_names_have_the_same_figures(same: bool, tmp_path: Path) -> None:
    """The videos are renamed and come in another order; ``same``: all have one and the same feature."""
    frames = table(VIDEOS)
    features = frames.features_ND.reshape(18, FRAMES, WIDTH)
    features = np.repeat(features[:1], 18, axis=0) if same else features
    fit.run(FIT, replace(frames, features_ND=features.reshape(-1, WIDTH)), tmp_path / "fit" / "0a", progress=Silent())
    found = []
    for names in ({name: name for name in "ABC"}, OTHER_NAMES):
        moved = [video(int(v.id[3:5]), names[str(v.label)], v.group) for v in VIDEOS]
        order = sorted(range(18), key=lambda row: moved[row].id)
        ids = tuple(moved[row].id for row in order)
        moved_frames = replace(frames, features_ND=features[order].reshape(-1, WIDTH), ids=ids)
        split = Split("groups", frozenset(v.id for v in moved[:12]), frozenset(v.id for v in moved[12:]))
        videos = tuple(moved[row] for row in order)
        inputs = given(tmp_path, videos, moved_frames, split)
        metrics, _ = evaluate.run(MEASURED, inputs, tmp_path / names["A"], progress=Silent())
        found.append(comparable(metrics.as_json(), names))
    assert flat(found[0]) == pytest.approx(flat(found[1]), rel=1e-5, abs=1e-6)
    if same:
        raw = found[0]["rows"]["raw_mean_pool"]
        assert raw["R@1"] == pytest.approx(100 / 3)
        assert raw["queries_with_ties"] == 6
