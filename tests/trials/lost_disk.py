"""Have a disk go away under `extract`, `fit` and `index`, for a while or until they end; go on, and compare.

python -m mofore.tests.trials.lost_disk VIDEOS WORK --rounds 30      (on Linux, with a C compiler)

Calls on files of the disk fail as those on lost network storage do (`lost_disk.c`, by LD_PRELOAD): the disk
of the work folder, that of the videos, or both; with EIO or ESTALE; from a random call of each process on, for some
calls or for good. Then the disk is back, the same command is run again, and everything must be what an undisturbed run
made of it, bit for bit.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .road import STAGES, Faults, Setting, last_lines, options, prepare
from .work import Trial

SOURCE = Path(__file__).with_suffix(".c")
ERRNOS = {"EIO": 5, "ESTALE": 116}
KINDS = ("all", "read", "write")
LENGTHS = (1, 3, 30, 0)  # calls of each process that fail; 0 for all from there on
WORKERS_CALLS = 300  # about as many as one makes for 40 small videos
PATIENCE_S = 240.0


@dataclass
class Report(Faults):
    """What a lost disk showed."""

    finished: int = 0  # although the disk was away: it came back in time, or went after the last call
    hung: int = 0  # must be zero


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
    """What goes away at a call of the system."""

    library: Path
    tally: Path

    def run(
        self, trial: Trial, command: str, folders: Sequence[Path], *, patience_s: float = PATIENCE_S, **how: Any
    ) -> tuple[int | None, str]:
        """`mofore COMMAND` with `how` as in :func:`with_lost_disk`: exit code, stderr; no code if it hung."""
        process = trial.start(command, env=with_lost_disk(self.library, folders, **how))
        try:
            _, err = process.communicate(timeout=patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return None, process.communicate()[1]
        return process.returncode, err

    def calls(self, trial: Trial, command: str, folders: Sequence[Path], kind: str) -> int:
        """Calls of a kind on files of the folders that the main process of an undisturbed run makes."""
        self.tally.unlink(missing_ok=True)
        code, err = self.run(trial, command, folders, first=10**12, calls=kind, tally=self.tally)
        if code:
            raise SystemExit(err)
        # Workers, which alone read videos, are killed at the end and say nothing.
        return max(map(int, self.tally.read_text().split())) if self.tally.exists() else WORKERS_CALLS


def disturb(setting: Setting, disk: Disk, stages: Sequence[str], *, rounds: int, seed: int) -> dict[str, Report]:
    """``rounds`` times for each stage: the disk goes at a random call; then the same command goes on."""
    draw = random.Random(seed)
    reports = {stage: Report() for stage in stages}
    made = dict[tuple[str, str, str], int]()  # calls, by stage, disk and kind
    for number in range(rounds):
        for stage in stages:
            _round(setting, disk, draw, reports[stage], made, stage, number)
            print(stage, reports[stage], file=sys.stderr, flush=True)
    return reports


def _round(
    setting: Setting,
    disk: Disk,
    draw: random.Random,
    report: Report,
    made: dict[tuple[str, str, str], int],
    stage: str,
    number: int,
) -> None:
    which = draw.choice(["work", "videos", "both"]) if stage == "extract" else "work"
    kind, name, count = draw.choice(KINDS), draw.choice(sorted(ERRNOS)), draw.choice(LENGTHS)
    trial, videos = setting.begin(stage, number)
    folders = {"work": [trial.root], "videos": [videos], "both": [trial.root, videos]}[which]
    key = (stage, which, kind)
    if key not in made:
        made[key] = disk.calls(trial, stage, folders, kind)
        trial, videos = setting.begin(stage, number)
    first = draw.randint(1, made[key])
    code, err = disk.run(trial, stage, folders, number=ERRNOS[name], calls=kind, first=first, count=count)
    report.ended(trial, [code], [err], (0, 1, 2, None))
    report.finished += code == 0
    report.hung += code is None
    how = f"{which} {kind} {name} from {first} of {made[key]} for {count or 'good'}"
    report.messages[f"{how}: exit {code}: {last_lines(err, 3, setting) if code else ''}"] += 1
    report.go_on(setting, trial, stage, how)


def main() -> None:
    """Run the trial and print the report."""
    parser = options(__doc__, 30)
    parser.add_argument("--stages", nargs="+", default=STAGES)
    given = parser.parse_args()
    setting = prepare(given.videos, given.work, given.backbone, given.settings)
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk(compiled(Path(folder)), Path(folder) / "away")
        reports = disturb(setting, disk, given.stages, rounds=given.rounds, seed=given.seed)
    for stage, report in reports.items():
        print(f"{stage}: {report}")


if __name__ == "__main__":
    main()
