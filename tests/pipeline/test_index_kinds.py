"""Kinds of index on the whole road: what they cost is shown and stored, and new videos don't train them anew."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import Result

Command = Callable[..., Result]


def about(work: Path, space: str, name: str = "index.json") -> dict[str, Any]:
    records = map(json.loads, (work / "ledger.jsonl").read_text().splitlines())
    latest = [record for record in records if record.get("stage") == "index"][-1]
    path = next(path for path in latest["outputs"] if path.endswith(f"{space}.video/{name}"))
    return dict(json.loads((work / path).read_text()))


def test_what_an_index_costs_is_stored_and_shown(mofore: Command, work: Path) -> None:
    shown = mofore("index", "-w", work, "--force", "--set", "index.kind=hnsw", "--recall", "0.5")
    assert shown.exit_code == 0, shown.output
    assert "frames, video" in shown.stdout
    assert "HNSW32,Flat" in shown.stdout
    assert "index.recall 0.95 -> 0.5" in shown.stderr or "forced" in shown.stderr
    assert "indexes are built and searched" in shown.stderr
    assert about(work, "mofore")["provenance"]["index_settings"]["recall"] == 0.5
    price = about(work, "mofore", "price.json")
    assert (price["vectors"], price["factory"], set(price["agreement"])) == (20, "HNSW32,Flat", {"1", "10", "50"})


def test_metrics_do_not_depend_on_the_kind(mofore: Command, work: Path, finished: Path) -> None:
    assert mofore("index", "-w", work, "--set", "index.kind=ivf").exit_code == 0
    mine, theirs = (json.loads((folder / "metrics.json").read_text()) for folder in (work, finished))
    assert mine["retrieval"] == theirs["retrieval"]


def test_a_kind_that_faiss_does_not_know_is_refused_before_anything_is_made(mofore: Command, work: Path) -> None:
    result = mofore("index", "-w", work, "--set", "index.kind=IVF8,PQ7")
    assert result.exit_code == 1
    assert "index.kind = 'IVF8,PQ7' cannot be built for vectors of width" in result.stderr
    assert len(list(work.glob("index/*/mofore.video/index.json"))) == 1


def test_a_new_video_is_added_to_what_was_trained(mofore: Command, work: Path) -> None:
    kind = ("--set", "index.kind=hnsw", "--set", "index.spaces=mofore, frames")
    assert mofore("run", "-w", work, *kind).exit_code == 0
    shutil.copy(work / "videos/Orbit/v_Orbit_g01_c01.avi", work / "videos/Orbit/v_Orbit_g01_c02.avi")
    assert mofore("run", "-w", work, *kind).exit_code == 0
    assert about(work, "frames")["why"].startswith("not trained anew (items added since it was: 1, removed: 0); ")
    assert about(work, "frames")["provenance"]["fit"] == about(work, "mofore")["provenance"]["fit"]
    assert about(work, "mofore")["added"] == 0, "another fit, hence another model"
    found = mofore("search", "v_Orbit_g01_c02", "-w", work, "-k", "1", *kind)
    assert "v_Orbit_g01_c01" in found.stdout
    assert mofore("index", "-w", work, "--force", *kind).exit_code == 0
    assert about(work, "frames")["added"] == 0
