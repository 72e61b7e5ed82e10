"""How well ``mofore duplicates`` finds planted copies of real clips.

python -m mofore.tests.trials.duplicates WORK

Of 60 clips every third is copied: without its first second, two seconds out of it, re-encoded coarsely, at half the
size, and a coarse part. For each threshold the planted pairs that were found are counted, and pairs that were not
planted: of one recording (UCF101 cuts several clips from one), of one class, and others.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter
from pathlib import Path

import av
from click.testing import CliRunner

from mofore.cache.ledger import Ledger
from mofore.data.catalog import scan
from mofore.data.decode import decode
from mofore.data.pictures import rgb
from mofore.pipeline.cli import cli
from mofore.pipeline.commands.duplicates import Duplicates, find
from mofore.pipeline.config import load_config
from mofore.pipeline.snapshot import observe
from mofore.pipeline.workspace import Workspace

SHARED = Path(__file__).resolve().parents[3] / "shared"
CLIPS = 60
THRESHOLDS = (0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99)
COPIES = {  # from and to, seconds; x264's constant rate factor; part of the size
    "trimmed": (1.0, 1e9, 16, 1.0),
    "part": (2.0, 4.0, 16, 1.0),
    "coarse": (0.0, 1e9, 33, 1.0),
    "small": (0.0, 1e9, 23, 0.5),
    "coarse part": (2.0, 4.0, 33, 1.0),
}
SETTINGS = ("fit.steps=20", "index.levels=clip", "index.spaces=frames", "evaluate.resamples=20", "fit.clip_length=16")


def plant(source: Path, target: Path, start_s: float, end_s: float, crf: int, scale: float) -> bool:
    """Write a part of a clip anew; whether the clip is that long."""
    frames = [rgb(frame) for frame, time_s in decode(source) if start_s <= time_s < end_s]
    if not frames or (end_s < 1e9 and len(frames) < 25 * (end_s - start_s)):
        return False
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "veryfast"})
        height, width, _ = frames[0].shape
        stream.width, stream.height = (round(side * scale / 2) * 2 for side in (width, height))
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return True


def prepare(folder: Path) -> int:
    """Clips and copies in one folder; how many copies there are."""
    chosen = scan(SHARED / "data" / "ucf101-mini" / "videos")
    planted = 0
    for number, video in enumerate(chosen.videos[:: len(chosen.videos) // CLIPS][:CLIPS]):
        target = folder / video.id
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(chosen.path(video), target)
        for name, how in COPIES.items() if number % 3 == 0 else ():
            planted += plant(target, target.with_name(f"{target.stem}__{name}.mp4"), *how)
    return planted


def count(found: Duplicates) -> Counter[str]:
    """Pairs by what they are."""
    counts: Counter[str] = Counter()
    for each in found.found:
        stems = [Path(name).stem.split("__") for name in (each.video, each.other)]
        if stems[0][0] == stems[1][0]:
            kinds = {parts[1] for parts in stems if len(parts) > 1}
            counts[kinds.pop() if min(map(len, stems)) == 1 else "copies of one clip"] += 1
        elif stems[0][0].rpartition("_")[0] == stems[1][0].rpartition("_")[0]:
            counts["one recording"] += 1
        else:
            counts["one class" if each.same_class else "others"] += 1
    return counts


def main() -> None:
    """Print a row for each threshold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    videos, run = work / "videos", work / "run"
    if not videos.exists():
        print(f"{prepare(videos)} copies planted")
        weights = next((SHARED / "weights").glob("mobilenetv2_100*"))
        sets = [part for setting in (*SETTINGS, "extract.precision=fp32") for part in ("--set", setting)]
        options = ["--backbone", "timm:mobilenetv2_100", "--weights", str(weights), "--no-estimate"]
        for command in (["init", str(videos), *options, *sets], ["index"]):
            result = CliRunner().invoke(cli, [*command, "-w", str(run)])
            if result.exit_code:
                sys.exit(result.output)
    workspace = Workspace.open(run)
    snapshot = observe(workspace, load_config(workspace.config), Ledger.open(workspace.ledger))
    print(f"{len(snapshot.catalog.videos)} videos")
    for threshold in THRESHOLDS:
        counts = count(find(snapshot, threshold=threshold))
        print(threshold, dict(sorted(counts.items())))


if __name__ == "__main__":
    main()
