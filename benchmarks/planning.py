"""What a run with nothing to do costs, on a work folder of UCF101's size.

13,320 empty video files and a store of tiny made-up features (two frames of width 4 each); fit and index are
real, only short. Printed beside the start of Python itself, which is most of it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from mofore.cache.fingerprint import file_state
from mofore.cache.ledger import Ledger
from mofore.cache.shard import VideoFeatures
from mofore.cache.store import FeatureStore
from mofore.data.progress import Silent
from mofore.pipeline.config import load_config, render
from mofore.pipeline.run import Request, execute
from mofore.pipeline.snapshot import observe
from mofore.pipeline.workspace import Workspace

CLASSES, GROUPS = 101, 25
VIDEOS = 13_320
RUNS = 7


def make_work_folder(root: Path) -> Workspace:
    """A finished work folder over 13,320 files, its features put straight into the store."""
    for number in range(VIDEOS):
        label, rest = number % CLASSES, number // CLASSES
        path = (
            root / "videos" / f"Class{label:03d}" / f"v_Class{label:03d}_g{rest % GROUPS:02d}_c{rest // GROUPS:02d}.avi"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
    workspace = Workspace(root)
    settings = {"fit": {"steps": 20, "clip_length": 1, "gap_max": 0, "embedding_width": 0}, "index": {"views": 1}}
    workspace.config.write_text(render({"data": {"root": "videos"}, **settings}))
    ledger = Ledger.open(workspace.ledger)
    snapshot = observe(workspace, load_config(workspace.config), ledger)
    rng = np.random.default_rng(0)
    videos = [
        VideoFeatures(
            video.id, file_state(snapshot.catalog.path(video)), rng.random((2, 4)).astype(np.float16), np.arange(2.0)
        )
        for video in snapshot.catalog.videos
    ]
    store = FeatureStore(workspace.store(snapshot.store_key))
    store.pin_encoder({"precision": "fp32", "weights_sha256": "none"})
    ledger.add_shard(store.publish(videos, {}))
    return workspace


class Quiet(Silent):
    """A watcher that shows nothing."""

    def stop(self) -> None:
        """Stop at once."""
        raise KeyboardInterrupt

    def skipped(self, plan: object) -> None:
        """Nothing."""

    def begins(self, plan: object) -> None:
        """Nothing."""

    def done(self, plan: object, seconds: float, summary: str) -> None:
        """Nothing."""


def seconds(*command: str) -> float:
    """Median wall time of a process."""
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - begin)
    return median(times)


def main() -> None:
    """Print the cost of planning."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_work_folder(Path(folder))
        execute(workspace, load_config(workspace.config), Request(("extract", "fit", "index")), Quiet())
        python = seconds(sys.executable, "-c", "pass")
        bare = seconds(sys.executable, "-m", "mofore", "--version")
        rows = {
            "python -c pass": python,
            "mofore --version": bare,
            "mofore status": seconds(sys.executable, "-m", "mofore", "status", "-w", folder),
            "mofore run (nothing to do)": seconds(sys.executable, "-m", "mofore", "run", "-w", folder),
        }
    print(f"\n## Nothing to do, {VIDEOS:,} videos (median of {RUNS})\n")
    print("| command | s | of python's start |\n|---|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value:.3f} | {value / python:.1f} |")


if __name__ == "__main__":
    main()
