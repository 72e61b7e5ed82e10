"""Before and after training end to end, on real clips: ``python -m benchmarks.end_to_end CLIPS SPLITS WEIGHTS``.

CLIPS is a folder in UCF101's layout, SPLITS its official lists, WEIGHTS those of timm's ``mobilenetv2_100``. The road
is walked twice, with the encoder as it is and with the tuned one; the fit, the index and their seeds are the same, and
test videos are seen by neither training.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from mofore.data.metrics import Metrics
from mofore.data.wording import number
from mofore.pipeline.commands.init import NewWorkspace, init_workspace
from mofore.pipeline.config import load_config
from mofore.pipeline.console import Console
from mofore.pipeline.road import upto
from mofore.pipeline.run import Request, execute
from mofore.pipeline.workspace import Workspace

TRAIN_GROUPS, TEST_GROUPS = range(8, 14), range(1, 5)  # of official split 1
FIT = ("fit.steps=600", "fit.lr=0.001")
TUNING = ("finetune.blocks=2", "finetune.steps=120", "finetune.batch_size=8", "finetune.frames=4")


def main(arguments: Sequence[str] | None = None) -> None:
    """Walk the road twice and print both results."""
    given = _parser().parse_args(arguments)
    workspace = Workspace(given.work)
    count = _link_clips(given.clips, given.work / "videos")
    settings = [*FIT, *TUNING, *given.set]
    if not workspace.config.exists():
        backbone = "timm:mobilenetv2_100"
        new = NewWorkspace([given.work / "videos"], given.splits, backbone=backbone, weights=given.weights)
        init_workspace(given.work, new, estimating=False)
    before = _walk(workspace, settings)
    begin = time.monotonic()
    execute(workspace, load_config(workspace.config, settings), Request(upto("finetune")), Console())
    tuned_s = time.monotonic() - begin
    latest = max(given.work.glob("finetune/*/backbone.safetensors"), key=lambda path: path.stat().st_mtime)
    after = _walk(workspace, [*settings, f"extract.weights={latest.relative_to(given.work)}"])
    print(f"{count} clips, {' '.join(settings)}; tuning {tuned_s:.0f} s")
    _print_table({"before": before, "after": after})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("clips", "splits", "weights"):
        parser.add_argument(name, type=lambda text: Path(text).resolve())
    parser.add_argument("--work", type=Path, default=Path("runs/end-to-end"))
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    return parser


def _link_clips(clips: Path, folder: Path) -> int:
    """Links to the first clip of each chosen group of each class; returns how many."""
    count = 0
    for path in sorted(clips.glob("*/*_c01.avi")):
        if int(path.stem.split("_g")[1][:2]) not in (*TRAIN_GROUPS, *TEST_GROUPS):
            continue
        link = folder / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(path)
        count += 1
    return count


def _walk(workspace: Workspace, settings: list[str]) -> Metrics:
    execute(workspace, load_config(workspace.config, settings), Request(), Console())
    return Metrics.from_json(json.loads(workspace.metrics.read_text()))


def _print_table(found: dict[str, Metrics]) -> None:
    print("| encoder | embedding | R@1 | R@5 | mAP | effective rank |\n|---|---|---|---|---|---|")
    for encoder, metrics in found.items():
        for row in ("mofore", "raw_mean_pool"):
            figures = metrics.retrieval[row].recalls
            shown = (figures.r_at_1, figures.r_at_5, figures.mean_ap, metrics.health[row].effective_rank)
            print(f"| {encoder} | {row} | " + " | ".join(number(value, 1) for value in shown) + " |")
    print("\n| encoder | forecast MSE | persistence | cosine | R2 | skill |\n|---|---|---|---|---|---|")
    for name, metrics in found.items():
        whole = metrics.forecast.skill.whole
        if whole is not None:
            errors = (whole.mse, whole.persistence.mse, whole.cosine, whole.r2, whole.skill)
            print(f"| {name} | " + " | ".join(number(value, 5) for value in errors) + " |")
    protocol = found["before"].protocol
    print(f"\n{protocol.queries} queries, {protocol.gallery} in the gallery, split {protocol.split}")


if __name__ == "__main__":
    main()
