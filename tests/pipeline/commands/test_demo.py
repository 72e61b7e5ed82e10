import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from mofore.pipeline.commands.demo import SETTINGS

SMALL = ("fit.steps=10", "fit.clip_length=8", "fit.gap_max=4", "fit.batch_size=4", "fit.hidden_width=16")


def test_the_demo_goes_down_the_whole_road_and_says_what_it_shows(
    mofore: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mofore.pipeline.commands.demo.GROUPS", 2)
    monkeypatch.setattr("mofore.pipeline.commands.demo.CLIPS", 1)
    monkeypatch.setattr("mofore.pipeline.commands.demo.SETTINGS", (*SETTINGS[:3], *SMALL))
    result = mofore("demo", "-w", tmp_path / "demo")
    assert result.exit_code == 0, result.stderr
    assert "raw_mean_pool" in result.stdout
    assert "What real videos say" in result.stdout
    last = result.stdout.strip().splitlines()[-1].removeprefix("next: ")
    assert last.endswith(f"search v_ZoomIn_g01_c01 -w {tmp_path / 'demo'}")
    found = subprocess.run(shlex.split(last), capture_output=True, text=True, check=True, env={"PATH": "/nowhere"})
    assert found.stdout.startswith("nearest to ZoomIn/v_ZoomIn_g01_c01"), "nothing needs to be activated"
    assert "What this shows" in result.stdout
    mine = mofore("init", tmp_path / "demo" / "videos", "-w", tmp_path / "mine", "--backbone", "random:test_vit")
    assert mine.exit_code == 0
    refused = mofore("demo", "-w", tmp_path / "mine")
    assert (refused.exit_code, "holds a run of other videos" in refused.stderr) == (2, True)
    monkeypatch.chdir(tmp_path)
    again = mofore("demo", "-w", "demo")
    assert again.stderr.count("up to date") == 5
