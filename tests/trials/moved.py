"""Rename the work folder, or that of the videos, under `extract`, `fit` and `index`; go on there, and compare.

python -m mofore.tests.trials.moved VIDEOS WORK --rounds 20

Renamed; renamed and an empty folder put in its place; or the videos' folder renamed, and back after the run. A run may
finish or say what happened; nothing may appear at the old path, and the folder goes on under its new one, bit for bit.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass

from .road import STAGES, Faults, Setting, last_lines, options, prepare
from .work import Trial

HOW = ("renamed", "replaced", "videos")
PATIENCE_S = 240.0


@dataclass
class Report(Faults):
    """What renaming showed."""

    finished: int = 0
    at_the_old_path: int = 0  # files that appeared there; must be zero


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
    report.ended(trial, [process.returncode], [err], (0, 1, 2))
    report.finished += process.returncode == 0
    report.messages[f"{how} exit {process.returncode}: {last_lines(err, 2, setting)}"] += 1
    report.at_the_old_path += len(list(old.rglob("*"))) if old.exists() else 0
    if how == "videos":
        new.rename(old)
    else:
        shutil.rmtree(old, ignore_errors=True)
        trial = Trial(new)
    report.go_on(setting, trial, stage, how)


def main() -> None:
    """Run the trial and print the report."""
    given = options(__doc__, 21).parse_args()
    setting = prepare(given.videos, given.work, given.backbone, given.settings)
    for stage, report in disturb(setting, rounds=given.rounds, seed=given.seed).items():
        print(f"{stage}: {report}")


if __name__ == "__main__":
    main()
