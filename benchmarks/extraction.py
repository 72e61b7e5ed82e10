"""`mofore extract` against a plain loop and against the limit, the backbone's own forward pass.

Each part is a process of its own, so that none profits from what another has set or loaded:

- peer: one video at a time, a PIL transform per frame, batch 1, fp32, as feature extractors in use today do it
- limit: the backbone alone on normalised pictures in memory, in the arithmetic that `mofore extract` chose
- decode, colour, resize: the parts of reading, one thread each
- extract: the command, from its start to its end, loading, choosing and compiling included

On the clips and weights of ../shared where they are, else on drawn clips with random weights.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
PEER_S, LIMIT_S = 15.0, 10.0
WATCH_S = 3.0  # between looks at the memory: each takes time from the process that is looked at


@dataclass(frozen=True)
class Case:
    """A backbone, how many clips it is given, and how often each."""

    name: str
    clips: int
    copies: int
    compile: str

    def backbone(self) -> tuple[str, Path | None]:
        """What to extract with: real weights where there are some."""
        weights = SHARED / "weights" / f"{self.name}.imagenet.safetensors"
        return (f"timm:{self.name}", weights) if weights.exists() else (f"random:{self.name}", None)


CASES = (
    Case("mobilenetv2_100", 300, 2, "on"),
    Case("mobilenetv3_small_100", 300, 5, "on"),
    Case("vit_small_patch16_224", 80, 1, "on"),
)


def clips_of(case: Case, folder: Path) -> Path:
    """A folder with the case's clips, as links."""
    real = sorted((SHARED / "data" / "ucf101-mini" / "videos").rglob("*.avi"))
    clips = real or draw_clips(folder / "drawn")
    videos = folder / f"videos-{case.name}"
    videos.mkdir()
    chosen = clips[:: max(1, len(clips) // case.clips)][: case.clips]
    for copy in range(case.copies):
        for clip in chosen:
            (videos / f"{clip.stem}-{copy}{clip.suffix}").symlink_to(clip)
    return videos


def draw_clips(folder: Path, count: int = 20, frames: int = 120) -> list[Path]:
    """Clips of UCF101's size, enlarged from the motion set by repeating pixels."""
    from mofore.data import motion

    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.avi" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            what = motion.MOTIONS[number % len(motion.MOTIONS)]
            clip = motion.draw(what, motion.appearance(number), motion.Start(0, 0, 0.2, 2.0), frames)
            motion.write_video(path, np.repeat(np.repeat(clip, 3, axis=1), 3, axis=2)[:, :240, :320])
    return paths


def rate(work: Callable[[], int], seconds: float) -> float:
    """Frames per second of ``work``, done again and again for so long, after one pass to warm up."""
    work()
    begin, frames = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        frames += work()
    return frames / (time.perf_counter() - begin)


def peer(case: Case, videos: Path) -> dict[str, float]:
    """The plain loop; PyAV decodes in place of OpenCV."""
    import av
    import torch
    from mofore.stages.encoders import timm
    from PIL import Image
    from safetensors.torch import load_file

    _, weights = case.backbone()
    model = timm.create_model(case.name, num_classes=0).eval()
    if weights:
        model.load_state_dict(load_file(weights), strict=False)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    frames, begin = 0, time.perf_counter()
    with torch.inference_mode():
        for path in sorted(videos.iterdir()):
            with av.open(str(path)) as container:
                for frame in container.decode(video=0):
                    picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
                    model(transform(picture)[None]).numpy()
                    frames += 1
            if time.perf_counter() - begin > PEER_S:
                break
    return {"peer": frames / (time.perf_counter() - begin)}


def parts(case: Case, videos: Path) -> dict[str, float]:
    """Decode alone, with colour conversion, and resize and crop alone; one thread each."""
    import torch
    from mofore.data.catalog import scan
    from mofore.data.decode import decode, rgb
    from mofore.data.settings import ExtractSettings
    from mofore.stages.encoders import load_encoder

    torch.set_num_threads(1)
    catalog = scan(videos)
    paths = [catalog.path(video) for video in catalog.videos[:8]]
    preprocess = load_encoder(ExtractSettings(backbone=f"random:{case.name}"), None, torch.device("cpu")).preprocess
    pictures = torch.from_numpy(np.stack([rgb(frame) for frame, _ in decode(paths[0])][:32]))
    return {
        "decode": rate(lambda: sum(1 for path in paths for _ in decode(path)), 3.0),
        "decode and colour": rate(lambda: sum(len(rgb(f)) > 0 for path in paths for f, _ in decode(path)), 3.0),
        "resize and crop": rate(lambda: len(preprocess(pictures)), 3.0),
    }


def limit(case: Case, pinned: dict[str, Any], batch_size: int) -> dict[str, float]:
    """The backbone's forward pass on normalised pictures, nothing else."""
    import torch
    from mofore.data.settings import ExtractSettings
    from mofore.stages.allocator import keep_freed_memory
    from mofore.stages.arithmetic import Arithmetic
    from mofore.stages.encoders import load_encoder

    keep_freed_memory()
    backbone, weights = case.backbone()
    encoder = load_encoder(ExtractSettings(backbone=backbone), weights, torch.device("cpu"))
    frames = torch.randint(0, 255, (batch_size, 3, *encoder.preprocess.size), dtype=torch.uint8)
    network = encoder.at(Arithmetic(pinned["precision"], pinned["folded"]), frames).network
    bare = getattr(network.model, network.method)
    if pinned["compiled"]:
        bare = torch.compile(bare, dynamic=False, options={"freezing": True})
    pictures = encoder.preprocess.normalise(frames).to(network.dtype).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        return {"limit": rate(lambda: len(bare(pictures)), LIMIT_S)}


def extract(case: Case, videos: Path, work: Path) -> dict[str, Any]:
    """The command; its rate over its whole time, what it pinned, and its peak memory."""
    backbone, weights = case.backbone()
    options = ["--backbone", backbone, *(["--weights", str(weights)] if weights else [])]
    command = [sys.executable, "-m", "mofore"]
    subprocess.run([*command, "init", str(videos), "-w", str(work), *options], check=True, capture_output=True)
    begin = time.perf_counter()
    process = subprocess.Popen(
        [*command, "extract", "-w", str(work), "--set", f"extract.compile={case.compile}"],
        stderr=subprocess.PIPE,
        text=True,
    )
    watch = PeakMemory(process.pid)
    _, told = process.communicate()
    seconds = time.perf_counter() - begin
    (pinned_path,) = work.glob("features/*/encoder.json")
    frames = int(told.rsplit(" frames,", 1)[0].rsplit(" ", 1)[1].replace(",", ""))
    return {
        "extract": frames / seconds,
        "frames": frames,
        "seconds": seconds,
        "peak_bytes": watch.stop(),
        "pinned": json.loads(pinned_path.read_text()),
        "told": told.strip().splitlines()[-1],
    }


class PeakMemory:
    """Largest memory of a process and its descendants: proportional shares, so that shared pages count once."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak, self._stopped = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> int:
        """The peak in bytes."""
        self._stopped.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._stopped.wait(WATCH_S):
            self._peak = max(self._peak, sum(map(_proportional_bytes, _family(self._pid))))


def _family(pid: int) -> list[int]:
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family, found = {pid}, True
    while found:
        found = {child for child, parent in parents.items() if parent in family} - family
        family |= found
    return sorted(family)


def _proportional_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _in_own_process(*arguments: str) -> dict[str, float]:
    line = [sys.executable, "-m", "benchmarks.extraction", *arguments]
    done = subprocess.run(
        line, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"}
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def show(case: Case, folder: Path) -> None:
    """Measure one case and print it."""
    videos, place = clips_of(case, folder), [case.name, "--videos", ""]
    place[2] = str(videos)
    found: dict[str, Any] = _in_own_process("peer", *place)
    found |= extract(case, videos, folder / f"work-{case.name}")
    pinned = json.dumps({key: found["pinned"][key] for key in ("precision", "folded", "compiled")})
    found |= _in_own_process("limit", *place, "--pinned", pinned)
    found |= _in_own_process("parts", *place)
    measured = found["pinned"]["measured"]
    print(
        f"| {case.name} | {found['frames']:,} | {found['peer']:,.0f} | {found['extract']:,.0f} | {found['limit']:,.0f} "
        f"| {found['extract'] / found['peer']:.1f} | {found['extract'] / found['limit']:.2f} | {found['decode']:,.0f} "
        f"| {found['decode and colour']:,.0f} | {found['resize and crop']:,.0f} | {found['peak_bytes'] / 2**30:.2f} "
        f"| {pinned}, cosine {measured['cosine_min']:.4f} | {found['told']} |",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    real = (SHARED / "data" / "ucf101-mini").is_dir()
    what = "UCF101 clips (../shared)" if real else "drawn clips"
    print(f"\n## Extraction, {what}, frames/s\n")
    print(
        "| backbone | frames | peer | extract | limit | x peer | of limit | decode | + colour | resize | peak GiB "
        "| how | parts |"
    )
    print("|" + "---|" * 13)
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            show(case, Path(folder))


def measure_part() -> None:
    """One part, as JSON: how :func:`show` calls this module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=("peer", "limit", "parts"))
    parser.add_argument("case")
    parser.add_argument("--videos", type=Path)
    parser.add_argument("--pinned", type=json.loads)
    given = parser.parse_args()
    case = next(case for case in CASES if case.name == given.case)
    if given.part == "limit":
        print(json.dumps(limit(case, given.pinned, 32)))
    else:
        print(json.dumps({"peer": peer, "parts": parts}[given.part](case, given.videos)))


if __name__ == "__main__":
    measure_part() if len(sys.argv) > 1 else main()
