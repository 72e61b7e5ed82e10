"""Which store the settings mean: the device that resizes pictures is part of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from mofore.pipeline import snapshot as snapshot
from mofore.pipeline.config import Config, make_config
from mofore.pipeline.store_key import store_key
from mofore.pipeline.workspace import Workspace


def config(device: str) -> Config:
    return make_config({"extract": {"backbone": "random:test_vit", "device": device}})


def key_of(device: str, root: Path) -> str:
    return snapshot._present_key(Workspace(root), config(device), "")


def begin(key: str, root: Path) -> None:
    folder = Workspace(root).store(key)
    folder.mkdir(parents=True)
    (folder / "encoder.json").write_text(json.dumps({}))


def test_a_gpus_pixels_are_a_store_of_their_own(tmp_path: Path) -> None:
    assert key_of("cpu", tmp_path) != key_of("cuda", tmp_path)


@pytest.mark.parametrize("gpu", [False, True])
def test_auto_means_what_this_machine_has_where_nothing_is_begun(
    gpu: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_has_gpu", lambda: gpu)
    assert key_of("auto", tmp_path) == key_of("cuda" if gpu else "cpu", tmp_path)


@pytest.mark.parametrize("made_on", ["cpu", "cuda"])
def test_auto_means_the_store_that_is_there_on_any_machine(
    made_on: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unasked() -> Any:
        raise AssertionError("the store that is there decides")

    monkeypatch.setattr(snapshot, "_has_gpu", unasked)
    begin(key_of(made_on, tmp_path), tmp_path)
    assert key_of("auto", tmp_path) == key_of(made_on, tmp_path)


def keyed(**extract: str) -> str:
    return store_key(make_config({"extract": {"backbone": "random:test_vit", **extract}}), "")


def test_stores_of_earlier_versions_are_torchs_and_what_auto_goes_on_with() -> None:
    assert keyed() == keyed(engine="auto") == keyed(engine="torch") == "random-test_vit-60cb9385bb1f"


def test_openvino_that_is_asked_for_has_a_store_of_its_own() -> None:
    assert keyed(engine="openvino") != keyed()
