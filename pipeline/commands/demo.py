"""``mofore demo``: the whole road on clips that are drawn here, offline, on which order is what there is to learn."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from ...data.errors import WorkspaceError
from ...data.metrics import Metrics
from ...data.motion import SCALES, write_motion_set
from ...data.progress import under_way
from ...data.wording import percent
from ..catalogs import roots_of
from ..config import load_config
from ..road import names
from ..run import Outcome, Request, Watcher, execute
from ..workspace import Workspace
from .init import NewWorkspace, init_workspace

BACKBONE = "random:test_vit"  # untrained, but it sees sizes
GROUPS, CLIPS, FRAMES = 16, 2, 48
# Order-sensitive, less each clip's mean, beside look-alikes: the preset, smaller, in fewer steps at a higher rate.
SETTINGS = (
    "data.train_fraction=0.7",
    "extract.image_size=64",
    "fit.preset=motion",
    "fit.clip_length=12",
    "fit.steps=300",
    "fit.batch_size=24",
    "fit.lr=3e-3",
    "fit.lr_schedule=cosine",
    "fit.hidden_width=128",
    "fit.embedding_width=128",
)

SHOWN = (
    "What this shows: shapes that grow, shrink and pulse, in the same {groups} appearances. The mean of the frames "
    "(raw_mean_pool) hardly tells these motions apart; a forecaster that sees the order of frames, less what they look "
    "like, does: of {queries} videos in appearances that it never saw, the nearest one moves alike for {mofore} %, "
    "against {raw} % (chance: {chance} %)."
)
REAL = (
    "What real videos say: there appearance tells the classes, and forecasting adds little. On 1,865 clips of UCF101 "
    "it is 0.8 points of mAP above the best closed form that needs no training, and level with it in R@1; on 300 "
    "clips it is no better (docs/findings.md)."
)


def run_demo(root: Path, watcher: Watcher) -> Outcome:
    """Draw the set into ``root/videos`` (once) and run all stages.

    Raises:
        WorkspaceError: if another run holds the work folder, or it is not of a demo.
    """
    workspace = Workspace(root)
    if not workspace.config.exists():
        total = len(SCALES) * GROUPS * CLIPS
        with under_way(watcher, "draw", total, "clips"):
            drawn = write_motion_set(root / "videos", SCALES, groups=GROUPS, clips=CLIPS, frames=FRAMES, bright=True)
            for _ in drawn:
                watcher.advance(1)
        asked = NewWorkspace([root / "videos"], backbone=BACKBONE, overrides=SETTINGS)
        init_workspace(root, asked, estimating=False)
    config = load_config(workspace.config)
    roots = [path.resolve() for path in roots_of(workspace, config)]
    if config.extract.backbone != BACKBONE or roots != [(root / "videos").resolve()]:
        raise WorkspaceError(f"'{root}' holds a run of other videos: `mofore demo -w FOLDER` takes a folder of its own")
    return execute(workspace, config, Request((*names(), "report")), watcher)


def explained(metrics: Metrics) -> list[str]:
    """What the figures show, and what real videos say."""
    rows = metrics.retrieval
    shown = SHOWN.format(
        queries=rows["mofore"].recalls.queries,
        groups=GROUPS,
        mofore=percent(rows["mofore"].recalls.r_at_1),
        raw=percent(rows["raw_mean_pool"].recalls.r_at_1),
        chance=f"{100 / len(SCALES):.0f}",
    )
    return [shown, REAL]


def next_lines(root: Path) -> list[str]:
    """The report, where one was made, and a command that works as it is."""
    report = root / "report" / "index.html"
    command = f"{own_command()} search v_{SCALES[0]}_g01_c01 -w {shlex.quote(str(root))}"
    return [*([f"report: {report}"] if report.exists() else []), f"next: {command}"]


def own_command() -> str:
    """How this very mofore is called from here: by its name where that is on the path, else by its place."""
    script = Path(sys.executable).parent / "mofore"
    found = shutil.which("mofore")
    if found and script.exists() and Path(found).samefile(script):
        return "mofore"
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -m mofore"
    inside = Path(os.path.relpath(script))
    return shlex.quote(str(script if inside.parts[0] == ".." else inside))
