"""Have a disk go away under `extract`, `fit` and `index`, for a while or until they end; go on, and compare.

python -m mofore.tests.trials.lost_disk VIDEOS WORK --rounds 30      (on Linux, with a C compiler)

Calls on files of the disk fail as those on lost network storage do (`lost_disk.c`, by LD_PRELOAD): the disk
of the work folder, that of the videos, or both; with EIO or ESTALE; from a random moment on. Then the disk is back, the
same command is run again, and everything must be what an undisturbed run made of it, bit for bit.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .road import Setting, compare, prepare
from .work import Trial

SOURCE = Path(__file__).with_suffix(".c")
ERRNOS = {"EIO": 5, "ESTALE": 116}
PATIENCE_S = 240.0


@dataclass
class Report:
    """What a lost disk showed: how runs ended, and what must all be zero."""

    rounds: int = 0
    finished: int = 0  # although the disk was away: it came back in time, or went after the last call
    wrong: int = 0  # bits that differ from those of an undisturbed run
    lost: int = 0  # shards that were there before and are not now, but for merged ones; videos recorded as broken
    unfinished: int = 0  # next runs that did not bring it to its end
    tracebacks: int = 0
    hung: int = 0
    strange_codes: int = 0
    left_processes: int = 0
    left_files: int = 0
    messages: Counter[str] = field(default_factory=Counter)


def compiled(folder: Path) -> Path:
    """The library that makes calls fail, built in ``folder``."""
    library = folder / "lost_disk.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


def with_lost_disk(library: Path, folders: Sequence[Path], *, number: int = 5, **how: object) -> dict[str, str]:
    """The environment of a process to which calls on files below ``folders`` fail; ``how`` as `lost_disk.c` says."""
    told = {f"MOFORE_LOST_{name.upper()}": str(value) for name, value in how.items()}
    lost = ":".join(str(folder.resolve()) for folder in folders)
    return {"LD_PRELOAD": str(library), "MOFORE_LOST": lost, "MOFORE_LOST_ERRNO": str(number), **told}


@dataclass
class Disk:
    """What is away while ``switch`` is there."""

    library: Path
    switch: Path

    def run(
        self, trial: Trial, command: str, folders: Sequence[Path], *, number: int, calls: str, at_s: float, for_s: float
    ) -> tuple[int | None, str]:
        """`mofore COMMAND`, the disk away from ``at_s`` on for ``for_s``: exit code, stderr; no code if it hung."""
        self.switch.unlink(missing_ok=True)
        told = with_lost_disk(self.library, folders, number=number, switch=self.switch, calls=calls)
        before = {name: os.environ.get(name) for name in told}
        os.environ.update(told)
        try:
            process = trial.start(command)
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        try:
            process.wait(at_s)
        except subprocess.TimeoutExpired:
            self.switch.touch()
            try:
                process.wait(for_s)
            except subprocess.TimeoutExpired:
                self.switch.unlink()
        try:
            _, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return None, process.communicate()[1]
        finally:
            self.switch.unlink(missing_ok=True)
        return process.returncode, err


def disturb(setting: Setting, disk: Disk, stages: Sequence[str], *, rounds: int, seed: int) -> dict[str, Report]:
    """``rounds`` times for each stage: the disk goes at a random moment; then the same command goes on."""
    draw = random.Random(seed)
    reports = {stage: Report() for stage in stages}
    for number in range(rounds):
        for stage in stages:
            _round(setting, disk, draw, reports[stage], stage, number)
            print(stage, reports[stage], file=sys.stderr, flush=True)
    return reports


def _round(setting: Setting, disk: Disk, draw: random.Random, report: Report, stage: str, number: int) -> None:
    trial, videos = setting.begin(stage, number)
    which = draw.choice(["work", "videos", "both"]) if stage == "extract" else "work"
    folders = {"work": [trial.root], "videos": [videos], "both": [trial.root, videos]}[which]
    name = draw.choice(sorted(ERRNOS))
    run_s = setting.run_s[stage]
    at_s, for_s = draw.uniform(0.2, 1.0) * run_s, draw.choice([0.05, 0.5, 2.0, PATIENCE_S])
    calls = draw.choice(["all", "all", "read", "write"])
    code, err = disk.run(trial, stage, folders, number=ERRNOS[name], calls=calls, at_s=at_s, for_s=for_s)
    report.rounds += 1
    report.finished += code == 0
    report.hung += code is None
    report.strange_codes += code not in (0, 1, 2, None)
    report.tracebacks += "Traceback" in err
    report.left_processes += len(trial.processes())
    said = " ".join(err.strip().splitlines()[-3:])
    report.messages[f"{which} {calls} {name} exit {code}: {said.replace(str(setting.work), '')[-230:]}"] += 1
    broken = len(list(trial.root.rglob("*.damaged")))
    code, _, err = trial.run(stage)
    done = code == 0 and trial.status()["stages"][stage]["action"] == "skip"
    report.unfinished += not done
    report.tracebacks += "Traceback" in err
    if not done:
        report.messages[f"afterwards exit {code}: {err.strip()[-230:]}"] += 1
    report.lost += broken + ('"failure"' in (trial.root / "ledger.jsonl").read_text())
    report.left_files += len(trial.leftovers())
    report.wrong += compare(setting, trial, stage)
    shutil.rmtree(trial.root)


def main() -> None:
    """Run the trial and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stages", nargs="+", default=["extract", "fit", "index"])
    parser.add_argument("--backbone", default="random:test_efficientnet")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    given = parser.parse_args()
    setting = prepare(given.videos, given.work, given.backbone, given.settings)
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk(compiled(Path(folder)), Path(folder) / "away")
        reports = disturb(setting, disk, given.stages, rounds=given.rounds, seed=given.seed)
    for stage, report in reports.items():
        print(f"{stage}: {report}")


if __name__ == "__main__":
    main()
