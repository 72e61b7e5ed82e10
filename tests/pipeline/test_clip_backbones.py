"""A clip backbone as a user meets it: the whole road, from files to a search, on windows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import Result

import mofore
from mofore.pipeline.config import make_config
from mofore.pipeline.store_key import store_key

from ..conftest import TINY
from ..stages.backbone.own_backbones import HERE

Command = Callable[..., Result]
OWN = f"{HERE}:make_clips"
SHORT = ("--set", "fit.clip_length=1", "--set", "fit.gap_max=1", "--set", "index.levels=video,clip")


def key_of(**settings: Any) -> str:
    return store_key(make_config({"extract": settings}), "")


@pytest.fixture
def work(mofore: Command, videos: Path, tmp_path: Path) -> Path:
    tiny = (*TINY, *SHORT, "--set", "extract.hop=3")
    made = mofore("init", videos, "--backbone", OWN, "-w", tmp_path / "work", "--no-estimate", *tiny)
    assert made.exit_code == 0, made.output
    done = mofore("run", "-w", tmp_path / "work")
    assert done.exit_code == 0, done.output
    return tmp_path / "work"


def test_the_whole_road_on_windows(mofore: Command, work: Path, videos: Path) -> None:
    again = mofore("run", "-w", work)
    assert (again.exit_code, again.stderr.count("up to date")) == (0, 5), again.stderr
    file = sorted(videos.glob("*/*"))[0]
    frames = ("--space", "frames", "--json", "-w", work)
    found = json.loads(mofore("search", file, *frames).stdout)["neighbours"][0]
    assert found["video_id"] == str(file.relative_to(videos)), "a file's windows are those that are stored"
    assert found["similarity"] > 0.9999
    for moment in json.loads(mofore("search", file, "--level", "clip", *frames).stdout)["neighbours"]:
        assert 0 <= moment["start_s"] < moment["end_s"] <= 24 / 25 + 1e-6
        assert moment["end_s"] - moment["start_s"] > 3 / 25, "as long as what was seen, not as a hop"
    for query in (file.name, file):
        said = json.loads(mofore("search", query, "--from", "0.2", "--to", "0.6", *frames).stdout)
        assert "0.20-0.60 s" in said["query"]
        assert len(said["neighbours"]) == 10
    assert mofore("duplicates", "-w", work).exit_code == 0


def test_python_gives_the_windows_with_their_ends(work: Path, videos: Path) -> None:
    run = mofore.open(work)
    name = next(iter(run.features))
    rows = run.features[name]
    assert rows.ends_s is not None
    assert rows.features.shape == (7, 18)
    assert np.allclose(rows.ends_s[:-1] - rows.times_s[:-1], 6 / 25)
    (encoded,) = mofore.encode(videos / name, OWN, hop=3)
    assert np.array_equal(encoded.features, rows.features)
    assert np.array_equal(encoded.times_s, rows.times_s)
    assert np.array_equal(encoded.ends_s, rows.ends_s)


def test_keys_of_stores_that_are_there_stay() -> None:
    """As they were before there were clip backbones."""
    assert key_of(backbone="random:test_vit") == "random-test_vit-60cb9385bb1f"
    assert key_of() == "timm-vit_small_patch14_dinov2.lvd142m-355e8ce21459"
    openai = key_of(backbone="open_clip:ViT-B-32/openai", image_size=256, fps=4.0)
    assert openai == "open_clip-ViT-B-32-openai-aa589ec461ce"


def test_whatever_changes_rows_is_another_store() -> None:
    changes: list[dict[str, Any]] = [
        {}, {"window": 8}, {"hop": 2}, {"incomplete": "refuse"}, {"pooling": "cls"}, {"output": "layer:3"},
        {"output": "tokens:2x2"}, {"fps": 4.0}, {"stride": 2},
    ]  # fmt: skip
    keys = {key_of(backbone="hf:facebook/vjepa2-vitl-fpc64-256", **change) for change in changes}
    assert len(keys) == len(changes)


@pytest.mark.parametrize("change", ["window=8", "hop=2", "output=layer:3", "pooling=mean"])
def test_settings_that_would_do_nothing_are_refused(change: str, mofore: Command, videos: Path, tmp_path: Path) -> None:
    options = ("--backbone", "random:test_vit", "--no-estimate", "--set", f"extract.{change}", "-w", tmp_path / "w")
    made = mofore("init", videos, *options)
    assert made.exit_code != 0
    assert "it would do nothing: leave it out" in " ".join(made.stderr.split())


def test_v_jepa_2_from_a_folder_of_weights(mofore: Command, videos: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed: pip install 'mofore[hf]'")
    from ..stages.backbone.tiny_models import save_tiny

    folder, work = save_tiny("vjepa2", tmp_path / "vjepa2"), tmp_path / "work"
    name = ("--backbone", "hf:facebook/vjepa2-vitl-fpc64-256", "--weights", folder)
    assert mofore("init", videos, *name, "-w", work, *TINY, *SHORT, "--set", "extract.hop=4").exit_code == 0
    assert mofore("run", "-w", work).exit_code == 0
    (path,) = work.glob("features/*/shard-*.h5")
    with h5py.File(path) as file:
        assert file["features"].shape == (20 * 5, 32)  # of 24 frames: windows of 8 at 0, 4, ..., 16
        said = json.loads(file.attrs["encoder"])
    assert said["windows"] == {"length": 8, "hop": 4, "pads": True}
    assert said["versions"]["transformers"]
    before = sorted(path.name for path in (work / "features").iterdir())
    text = (folder / "video_preprocessor_config.json").read_text()
    (folder / "video_preprocessor_config.json").write_text(text.replace("0.485", "0.5"))
    assert mofore("extract", "-w", work).exit_code == 0
    assert len(list((work / "features").iterdir())) == len(before) + 1, "another processor is another store"
