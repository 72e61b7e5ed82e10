"""A film of ten hours: how much memory its extraction takes, and what a kill in its middle costs.

A small film is drawn and encoded (H.264, a key frame every ten seconds), and extracted twice: undisturbed, and killed
once half of its frames are safe, then gone on with. It takes a quarter of an hour, so ``make bench`` leaves it out:

    python -m benchmarks.long_film --folder DIR [--hours 10] [--fps 5] [--backbone random:test_efficientnet]
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from mofore.cache.store import FeatureStore

from .extraction import PeakMemory

HEIGHT, WIDTH, FPS = 96, 128, 25
SCENE_FRAMES = 4096  # drawn once, and shown again and again, each time from another frame on
LOOK_S = 0.2


@dataclass
class Run:
    """What a run took, until it ended or was killed."""

    wall_s: float = 0.0
    main_mb: float = 0.0  # greatest resident memory of the first process
    all_mb: float = 0.0  # greatest sum of the proportional memory of all its processes


def draw_film(path: Path, hours: float) -> int:
    """A blob that wanders over a gradient; returns the number of frames."""
    rng = np.random.default_rng(0)
    walk_F2 = np.cumsum(rng.normal(0, 2, (SCENE_FRAMES, 2)), axis=0) % (HEIGHT, WIDTH)
    y_H1, x_1W = np.mgrid[:HEIGHT, :1][0], np.mgrid[:1, :WIDTH][1]
    frames = int(hours * 3600 * FPS)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=FPS, options={"preset": "ultrafast", "g": str(10 * FPS)})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            y, x = walk_F2[(number + number // SCENE_FRAMES) % SCENE_FRAMES]
            blob_HW = 200 * np.exp(-((y_H1 - y) ** 2 + (x_1W - x) ** 2) / 200)
            picture_HW = (x_1W + number // 256 % 64 + blob_HW).clip(0, 255).astype(np.uint8)
            chroma = np.full((HEIGHT // 2, WIDTH), 128, np.uint8)
            frame = av.VideoFrame.from_ndarray(np.concatenate([picture_HW, chroma]), "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return frames


def extract(work: Path, *, kill_when: Callable[[], bool] = lambda: False) -> Run:
    """Extract, and look at the memory meanwhile."""
    run, begin = Run(), time.perf_counter()
    command = [sys.executable, "-m", "mofore", "extract", "-w", str(work)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as process:
        memory = PeakMemory(process.pid)
        while process.poll() is None:
            run.main_mb = max(run.main_mb, _highest_mb(process.pid))
            if kill_when():
                process.send_signal(signal.SIGKILL)
            time.sleep(LOOK_S)
        run.all_mb = memory.stop() / 2**20
        said = process.stdout.read().decode() if process.stdout else ""
    run.wall_s = time.perf_counter() - begin
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(said)
    return run


def _highest_mb(pid: int) -> float:
    """Greatest resident memory of a process so far; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def safe_frames(work: Path) -> int:
    """Frames of the film that are on disk, while it is being extracted."""
    for path in work.glob("features/*/partial/*.json"):
        try:
            return int(json.loads(path.read_text())["frames"])
        except (OSError, ValueError, KeyError):
            return 0
    return 0


def stored_digest(work: Path) -> str:
    """Of the film's features."""
    store = FeatureStore(next((work / "features").iterdir()))
    (path,) = store.shard_files()
    return store.inspect(path).videos[0].digest


def main() -> None:
    """Draw the film if it is not there, and print what both ways took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the film and two work folders")
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--fps", type=float, default=0, help="frames a second that are taken; 0: all 25")
    parser.add_argument("--backbone", default="random:test_efficientnet")
    asked = parser.parse_args()
    film = asked.folder / f"videos-{asked.hours:g}" / "film.mp4"
    if not film.exists():
        film.parent.mkdir(parents=True)
        begin = time.perf_counter()
        frames = draw_film(asked.folder / "drawn.mp4", asked.hours)
        (asked.folder / "drawn.mp4").rename(film)
        print(f"drew {frames:,} frames in {time.perf_counter() - begin:.0f} s: {film.stat().st_size >> 20} MB")
    frames = int(asked.hours * 3600 * (asked.fps or FPS))
    digests = {}
    print("| way | wall s | main process MB | all processes MB |\n|---|---|---|---|")
    for way in ("undisturbed", "killed"):
        work = asked.folder / f"{way}-{asked.hours:g}"
        command = [sys.executable, "-m", "mofore", "init", str(film.parent), "-w", str(work)]
        command += ["--backbone", asked.backbone, "--no-estimate", "--set", f"extract.fps={asked.fps}"]
        subprocess.run(command, check=True, capture_output=True)
        if way == "killed":
            run = extract(work, kill_when=lambda work=work: safe_frames(work) >= frames // 2)
            safe = safe_frames(work)
            print(f"| killed with {safe:,} frames safe | {run.wall_s:.0f} | {run.main_mb:.0f} | {run.all_mb:.0f} |")
        run = extract(work)
        name = way if way == "undisturbed" else "gone on"
        print(f"| {name} | {run.wall_s:.0f} | {run.main_mb:.0f} | {run.all_mb:.0f} |", flush=True)
        digests[way] = stored_digest(work)
    same = "the same bits" if digests["killed"] == digests["undisturbed"] else "OTHER BITS"
    print(f"\n{frames:,} frames, {same}")


if __name__ == "__main__":
    main()
