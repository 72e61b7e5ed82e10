"""What a catalog of a million videos costs: init, status, a run with nothing to do, one changed video, gc; DVC beside.

Files of some bytes each, a store of drawn features (two frames, as wide as the tiny encoder), and outputs of fit,
evaluate and index that are made up: what is measured is finding, planning and recording, not computing. The one changed
video is a real clip and is really extracted. Wall time, processor time and peak memory are those of the command with
its children, of each run. It takes gigabytes of disk and minutes, so ``make bench`` leaves it out:

    python -m benchmarks.million --folder /tmp/million [--videos 1000000] [--dvc .../bin/dvc]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from mofore.cache.atomic import write_json
from mofore.cache.fingerprint import file_state
from mofore.cache.ledger import Ledger, StageRecord
from mofore.cache.shard import VideoFeatures
from mofore.cache.store import SMALL_BYTES, FeatureStore
from mofore.data.blocks import blocks
from mofore.data.motion import write_motion_set
from mofore.data.progress import Silent
from mofore.data.types import Video
from mofore.pipeline.config import load_config
from mofore.pipeline.road import ROAD, make_plan
from mofore.pipeline.run import record_stage, remember
from mofore.pipeline.snapshot import Snapshot, observe
from mofore.pipeline.stage import Asked, Work
from mofore.pipeline.workspace import Workspace

CLASSES, GROUPS, FRAMES = 1000, 25, 2
BACKBONE = "random:test_efficientnet"
OUTPUTS = {"fit": "model.safetensors", "evaluate": "metrics.json", "index": "mofore.video/items.json"}
MOFORE = (sys.executable, "-m", "mofore")


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    wall_s: float
    processor_s: float  # user and system, of the process and its children
    peak_mb: float
    said: str  # the last line


def name_of(number: int) -> str:
    """Path of a video below the data folder, in UCF101's form."""
    label, rest = f"Class{number % CLASSES:04d}", number // CLASSES
    return f"{label}/v_{label}_g{rest % GROUPS:02d}_c{rest // GROUPS:02d}.avi"


def make_videos(root: Path, count: int) -> None:
    """Files of a few bytes, each another."""
    for number in range(min(count, CLASSES)):
        (root / name_of(number)).parent.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        with open(root / name_of(number), "wb") as file:  # noqa: PTH123 - a million times
            file.write(b"%d" % number)


def pinned_encoder(scratch: Path) -> tuple[dict[str, Any], int]:
    """What an extraction pins, and its width, from one of a few drawn clips."""
    for _ in write_motion_set(scratch / "videos", groups=1, clips=1, frames=4):
        pass
    cost("init", scratch / "videos", "--backbone", BACKBONE, "--no-estimate", *on(scratch))
    cost("extract", *on(scratch))
    store = FeatureStore(next((scratch / "features").iterdir()))
    return store.encoder() or {}, store.width(store.shard_files()[0].name)


def drawn_features(snapshot: Snapshot, videos: Sequence[Video], width: int) -> Iterator[VideoFeatures]:
    """Features of some videos."""
    rng = np.random.default_rng(videos[0].size)
    features_VTD = rng.random((len(videos), FRAMES, width), np.float32).astype(np.float16)
    for video, features_TD in zip(videos, features_VTD, strict=True):
        state = file_state(snapshot.catalog.path(video))
        yield VideoFeatures(video.id, state, features_TD, np.arange(float(FRAMES)))


def make_store(workspace: Workspace, encoder: dict[str, Any], width: int) -> None:
    """All videos in shards that are just too large to be merged."""
    config, ledger = load_config(workspace.config), Ledger.open(workspace.ledger)
    snapshot = observe(workspace, config, ledger)
    store = FeatureStore(workspace.store(snapshot.store_key))
    store.pin_encoder(encoder)
    videos = snapshot.catalog.videos
    for part in blocks(len(videos), SMALL_BYTES // (2 * FRAMES * width) + 1):
        ledger.add_shard(store.publish([*drawn_features(snapshot, videos[part], width)], encoder))


def make_outputs(workspace: Workspace) -> None:
    """The record of the extraction, and made-up outputs of the stages after."""
    config, ledger = load_config(workspace.config), Ledger.open(workspace.ledger)
    snapshot = observe(workspace, config, ledger)
    remember(snapshot)
    identity = config.extract.identity()
    ledger.add_stage(StageRecord("extract", snapshot.store_key, ROAD[0].version, identity, "", {}, 1.0))
    for stage in ROAD[1:]:
        plan = make_plan(snapshot)
        chosen = plan[stage.name]
        folder = workspace.stage(stage.name, chosen.key)
        write_json(folder / OUTPUTS[stage.name], {"made": "up"})
        work = Work(snapshot, plan, chosen, folder, Asked(), False, Silent(), {})
        record_stage(stage, work, (OUTPUTS[stage.name],), 1.0)
        stage.finish(work) if stage.name == "evaluate" else None


def on(root: Path) -> tuple[str, ...]:
    """The option that names a work folder."""
    return ("-w", str(root))


def cost(*command: str | Path, program: Sequence[str] = MOFORE, folder: Path | None = None) -> Cost:
    """Run a command."""
    begin = time.perf_counter()
    with subprocess.Popen(
        [*program, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - begin
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}:\n{said}")
    last = said.strip().rpartition("\n")[2]
    return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, last[:100])


def report(what: str, *command: str | Path, **where: Any) -> Cost:
    """Print a row of the table."""
    took = cost(*command, **where)
    print(f"| {what} | {took.wall_s:.2f} | {took.processor_s:.2f} | {took.peak_mb:,.0f} | {took.said} |", flush=True)
    return took


@contextmanager
def one_changed(path: Path, clip: Path) -> Iterator[None]:
    """A real clip in the place of a file, which is put back as it was."""
    content, state = path.read_bytes(), path.stat()
    shutil.copyfile(clip, path)
    try:
        yield
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def measure(root: Path, count: int, clip: Path, turns: int) -> None:
    """Print the table of one work folder."""
    size = (root / "ledger.jsonl").stat().st_size
    print(f"\n## {count:,} videos; ledger {size / count:.0f} bytes a video\n")
    print("| command | wall s | processor s | peak MB | last line |\n|---|---|---|---|---|")
    report("python -c pass", "-c", "pass", program=(sys.executable,))
    report("find -printf", "-type", "f", "-printf", "%s %T@\\n", program=("find", str(root / "videos")))
    report(
        "init", "init", root / "videos", "--backbone", BACKBONE, "--no-estimate", "--force", *on(root.with_name("init"))
    )
    report("status, first", "status", *on(root))
    report("run, nothing to do, first", "run", "--no-report", *on(root))  # a page needs outputs that are not made up
    for turn in range(turns):
        report(f"run, nothing to do ({turn + 1})", "run", "--no-report", *on(root))
    report("list", "list", root.parent)
    report("status", "status", *on(root))
    report("gc", "gc", *on(root))
    before = {path.name: path.stat().st_mtime_ns for path in root.glob("features/*/*.h5")}
    with one_changed(root / "videos" / name_of(count // 2), clip):
        report("status, one changed", "status", *on(root))
        report("extract, one changed", "extract", *on(root))
    after = {path.name: path.stat().st_mtime_ns for path in root.glob("features/*/*.h5")}
    kept = sum(after.get(name) == at for name, at in before.items())
    print(f"\n{kept} of {len(before)} shards untouched, {len(after) - kept} new")


def measure_dvc(root: Path, folder: Path, dvc: Path, turns: int) -> None:
    """DVC on the same files, by hard links: `add` once, then `status` with nothing to do."""
    if not (folder / ".dvc").exists():
        folder.mkdir()
        subprocess.run(["cp", "-al", str(root / "videos"), str(folder / "videos")], check=True)
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        for command in (
            ["init", "-q"],
            ["config", "core.analytics", "false"],
            ["config", "core.check_update", "false"],
        ):
            subprocess.run([str(dvc), *command], cwd=folder, check=True)
    where = {"program": (str(dvc),), "folder": folder}
    if not (folder / "videos.dvc").exists():
        report("dvc add", "add", "videos", **where)
    for turn in range(turns):
        report(f"dvc status ({turn + 1})", "status", **where)


def main() -> None:
    """Make what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where all of it goes; what is there is used")
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--dvc", type=Path, help="the program, to measure it beside")
    asked = parser.parse_args()
    root, scratch = asked.folder / "work", asked.folder / "scratch"
    workspace = Workspace(root)
    if not workspace.ledger.exists():
        if not (root / "videos").exists():
            make_videos(root / "videos", asked.videos)
        encoder, width = pinned_encoder(scratch)
        cost("init", root / "videos", "--backbone", BACKBONE, "--no-estimate", *on(root))
        # Not here: a command's peak memory counts that of the process it was forked from.
        with get_context("spawn").Pool(1) as pool:
            pool.apply(make_store, (workspace, encoder, width))
            pool.apply(make_outputs, (workspace,))
    measure(root, asked.videos, next((scratch / "videos").rglob("*.avi")), asked.turns)
    if asked.dvc:
        measure_dvc(root, asked.folder / "dvc", asked.dvc, asked.turns)


if __name__ == "__main__":
    main()
