"""Kill `mofore fit` at random times, go on, and hold model and logs against an uninterrupted run, byte for byte.

python -m mofore.tests.trials.fit_kill FEATURES.h5 WORK --kills 20
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from .kill import Report
from .work import Trial

COMPARED = ("model.safetensors", "log.jsonl", "validation.jsonl")


def kill_fits(work: Path, *, kills: int, seed: int, options: tuple[str, ...]) -> Report:
    """Kill ``kills`` times, at times drawn evenly over a run of the work folder's fit; ``work`` has features."""
    draw, report = random.Random(seed), Report()
    settings = (*options, "--set", "fit.checkpoint_seconds=0.3")
    whole, cut = _copy(work, work.parent / "whole"), _copy(work, work.parent / "cut")
    begin = time.monotonic()
    code, _, err = whole.run("fit", *settings)
    if code:
        raise SystemExit(err)
    run_s, expected = time.monotonic() - begin, _outputs(whole)
    while report.kills < kills:
        number = draw.choice([signal.SIGKILL] * 4 + [signal.SIGTERM])
        process = cut.start("fit", *settings)
        time.sleep(draw.uniform(0.5 * run_s, run_s))  # the first half is loading torch
        ended = process.poll() is not None
        if not ended:
            process.send_signal(number)
            report.kills += 1
        _, err = process.communicate()
        report.tracebacks += "Traceback" in err
        report.left_processes += len(cut.processes())
        print(report, file=sys.stderr, flush=True)
        if ended:
            _finish(report, cut, expected)
            cut = _copy(work, work.parent / "cut")
    cut.run("fit", *settings)
    _finish(report, cut, expected)
    return report


def _copy(work: Path, root: Path) -> Trial:
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(work, root)
    return Trial(root)


def _outputs(trial: Trial) -> dict[str, bytes]:
    return {name: next(trial.root.glob(f"fit/*/{name}")).read_bytes() for name in COMPARED}


def _finish(report: Report, trial: Trial, expected: dict[str, bytes]) -> None:
    report.finished += 1
    report.wrong += _outputs(trial) != expected
    report.left_files += len(trial.leftovers()) + len(list(trial.root.glob("fit/*/resume-*")))


def main() -> None:
    """Import the features, run the trial and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    given = parser.parse_args()
    shutil.rmtree(given.work, ignore_errors=True)
    base = Trial(given.work / "base")
    code, _, err = base.run("import", str(given.features))
    if code:
        raise SystemExit(err)
    options = tuple(part for text in given.settings for part in ("--set", text))
    print(kill_fits(base.root, kills=given.kills, seed=given.seed, options=options))


if __name__ == "__main__":
    main()
