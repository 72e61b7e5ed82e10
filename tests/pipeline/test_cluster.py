"""`mofore extract --ray`: what is refused before a cluster is asked for anything, and the device that is meant."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import Result

import mofore as package
from mofore.pipeline import cluster
from mofore.pipeline.config import load_config
from mofore.pipeline.workspace import Workspace
from mofore.tests.trials.work import Trial, differing

Command = Callable[..., Result]


@pytest.fixture
def fresh(videos: Path, tmp_path: Path) -> Path:
    """A work folder in which nothing is extracted yet."""
    settings = {"extract.precision": "fp32"}
    return package.init(videos, tmp_path / "fresh", backbone="random:test_efficientnet", set=settings).path


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--ray", "nowhere"), "--ray 'nowhere': auto for the cluster that this machine is a node of"),
        (("--ray", "ray://head:10001"), "--ray 'ray://head:10001'"),
        (("--ray", "auto", "--part", "1/2"), "give --part or --ray, not both"),
    ],
)
def test_wrong_addresses_are_named(mofore: Command, fresh: Path, options: tuple[str, ...], told: str) -> None:
    done = mofore("extract", "-w", fresh, *options)
    assert (done.exit_code, told in done.stderr) == (2, True), done.stderr


def test_without_ray_it_is_said_how_to_get_it(mofore: Command, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = mofore("extract", "-w", fresh, "--ray", "auto")
    assert (done.exit_code, "pip install 'mofore[ray]'" in done.stderr) == (2, True), done.stderr


def test_a_cluster_that_is_not_there_is_named(mofore: Command, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_given: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nMore of it.")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init))
    done = mofore("extract", "-w", fresh, "--ray", "auto")
    assert done.exit_code == 2
    assert "--ray auto: no cluster can be reached from here (Could not find any running Ray instance.)" in done.stderr


def test_features_that_were_imported_need_no_cluster(mofore: Command, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", a=np.ones((30, 4), np.float32), b=np.ones((30, 4), np.float32))
    assert mofore("import", tmp_path / "mine.npz", "-w", tmp_path / "work").exit_code == 0
    done = mofore("extract", "-w", tmp_path / "work", "--ray", "auto")
    assert (done.exit_code, "were imported" in done.stderr) == (2, True), done.stderr


def test_auto_means_gpus_if_the_cluster_has_some_and_the_store_is_not_begun_otherwise(fresh: Path) -> None:
    workspace, config = Workspace(fresh), load_config(fresh / "mofore.toml")
    some = SimpleNamespace(cluster_resources=lambda: {"CPU": 8.0, "GPU": 2.0})
    none = SimpleNamespace(cluster_resources=lambda: {"CPU": 8.0})

    def meant(ray: SimpleNamespace, **given: str) -> str:
        asked = replace(config, extract=replace(config.extract, **given))
        return cluster._with_device(workspace, asked, ray).extract.device

    assert (meant(some), meant(none), meant(some, device="cpu")) == ("cuda", "cpu", "cpu")
    package.open(fresh).extract()
    assert meant(some) == "cpu", "it was begun there"


def test_a_cluster_of_this_machine_does_what_one_process_does(
    mofore: Command, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    shutil.copytree(fresh, tmp_path / "alone")
    package.open(tmp_path / "alone").extract()
    done = mofore("extract", "-w", fresh, "--ray", "local", "--set", "extract.processes=1")
    assert done.exit_code == 0, done.stderr
    assert "shared by 1 actor on 1 node of the cluster, on cpu" in done.stderr
    assert not differing(Trial(fresh).features(), Trial(tmp_path / "alone").features())
    assert "up to date" in mofore("extract", "-w", fresh).stderr
