"""What trials of faults share: the road run once, undisturbed, and what was there before each of its stages."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .work import Trial, differing

STAGES = ("extract", "fit", "index")
FAST = (
    "extract.shard_seconds=0.2",
    "fit.checkpoint_seconds=0.3",
    "fit.preset=plain",
    "fit.clip_length=4",
    "fit.gap_max=4",
    "index.views=3",
)
OUTPUTS = {
    "fit": ("fit/*/model.safetensors", "fit/*/log.jsonl", "fit/*/validation.jsonl"),
    "index": ("index/*/*/*.faiss", "index/*/*/items.json", "index/*/*/embeddings.safetensors"),
}


def outputs(trial: Trial, stage: str) -> dict[str, str]:
    """Digests of what a stage made, by path."""
    paths = [path for pattern in OUTPUTS[stage] for path in trial.root.glob(pattern)]
    return {str(path.relative_to(trial.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@dataclass
class Setting:
    """What the rounds share: the videos, and what an undisturbed run made of them up to each stage."""

    work: Path
    videos: Path
    whole: Trial
    run_s: dict[str, float] = field(default_factory=dict)

    def begin(self, stage: str, number: int) -> tuple[Trial, Path]:
        """A work folder with all that comes before ``stage``, and the videos."""
        root = self.work / f"{stage}{number}"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.work / f"before-{stage}", root, copy_function=shutil.copy2)
        return Trial(root), self.videos


@dataclass
class Faults:
    """What rounds showed: how they ended, and what must all be zero."""

    rounds: int = 0
    wrong: int = 0  # bits that differ from those of an undisturbed run
    lost: int = 0  # shards put aside, videos recorded as broken
    unfinished: int = 0  # next runs that did not bring it to its end
    tracebacks: int = 0
    strange_codes: int = 0
    left_processes: int = 0
    left_files: int = 0
    messages: Counter[str] = field(default_factory=Counter)

    def ended(
        self, trial: Trial, codes: Sequence[int | None], said: Sequence[str], expected: Sequence[int | None]
    ) -> None:
        """A round's runs are over, with these exit codes and on their standard error this."""
        self.rounds += 1
        self.strange_codes += sum(code not in expected for code in codes)
        self.tracebacks += sum("Traceback" in err for err in said)
        self.left_processes += len(trial.processes())

    def go_on(self, setting: Setting, trial: Trial, stage: str, how: str) -> None:
        """Run the stage once more, undisturbed; hold what is there then against the undisturbed run, and delete it."""
        self.lost += len(list(trial.root.rglob("*.damaged")))
        code, _, err = trial.run(stage)
        done = code == 0 and trial.status()["stages"][stage]["action"] == "skip"
        self.unfinished += not done
        self.tracebacks += "Traceback" in err
        if not done:
            self.messages[f"after {how}: exit {code}: {err.strip()[-230:]}"] += 1
        self.lost += '"failure"' in (trial.root / "ledger.jsonl").read_text()
        self.left_files += len(left := trial.leftovers())
        if left:
            self.messages[f"after {how}: left {left}"] += 1
        self.wrong += compare(setting, trial, stage)
        shutil.rmtree(trial.root)


def last_lines(said: str, count: int, setting: Setting) -> str:
    """The end of what a run said, without where the trial is."""
    return " ".join(said.strip().splitlines()[-count:]).replace(str(setting.work), "")[-260:]


def options(description: str | None, rounds: int) -> argparse.ArgumentParser:
    """What trials of faults are asked with; ``rounds`` if nothing is said of them."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("videos", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backbone", default="random:test_efficientnet")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    return parser


def prepare(videos: Path, work: Path, backbone: str, settings: Sequence[str] = ()) -> Setting:
    """Run the whole road once, undisturbed, and keep what was there before each stage."""
    shutil.rmtree(work, ignore_errors=True)
    options = ("--backbone", backbone, *(part for text in (*FAST, *settings) for part in ("--set", text)))
    copied = Path(shutil.copytree(videos, work / "videos", copy_function=shutil.copy2))
    whole = Trial(work / "whole")
    setting = Setting(work, copied, whole)
    code, _, err = whole.run("init", str(copied), "--no-estimate", *options)
    if code:
        raise SystemExit(err)
    for stage in STAGES:
        shutil.copytree(whole.root, work / f"before-{stage}", copy_function=shutil.copy2)
        begin = time.monotonic()
        code, _, err = whole.run(stage)
        if code:
            raise SystemExit(err)
        setting.run_s[stage] = time.monotonic() - begin
    return setting


def compare(setting: Setting, trial: Trial, stage: str) -> int:
    """How much differs from what the undisturbed run made: videos, and one for the outputs of ``stage``."""
    wrong = len(differing(trial.features(), setting.whole.features()))
    if stage == "extract":
        return wrong
    expected = outputs(setting.whole, stage)
    assert expected, f"nothing of {stage} is compared"
    return wrong + (outputs(trial, stage) != expected)
