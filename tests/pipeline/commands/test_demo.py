from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result


def test_the_demo_goes_down_the_whole_road_and_says_what_it_shows(
    mofore: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mofore.pipeline.commands.demo.GROUPS", 2)
    monkeypatch.setattr("mofore.pipeline.commands.demo.CLIPS", 1)
    result = mofore("demo", "-w", tmp_path / "demo")
    assert result.exit_code == 0, result.stderr
    assert "raw_mean_pool" in result.stdout
    assert "What this shows" in result.stdout
    again = mofore("demo", "-w", tmp_path / "demo")
    assert again.stderr.count("up to date") == 4
