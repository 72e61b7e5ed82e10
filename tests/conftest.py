"""Fixtures: a tiny motion set, a work folder over a copy of it, the material in ../shared."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

# Before torch is loaded, here or in a child: on tensors as small as these, threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from click.testing import CliRunner, Result
from hypothesis import settings

from mofore.data.motion import write_motion_set

settings.register_profile("mofore", deadline=None)  # a busy machine is no failure
settings.load_profile("mofore")

SHARED = Path(__file__).resolve().parents[2] / "shared"
TINY = (
    "--set",
    "extract.precision=fp32",
    "--set",
    "fit.preset=plain",
    "--set",
    "fit.steps=30",
    "--set",
    "fit.clip_length=4",
    "--set",
    "fit.gap_max=4",
    "--set",
    "index.views=3",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED.is_dir():
        return
    for item in items:
        if item.get_closest_marker("real"):
            item.add_marker(pytest.mark.skip(reason="../shared is not here"))


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A motion set of 20 clips of 24 frames; never change it, copy it."""
    folder = tmp_path_factory.mktemp("motion")
    for _ in write_motion_set(folder, groups=2, clips=1, frames=24):
        pass
    return folder


@pytest.fixture
def videos(drawn: Path, tmp_path: Path) -> Path:
    """A copy of the motion set that a test may change."""
    return Path(shutil.copytree(drawn, tmp_path / "videos"))


@pytest.fixture
def mofore(tmp_path: Path) -> Callable[..., Result]:
    """Call the command line in-process; ``mofore("run", "-w", path)`` returns click's result."""
    from mofore.pipeline.cli import cli

    def call(*args: str | Path) -> Result:
        result = CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="mofore")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture(scope="session")
def shared() -> Path:
    return SHARED
