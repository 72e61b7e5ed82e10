"""Clocks that jump: what is up to date, what came last and how long it took do not go by them."""

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import mofore as package
from mofore.cache.ledger import Ledger
from mofore.pipeline.runs import meet

from .test_moved_folder import bits, empty

Command = Callable[..., Result]
FUTURE_NS, PAST_NS = 4_000_000_000 * 10**9 + 5, -86_400 * 10**9 + 5  # in 2096, and before 1970
HOUR_S = 3600.0


def actions(mofore: Command, work: Path) -> dict[str, str]:
    stages = json.loads(mofore("status", "--json", "-w", work).stdout)["stages"]
    return {name: stage["action"] for name, stage in stages.items() if name != "report"}


def test_a_clock_that_jumps_while_a_run_is_at_work_changes_nothing(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, draw, now = empty(finished, tmp_path / "work", "extract"), random.Random(0), time.time
    monkeypatch.setattr(time, "time", lambda: now() + draw.uniform(-HOUR_S, HOUR_S))
    outcome = package.open(work).run()
    assert outcome.ran == ["extract", "fit", "evaluate", "index"]
    assert bits(work) == bits(finished)
    stages = Ledger.open(work / "ledger.jsonl").stages.values()
    assert all(0 <= record.seconds < HOUR_S / 2 for records in stages for record in records.values())
    assert package.open(work).run().ran == []


@pytest.mark.parametrize("changed_ns", [FUTURE_NS, PAST_NS])
def test_videos_from_another_time_are_done_once_and_again_when_they_change(
    changed_ns: int, mofore: Command, finished: Path, tmp_path: Path
) -> None:
    work = empty(finished, tmp_path / "work", "extract")
    paths = sorted((work / "videos").rglob("*.avi"))
    for path in paths:
        os.utime(path, ns=(changed_ns, changed_ns))
    assert mofore("extract", "-w", work).exit_code == 0
    assert actions(mofore, work)["extract"] == "skip"
    shutil.copy(paths[0], paths[1])  # of another content, now
    plan = json.loads(mofore("status", "--json", "-w", work).stdout)["stages"]["extract"]
    assert (plan["action"], plan["todo"]) == ("partial", 1)


def test_the_latest_run_is_the_one_that_was_measured_last_by_whatever_clock(mofore: Command, work: Path) -> None:
    assert mofore("evaluate", "-w", work, "--set", "evaluate.resamples=100").exit_code == 0
    first, last = Ledger.open(work / "ledger.jsonl").stages["evaluate"].values()
    (work / "metrics.json").unlink()
    lines = [json.loads(line) for line in (work / "ledger.jsonl").read_text().splitlines()]
    for line in lines:
        if line.get("fingerprint") == last.fingerprint:  # made when the clock was an hour behind
            for state in line["outputs"].values():
                state[1] -= 3600 * 10**9
    (work / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert last.fingerprint.startswith(meet(str(work), work).key)
    assert not first.fingerprint.startswith(meet(str(work), work).key)
