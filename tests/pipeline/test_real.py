"""The real clips, lists, weights and cached features of ../shared, where they are."""

import csv
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from click.testing import Result

from mofore.benchmarks.forecast_trials import embedding, retrieval, vgg_features
from mofore.data.decode import decode
from mofore.data.fit_settings import FitSettings
from mofore.data.presets import PRESETS
from mofore.data.progress import Silent
from mofore.data.settings import DataSettings
from mofore.data.splits import make_split
from mofore.data.types import Video
from mofore.stages.evaluate.retrieval import retrieval_metrics
from mofore.stages.fit import stage as fit
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.model.saved import load_forecaster
from mofore.stages.vectors.normalize import center, l2_normalize

pytestmark = pytest.mark.real
Command = Callable[..., Result]


def test_every_real_clip_decodes_to_its_true_number_of_frames(shared: Path) -> None:
    mini = shared / "data" / "ucf101-mini"
    rows = list(csv.DictReader((mini / "clips.csv").read_text().splitlines()))
    counts = {row["path"]: sum(1 for _ in decode(mini / "videos" / row["path"])) for row in rows}
    assert counts == {row["path"]: int(row["decoded_frames"]) for row in rows}
    assert sum(counts.values()) == 43_497
    assert sum(row["decoded_frames"] != row["header_frames"] for row in rows) == 13, "headers are wrong that often"


@pytest.mark.parametrize(("number", "train", "test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)])
def test_the_official_lists_divide_the_whole_data_set(shared: Path, number: int, train: int, test: int) -> None:
    lists = shared / "data" / "ucf101-mini" / "splits"
    names = {
        line.split()[0] for path in lists.glob("*list01.txt") for line in path.read_text().splitlines() if line.strip()
    }
    videos = [Video(name, name.split("/")[0], None, 1, 1) for name in sorted(names)]
    split = make_split(videos, DataSettings(split=f"official{number}"), lists)
    assert len(videos) == 13_320
    assert (len(split.train), len(split.test)) == (train, test)


def test_raw_features_score_what_was_measured_independently(shared: Path) -> None:
    """1,865 real videos, mean of the three official splits: R@1 88.6, R@5 93.7, mAP 68.5, centred."""
    with h5py.File(shared / "data" / "features" / "ucf101-vgg16-14classes.h5") as file:
        lengths, features = file["lengths"][:], file["features"][:].astype(np.float32)
        ids = [name.decode() for name in file["ids"][:]]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    means = l2_normalize(np.stack([features[a:b].mean(axis=0) for a, b in pairwise(starts)]))
    labels = [name.split("_")[1] for name in (Path(i).stem for i in ids)]
    videos = [Video(f"{label}/{Path(i).stem}.avi", label, None, 1, 1) for label, i in zip(labels, ids, strict=True)]
    lists, rows = shared / "data" / "ucf101-mini" / "splits", []
    for number in (1, 2, 3):
        split = make_split(videos, DataSettings(split=f"official{number}"), lists)
        gallery = [n for n, video in enumerate(videos) if video.id in split.train]
        queries = [n for n, video in enumerate(videos) if video.id in split.test]
        moved = center(means, means[gallery].mean(axis=0))
        rows.append(
            retrieval_metrics(
                moved[queries], moved[gallery], [labels[n] for n in queries], [labels[n] for n in gallery]
            ).as_json()
        )
    for name, expected in (("R@1", 88.6), ("R@5", 93.7), ("mAP", 68.5)):
        assert np.mean([row[name] for row in rows]) == pytest.approx(expected, abs=0.5), name


def test_the_default_fit_retrieves_what_was_measured(shared: Path, tmp_path: Path) -> None:
    """1,865 real videos, official split 1, seeds 0 to 2: R@1 91.9, mAP 86.6 of the forecast; raw 87.2 and 68.3."""
    data = vgg_features(shared / "data" / "features" / "ucf101-vgg16-14classes.h5", split=1)
    settings = FitSettings(**{**PRESETS["default"], "clip_length": 4, "gap_max": 8.0, "validations": 0})
    fit.run(settings, data.training_table(), tmp_path, progress=Silent())
    forecaster, _ = load_forecaster(tmp_path)
    memory = FrameTensors.of(data.table, torch.device("cpu"))
    found = retrieval(data, embedding(forecaster, memory, settings, "predictor"))
    assert found["R@1"] == pytest.approx(91.9, abs=0.8)
    assert found["mAP"] == pytest.approx(86.6, abs=0.5), "seeds differ by 0.1, rounding by less"


def test_the_whole_road_on_real_clips_and_weights(mofore: Command, shared: Path, tmp_path: Path) -> None:
    mini = shared / "data" / "ucf101-mini"
    videos = tmp_path / "videos"
    chosen = [f"{c}/v_{c}_g{g:02d}_c01.avi" for c in ("Archery", "BalanceBeam") for g in (1, 2, 9, 10)]
    for name in chosen:
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        (videos / name).symlink_to(mini / "videos" / name)
    work = tmp_path / "work"
    made = mofore(
        "init", videos, "--splits", mini / "splits", "--backbone", "timm:mobilenetv2_100",
        "--weights", shared / "weights" / "mobilenetv2_100.imagenet.safetensors", "-w", work, "--set", "fit.steps=50",
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    result = mofore("run", "-w", work)
    assert result.exit_code == 0, result.stderr
    truth = {
        row["path"]: int(row["decoded_frames"]) for row in csv.DictReader((mini / "clips.csv").read_text().splitlines())
    }
    (shard,) = work.glob("features/*/*.h5")
    with h5py.File(shard) as file:
        stored = dict(zip(file["video_id"].asstr()[:], np.diff(file["offsets"][:]).tolist(), strict=True))
        assert file["features"].shape[1] == 1280
    assert stored == {name: truth[name] for name in chosen}
    metrics = json.loads((work / "metrics.json").read_text())
    assert metrics["protocol"]["split"] == "official1"
    assert (metrics["protocol"]["gallery"], metrics["protocol"]["queries"]) == (4, 4)
    assert metrics["retrieval"]["raw_mean_pool"]["R@1"] >= 50.0, "chance, and four queries are few"
    assert metrics["forecast"]["all"]["cosine"] > metrics["forecast"]["all"]["chance"]["cosine"]
    assert mofore("run", "-w", work).stderr.count("up to date") == 5
