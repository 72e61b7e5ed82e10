"""The whole road with features that stay in their files: told once a stage, and nothing else changes."""

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Command = Callable[..., Result]


def test_fit_and_index_from_files_give_the_same_model_and_metrics(mofore: Command, work: Path) -> None:
    model = next(work.glob("fit/*/model.safetensors"))
    before, metrics = model.read_bytes(), json.loads((work / "metrics.json").read_text())
    little = ("--set", "fit.memory_gb=0.000001")
    assert "up to date" in mofore("run", "-w", work, *little).stderr, "how much memory there is changes no result"
    for stage in ("fit", "index"):
        done = mofore(stage, "-w", work, *little, "--force")
        assert done.exit_code == 0, done.output
        assert done.stderr.count("are read from their files: fit.memory_gb = 1e-06") == 1
    assert model.read_bytes() == before
    assert json.loads((work / "metrics.json").read_text()) == metrics
