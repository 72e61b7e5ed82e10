"""A work folder that has been down the whole road."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ..conftest import TINY


@pytest.fixture(scope="session")
def finished(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished work folder with its videos inside; never change it, copy it."""
    from click.testing import CliRunner

    from mofore.pipeline.cli import cli

    root = tmp_path_factory.mktemp("finished")
    shutil.copytree(drawn, root / "videos")
    done = CliRunner().invoke(
        cli, ["init", f"{root}/videos", "--backbone", "random:test_efficientnet", "-w", str(root), *TINY]
    )
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(cli, ["run", "-w", str(root)])
    assert done.exit_code == 0, done.output
    return root


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished work folder, times of change kept."""
    return Path(shutil.copytree(finished, tmp_path / "work"))
