"""Kill `mofore extract` at random times, go on, and hold the result against an uninterrupted run.

python -m mofore.tests.trials.kill VIDEOS WORK --kills 50
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .work import Trial, differing


@dataclass
class Report:
    """What killing showed: kills, runs that came to their end, lost seconds, and what must all be zero."""

    kills: int = 0
    finished: int = 0
    most_lost_s: float = 0.0
    wrong: int = 0
    left_processes: int = 0
    left_files: int = 0
    tracebacks: int = 0


def kill_at_random_times(
    videos: Path, work: Path, *, kills: int, seed: int, options: tuple[str, ...], shard_s: float = 3.0
) -> Report:
    """Kill ``kills`` times, at times drawn evenly over a run; a run that ends is begun anew in an empty folder."""
    draw, report = random.Random(seed), Report()
    settings = (*options, "--set", f"extract.shard_seconds={shard_s}")
    whole = _new(work / "whole", videos, settings)
    begin = time.monotonic()
    whole.run("extract")
    run_s, expected = time.monotonic() - begin, whole.features()
    cut = _again(whole, work / "cut")
    while report.kills < kills:
        # SIGTERM and Ctrl-C are asked of it now and then; the others cannot be caught.
        number = draw.choice([signal.SIGKILL] * 8 + [signal.SIGTERM, signal.SIGINT])
        started = time.time()
        process = cut.start("extract")
        time.sleep(draw.uniform(0.1, run_s))
        ended = process.poll() is not None
        if not ended:
            process.send_signal(number)
            report.kills += 1
            report.most_lost_s = max(report.most_lost_s, _not_safe_s(cut, number, started))
        _, err = process.communicate()
        report.tracebacks += "Traceback" in err
        report.left_processes += len(cut.processes())
        print(report, file=sys.stderr, flush=True)
        if ended:
            _finish(report, cut, expected)
            cut = _again(whole, work / "cut")
    cut.run("extract")
    _finish(report, cut, expected)
    return report


def _new(root: Path, videos: Path, settings: tuple[str, ...]) -> Trial:
    shutil.rmtree(root, ignore_errors=True)
    trial = Trial(root)
    code, _, err = trial.run("init", str(videos), "--no-estimate", *settings)
    if code:
        raise SystemExit(err)
    return trial


def _again(whole: Trial, root: Path) -> Trial:
    """An empty work folder with the same settings."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    shutil.copy(whole.root / "mofore.toml", root)
    return Trial(root)


def _not_safe_s(trial: Trial, number: signal.Signals, started: float) -> float:
    """Seconds since the start or the last shard, loading included; a run that may tidy up loses nothing."""
    shards = [path.stat().st_mtime for path in trial.root.glob("features/*/*.h5")]
    return time.time() - max([started, *shards]) if number == signal.SIGKILL else 0.0


def _finish(report: Report, trial: Trial, expected: dict[str, object]) -> None:
    report.finished += 1
    report.wrong += len(differing(trial.features(), expected))  # type: ignore[arg-type]
    report.left_files += len(trial.leftovers())
    report.wrong += trial.status()["stages"]["extract"]["action"] != "skip"


def main() -> None:
    """Run the trial and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backbone", default="random:test_vit")
    given = parser.parse_args()
    print(
        kill_at_random_times(
            given.videos, given.work, kills=given.kills, seed=given.seed, options=("--backbone", given.backbone)
        )
    )


if __name__ == "__main__":
    main()
