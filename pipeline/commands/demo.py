"""``mofore demo``: the whole road on clips that are drawn here, offline, with a random backbone."""

from __future__ import annotations

import json
from pathlib import Path

from ...data.metrics import Metrics
from ...data.progress import under_way
from .. import console
from ..config import load_config
from ..run import Outcome, Request, execute
from ..workspace import Workspace
from .init import NewWorkspace, init_workspace

BACKBONE = "random:test_efficientnet"
GROUPS, CLIPS, FRAMES = 10, 2, 48

EXPLANATION = """\
What this shows: the whole road works on this machine, from video files to metrics, and a second `mofore run`
does nothing. What it doesn't: how good MoFore is. The backbone is random, and the classes are motions drawn
with the same appearances, six of them each other's reversal in time. The temporal mean of the paper's
aggregator cannot see the order of frames, so R@1 far above chance ({chance:.0f} %) is not to be expected of any row.
Compare the rows: what `mofore` does not add to `raw_mean_pool`, `untrained` and `neighbour_lda` was not learnt."""


def run_demo(root: Path, watcher: console.Console) -> Outcome:
    """Draw the motion set into ``root/videos`` (once), run all stages and show the metrics.

    Raises:
        WorkspaceError: if another run holds the work folder.
    """
    from ...data.motion import MOTIONS

    workspace = Workspace(root)
    if not workspace.config.exists():
        _draw(root / "videos", watcher, len(MOTIONS) * GROUPS * CLIPS)
        init_workspace(root, NewWorkspace([root / "videos"], backbone=BACKBONE), estimating=False)
    outcome = execute(workspace, load_config(workspace.config), Request(), watcher)
    console.show_metrics(Metrics.from_json(json.loads(workspace.metrics.read_text())))
    console.say(EXPLANATION.format(chance=100 / len(MOTIONS)))
    console.say(f"look at it: mofore status -w {root}; mofore search v_{MOTIONS[0]}_g01_c01 -w {root}")
    return outcome


def _draw(folder: Path, watcher: console.Console, total: int) -> None:
    from ...data.motion import write_motion_set

    with under_way(watcher, "draw", total, "clips"):
        for _ in write_motion_set(folder, groups=GROUPS, clips=CLIPS, frames=FRAMES):
            watcher.advance(1)
