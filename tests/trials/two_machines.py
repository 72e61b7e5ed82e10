"""Two runs at work in one folder whose locks do not reach the other's machine; then a third one, and compare.

python -m mofore.tests.trials.two_machines VIDEOS WORK --rounds 20

The machines are two processes that believe in hosts of their own and whose locks are always granted. The second one
begins at a random moment of the first; now and then one of them is killed. One may say that the other is there; the
next run must bring everything to its end, bit for bit.
"""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass

from .road import STAGES, Faults, Setting, last_lines, options, prepare
from .work import Trial

PATIENCE_S = 240.0
ELSEWHERE = """
import fcntl, socket, sys
host = sys.argv.pop(1)
fcntl.flock = lambda *_: None
socket.gethostname = lambda: host
from mofore.pipeline.cli import main
main()
"""


@dataclass
class Report(Faults):
    """What two runs at once showed."""

    both_finished: int = 0
    noticed: int = 0  # rounds in which one said that another run is there
    killed: int = 0


def start(trial: Trial, command: str, host: str) -> subprocess.Popen[str]:
    """`mofore COMMAND` on a machine of that name."""
    return trial.start_line([sys.executable, "-c", ELSEWHERE, host, command, "-w", str(trial.root)])


def disturb(setting: Setting, *, rounds: int, seed: int) -> dict[str, Report]:
    """``rounds`` times for each stage, the second one beginning at a random moment of the first."""
    draw = random.Random(seed)
    reports = {stage: Report() for stage in STAGES}
    for number in range(rounds):
        for stage in STAGES:
            _round(setting, draw, reports[stage], stage, number)
            print(stage, reports[stage], file=sys.stderr, flush=True)
    return reports


def _round(setting: Setting, draw: random.Random, report: Report, stage: str, number: int) -> None:
    trial, _ = setting.begin(stage, number)
    delay = draw.choice([0.0, draw.uniform(0.0, 1.0)]) * setting.run_s[stage]
    first = start(trial, stage, "machine1")
    _wait(first, delay)
    second = start(trial, stage, "machine2")
    if number % 4 == 3:
        _wait(second, draw.uniform(0.5, 1.5) * setting.run_s[stage])
        killed = draw.choice([first, second])
        report.killed += killed.poll() is None
        killed.kill()
    said = [process.communicate(timeout=PATIENCE_S)[1] for process in (first, second)]
    codes = [process.returncode for process in (first, second)]
    report.ended(trial, codes, said, (0, 1, 2, -9))
    report.both_finished += codes == [0, 0]
    report.noticed += any("another run" in err or "another process" in err for err in said)
    for code, err in zip(codes, said, strict=True):
        if code:
            report.messages[f"exit {code}: {last_lines(err, 2, setting)}"] += 1
    report.go_on(setting, trial, stage, "both")


def _wait(process: subprocess.Popen[str], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def main() -> None:
    """Run the trial and print the report."""
    given = options(__doc__, 20).parse_args()
    setting = prepare(given.videos, given.work, given.backbone, given.settings)
    for stage, report in disturb(setting, rounds=given.rounds, seed=given.seed).items():
        print(f"{stage}: {report}")


if __name__ == "__main__":
    main()
