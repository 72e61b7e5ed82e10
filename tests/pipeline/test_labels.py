"""Labels never reach training, but for a random split, which takes the same share of every class."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from click.testing import Result

from ..conftest import TINY


def test_shuffled_labels_give_identical_weights(tmp_path: Path, mofore: Callable[..., Result]) -> None:
    rng = np.random.default_rng(0)
    lengths, ids = np.full(24, 20), np.array([f"clip{number:02}" for number in range(24)])
    features = rng.standard_normal((480, 8)).astype(np.float16)
    labels = np.array([f"class{number % 3}" for number in range(24)])
    groups = np.array([f"g{number // 4:02}" for number in range(24)])
    models, indexes = [], []
    for name, given in (("true", labels), ("shuffled", rng.permutation(labels)), ("none", None)):
        source, work = tmp_path / f"{name}.npz", tmp_path / name
        arrays = {"features": features, "lengths": lengths, "ids": ids, "groups": groups}
        np.savez(source, **arrays if given is None else {**arrays, "labels": given})
        options = ("--set", "data.split=groups", "--set", "fit.holdout=0.2", "--set", "fit.keep=best")
        assert mofore("import", source, "-w", work, *TINY, *options).exit_code == 0
        assert mofore("index", "-w", work).exit_code == 0
        (model,) = work.glob("fit/*/model.safetensors")
        models.append(model.read_bytes())
        indexes.append((work / "metrics.json").read_text())
    assert models[0] == models[1] == models[2]
    assert indexes[0] != indexes[1], "the metrics do read labels"
