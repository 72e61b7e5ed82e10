"""Fill the disk under `mofore extract`, and forbid it to write to its folder, at random times; go on, and compare.

python -m mofore.tests.trials.disk VIDEOS WORK --rounds 10      (as root on Linux: it mounts a tmpfs on WORK/disk)
"""

from __future__ import annotations

import argparse
import random
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .work import Trial, differing

# Without this, root may write wherever it likes.
BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")


@dataclass
class Report:
    """What a full disk and a read-only folder showed: how runs ended, and what must all be zero."""

    filled: int = 0
    made_read_only: int = 0
    finished_afterwards: int = 0
    wrong: int = 0
    tracebacks: int = 0
    left_processes: int = 0
    left_files: int = 0
    silent: int = 0
    messages: Counter[str] = field(default_factory=Counter)


class Disk:
    """A small file system whose size can be changed while it is in use."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __enter__(self) -> Disk:
        self.place.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(self.place))
        return self

    def __exit__(self, *_: object) -> None:
        _run("umount", "-l", str(self.place))

    def resize(self, size: str) -> None:
        """Change its size."""
        _run("mount", "-o", f"remount,size={size}", str(self.place))

    def used(self) -> int:
        """Bytes on it."""
        return int(_run("df", "--output=used", "-B1", str(self.place)).split()[-1])


def disturb(videos: Path, work: Path, *, rounds: int, seed: int, options: tuple[str, ...]) -> Report:
    """``rounds`` times each: run out of space, and become read-only; in between begin anew whenever a run finished."""
    draw, report = random.Random(seed), Report()
    settings = (*options, "--set", "extract.shard_seconds=0.5")
    whole = Trial(work / "whole")
    whole.run("init", str(videos), "--no-estimate", *settings)
    begin = time.monotonic()
    whole.run("extract")
    run_s, expected = time.monotonic() - begin, whole.features()
    size = sum(path.stat().st_size for path in whole.root.rglob("*.h5"))
    with Disk(work / "disk") as disk:
        for number in range(2 * rounds):
            trial = Trial(disk.place / f"work{number}")
            trial.run("init", str(videos), "--no-estimate", *settings)
            if number % 2:
                process = trial.start("extract", prefix=BOUND)
                time.sleep(draw.uniform(0.3, 0.8) * run_s)
                folders = [trial.root, *trial.root.glob("features"), *trial.root.glob("features/*")]
                for folder in folders:
                    folder.chmod(0o500)
                report.made_read_only += 1
                _note(report, process)
                for folder in folders:
                    folder.chmod(0o700)
            else:
                # Files' pages are rounded up, and the ledger wants some too.
                disk.resize(str(disk.used() + draw.randrange(16 << 10, size)))
                report.filled += 1
                _note(report, trial.start("extract"))
                disk.resize("1g")
            report.left_processes += len(trial.processes())
            trial.run("extract")
            report.finished_afterwards += trial.status()["stages"]["extract"]["action"] == "skip"
            report.wrong += len(differing(trial.features(), expected))
            report.left_files += len(trial.leftovers())
            for path in trial.root.rglob("*.h5"):
                path.unlink()
    return report


def _note(report: Report, process: subprocess.Popen[str]) -> None:
    _, err = process.communicate()
    report.tracebacks += "Traceback" in err
    report.silent += process.returncode == 0
    report.messages[err.strip().splitlines()[-1].partition("'")[0] + "... " + err.strip()[-90:]] += 1


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Run the trial and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backbone", default="random:test_vit")
    given = parser.parse_args()
    print(
        disturb(given.videos, given.work, rounds=given.rounds, seed=given.seed, options=("--backbone", given.backbone))
    )


if __name__ == "__main__":
    main()
