"""Videos too short for the clips of the defaults: import, extract and fit say so, and what they suggest works."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

Command = Callable[..., Result]
QUICK = ("--set", "fit.steps=20", "--set", "index.views=2", "--set", "evaluate.resamples=20")


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Twelve videos of 20 frames, without classes."""
    rng = np.random.default_rng(0)
    ids = np.array([f"clip{number:02}" for number in range(12)])
    path = tmp_path / "short.npz"
    np.savez(path, features=rng.standard_normal((240, 8)).astype(np.float16), lengths=np.full(12, 20), ids=ids)
    return path


def test_the_suggested_settings_fill_the_forecast(mofore: Command, features: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    said = mofore("import", features, "-w", work, *QUICK).stderr
    assert "12 of 12 videos cannot hold two clips of 16 frames" in said
    run = mofore("run", "-w", work)
    assert run.stderr.count("training videos cannot hold two clips") == 1
    assert "Forecast: not measured" in run.stdout
    assert json.loads((work / "metrics.json").read_text())["forecast"]["why_empty"]["settings"]
    changes = re.findall(r"--set (fit\.\w+)=(\d+)", said[said.index("cut short") :])
    assert changes == [("fit.clip_length", "6"), ("fit.gap_max", "8")]
    suited = mofore("run", "-w", work, *(text for name, value in changes for text in ("--set", f"{name}={value}")))
    assert "cannot hold" not in suited.stderr
    gaps = json.loads((work / "metrics.json").read_text())["forecast"]["gaps"]
    assert list(gaps) == ["0", "2", "4", "6", "8"]


def test_extract_says_it_where_no_fit_follows(mofore: Command, videos: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    assert mofore("init", videos, "-w", work, "--backbone", "random:test_vit", "--no-estimate", *QUICK).exit_code == 0
    said = mofore("extract", "-w", work).stderr
    assert "20 of 20 videos cannot hold two clips of 16 frames with the largest gap of 16 between (48;" in said
    assert "--set fit.clip_length=8 --set fit.gap_max=8 would let 20 of 20" in said
