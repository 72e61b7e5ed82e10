"""Rename the work folder, or that of the videos, under `extract`, `fit` and `index`; go on there, and compare.

python -m mofore.tests.trials.moved VIDEOS WORK --rounds 20

Renamed; renamed and an empty folder put in its place; or the videos' folder renamed, and back after the run. A run may
finish or say what happened; nothing may appear at the old path, and the folder goes on under its new one, bit for bit.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from .road import STAGES, Setting, compare, prepare
from .work import Trial

HOW = ("renamed", "replaced", "videos")
PATIENCE_S = 240.0


@dataclass
class Report:
    """What renaming showed: how runs ended, and what must all be zero."""

    rounds: int = 0
    finished: int = 0
    wrong: int = 0
    at_the_old_path: int = 0  # files that appeared there
    lost: int = 0  # shards put aside, videos recorded as broken
    unfinished: int = 0
    tracebacks: int = 0
    strange_codes: int = 0
    left_processes: int = 0
    left_files: int = 0
    messages: Counter[str] = field(default_factory=Counter)


def disturb(setting: Setting, *, rounds: int, seed: int) -> dict[str, Report]:
    """``rounds`` times for each stage, each way in turn, at a random moment."""
    draw = random.Random(seed)
    reports = {stage: Report() for stage in STAGES}
    for number in range(rounds):
        for stage in STAGES:
            _round(setting, draw, reports[stage], stage, HOW[number % len(HOW)], number)
            print(stage, reports[stage], file=sys.stderr, flush=True)
    return reports


def _round(setting: Setting, draw: random.Random, report: Report, stage: str, how: str, number: int) -> None:
    trial, videos = setting.begin(stage, number)
    old = videos if how == "videos" else trial.root
    new = old.with_name(f"{old.name}-moved")
    process = trial.start(stage)
    with suppress(subprocess.TimeoutExpired):
        process.wait(draw.uniform(0.2, 1.0) * setting.run_s[stage])
    old.rename(new)
    if how == "replaced":
        old.mkdir()
    _, err = process.communicate(timeout=PATIENCE_S)
    report.rounds += 1
    report.finished += process.returncode == 0
    report.tracebacks += "Traceback" in err
    report.strange_codes += process.returncode not in (0, 1, 2)
    report.left_processes += len(trial.processes())
    said = " ".join(err.strip().splitlines()[-2:]).replace(str(setting.work), "")
    report.messages[f"{how} exit {process.returncode}: {said[-260:]}"] += 1
    report.at_the_old_path += len(list(old.rglob("*"))) if old.exists() else 0
    if how == "videos":
        new.rename(old)
    else:
        shutil.rmtree(old, ignore_errors=True)
        trial = Trial(new)
    code, _, err = trial.run(stage)
    report.tracebacks += "Traceback" in err
    report.unfinished += code != 0 or trial.status()["stages"][stage]["action"] != "skip"
    report.lost += len(list(trial.root.rglob("*.damaged"))) + ('"failure"' in (trial.root / "ledger.jsonl").read_text())
    report.left_files += len(trial.leftovers())
    report.wrong += compare(setting, trial, stage)
    shutil.rmtree(trial.root)


def main() -> None:
    """Run the trial and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backbone", default="random:test_efficientnet")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    given = parser.parse_args()
    setting = prepare(given.videos, given.work, given.backbone, given.settings)
    for stage, report in disturb(setting, rounds=given.rounds, seed=given.seed).items():
        print(f"{stage}: {report}")


if __name__ == "__main__":
    main()
