"""What trials of faults share: the road run once, undisturbed, and what was there before each of its stages."""

from __future__ import annotations

import hashlib
import shutil
import time
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
    "index": ("index/*/*/*/*.faiss", "index/*/*/*/items.json", "index/*/*/*/embeddings.safetensors"),
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
    return wrong + (stage != "extract" and outputs(trial, stage) != outputs(setting.whole, stage))
