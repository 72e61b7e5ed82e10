"""`mofore extract` against a plain loop and against the limit, the backbone's own forward pass.

Each part is a process of its own, so that none profits from what another has set or loaded. The first three take
turns: while one works the others are stopped, so that a machine that is now faster and now slower is so for all:

- peer: one video at a time, a PIL transform per frame, batch 1, fp32, as feature extractors in use today do it
- limit: the backbone alone on normalised pictures in memory, in the arithmetic that `mofore extract` chose
- decode, colour, resize: the parts of reading, one thread each
- extract: the command, from its start to its end, loading, choosing and compiling included
- start-up: what it takes longer than at its later rate: loading, choosing, compiling, starting further processes

On the clips and weights of ../shared where they are, else on drawn clips with random weights.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
EXTRACT_S, PEER_S, LIMIT_S = 16.0, 3.0, 3.0  # of a turn
# A cache of its own: a stopped process may hold the lock of the usual one.
QUIET = {
    **os.environ,
    "PYTHONWARNINGS": "ignore",
    "TORCHINDUCTOR_CACHE_DIR": f"{tempfile.gettempdir()}/mofore-bench-{os.getuid()}",
}
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
    Case("mobilenetv2_100", 300, 4, "on"),
    Case("mobilenetv3_small_100", 300, 12, "on"),
    Case("vit_small_patch16_224", 150, 1, "on"),
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


def peer(case: Case, videos: Path) -> Iterator[int]:
    """The plain loop; PyAV decodes in place of OpenCV. Yields the frames done since the last time."""
    import av
    import torch
    from PIL import Image
    from safetensors.torch import load_file

    from mofore.stages.backbone.encoder import timm

    _, weights = case.backbone()
    model = timm.create_model(case.name, num_classes=0).eval()
    if weights:
        model.load_state_dict(load_file(weights), strict=False)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    with torch.inference_mode():
        for path in cycle(sorted(videos.iterdir())):
            with av.open(str(path)) as container:
                for frame in container.decode(video=0):
                    picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
                    model(transform(picture)[None]).numpy()
                    yield 1


def parts(case: Case, videos: Path) -> dict[str, float]:
    """Decode alone, with colour conversion, and resize and crop alone; one thread each."""
    import torch

    from mofore.data.catalog import scan
    from mofore.data.decode import decode
    from mofore.data.pictures import rgb
    from mofore.data.settings import ExtractSettings
    from mofore.stages.backbone.encoder import load_encoder

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


def limit(case: Case, pinned: dict[str, Any], batch_size: int) -> Iterator[int]:
    """The backbone's forward pass on normalised pictures, nothing else."""
    import torch

    from mofore.data.settings import ExtractSettings
    from mofore.stages.backbone.encoder import load_encoder
    from mofore.stages.backbone.network import ComputeMode
    from mofore.stages.machine.allocator import keep_freed_memory

    keep_freed_memory()
    backbone, weights = case.backbone()
    encoder = load_encoder(ExtractSettings(backbone=backbone), weights, torch.device("cpu"))
    frames = torch.randint(0, 255, (batch_size, 3, *encoder.preprocess.size), dtype=torch.uint8)
    network = encoder.at(ComputeMode(pinned["precision"], pinned["folded"]), frames).network
    bare = getattr(network.model, network.method)
    if pinned["compiled"]:
        bare = torch.compile(bare, dynamic=False, options={"freezing": True})
    pictures = encoder.preprocess.normalise(frames).to(network.dtype).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        while True:
            bare(pictures)
            yield batch_size


def take_turns(work: Iterator[int], warm_up_s: float = 1.0) -> None:
    """Work for so many seconds whenever a line says so, and answer with frames and seconds."""
    begin = time.perf_counter()
    while time.perf_counter() - begin < warm_up_s:
        next(work)
    print("ready", flush=True)
    for line in sys.stdin:
        begin, frames = time.perf_counter(), 0
        while (seconds := time.perf_counter() - begin) < float(line):
            frames += next(work)
        print(json.dumps([frames, seconds]), flush=True)


class Turns:
    """A part that works when it is told to, in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(_line(*arguments), env=QUIET, **pipes)
        self._frames, self._seconds = 0, 0.0
        self._read()

    def work(self, seconds: float) -> None:
        """Let it work."""
        assert self._process.stdin is not None
        print(seconds, file=self._process.stdin, flush=True)
        frames, seconds = json.loads(self._read())
        self._frames, self._seconds = self._frames + frames, self._seconds + seconds

    def end(self) -> float:
        """Frames per second over all of its turns."""
        self._process.kill()
        self._process.communicate()
        return self._frames / self._seconds

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def compare(case: Case, videos: Path, work: Path) -> dict[str, Any]:
    """The command in turn with the plain loop and with the limit."""
    backbone, weights = case.backbone()
    options = ["--no-estimate", "--backbone", backbone, *(["--weights", str(weights)] if weights else [])]
    command = [sys.executable, "-m", "mofore"]
    subprocess.run([*command, "init", str(videos), "-w", str(work), *options], check=True, capture_output=True)
    arguments = ["extract", "-w", str(work), "--set", f"extract.compile={case.compile}"]
    process = subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True, start_new_session=True)
    log, watch, others = Log(process), PeakMemory(process.pid), {}
    while not list(work.glob("features/*/encoder.json")) and process.poll() is None:
        time.sleep(0.2)
    pinned = json.loads(next(work.glob("features/*/encoder.json")).read_text())
    while not _ends_within(process, EXTRACT_S):
        stop = time.perf_counter()
        os.killpg(process.pid, signal.SIGSTOP)
        if not others:
            how = json.dumps({key: pinned[key] for key in ("precision", "folded", "compiled")})
            others["peer"] = Turns("peer", case.name, "--videos", str(videos))
            others["limit"] = Turns("limit", case.name, "--videos", str(videos), "--pinned", how)
        others["limit"].work(LIMIT_S)
        others["peer"].work(PEER_S)
        log.stopped_s += time.perf_counter() - stop
        os.killpg(process.pid, signal.SIGCONT)
    return {
        **log.rates(),
        "peak_bytes": watch.stop(),
        "pinned": pinned,
        **{name: turns.end() for name, turns in others.items()},
    }


class Log:
    """What the command tells, and when, by a clock that stands still while it is stopped."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.stopped_s = 0.0
        self._begin = time.perf_counter()
        self._lines: list[tuple[float, str]] = []
        self._thread = threading.Thread(target=self._read, args=(process,))
        self._thread.start()

    def rates(self) -> dict[str, Any]:
        """Frames per second from start to end, and after the start-up."""
        self._thread.join()
        seconds, last = self._lines[-1]
        frames, ready = _frames(last) or 0, 0
        for number, (_, line) in enumerate(self._lines):
            if "computed in" in line or "shared by" in line:
                ready = number
        # The first progress line comes with the first frames, when other processes may still be loading.
        working = [(at_s, done) for at_s, line in self._lines[ready:] if (done := _frames(line))]
        start_s, before = working[1]
        steady = (frames - before) / (seconds - start_s)
        start_up_s = start_s - before / steady
        return {
            "extract": frames / seconds,
            "steady": steady,
            "start_up_s": start_up_s,
            "frames": frames,
            "seconds": seconds,
            "told": last.strip(),
        }

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self._lines.append((time.perf_counter() - self._begin - self.stopped_s, line))


def _frames(line: str) -> int | None:
    found = re.search(r"([\d,]+) frames,", line)
    return int(found[1].replace(",", "")) if found else None


def _ends_within(process: subprocess.Popen[str], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


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


def _line(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.extraction", *arguments]


def show(case: Case, folder: Path) -> None:
    """Measure one case and print it."""
    videos = clips_of(case, folder)
    found = compare(case, videos, folder / f"work-{case.name}")
    done = subprocess.run(
        _line("parts", case.name, "--videos", str(videos)), check=True, capture_output=True, env=QUIET
    )
    found |= json.loads(done.stdout.splitlines()[-1])
    pinned = found["pinned"]
    how = ", ".join([pinned["precision"], *(name for name in ("folded", "compiled") if pinned[name])])
    print(
        f"| {case.name} | {found['frames']:,} | {found['peer']:,.0f} | {found['extract']:,.0f} | {found['limit']:,.0f} "
        f"| {found['extract'] / found['peer']:.1f} | {found['extract'] / found['limit']:.2f} "
        f"| {found['start_up_s']:.0f} of {found['seconds']:.0f} | {found['steady'] / found['limit']:.2f} "
        f"| {found['decode']:,.0f} | {found['decode and colour']:,.0f} | {found['resize and crop']:,.0f} "
        f"| {found['peak_bytes'] / 2**30:.2f} | {how}; {pinned['measured']['cosine_min']:.4f} |",
        flush=True,
    )
    print(f"    {found['told']}", file=sys.stderr, flush=True)


def main() -> None:
    """Print the table."""
    real = (SHARED / "data" / "ucf101-mini").is_dir()
    what = "UCF101 clips (../shared)" if real else "drawn clips"
    print(f"\n## Extraction, {what}, frames/s\n")
    print(
        "| backbone | frames | peer | extract | limit | x peer | of limit | start-up s | of limit after it | decode "
        "| + colour | resize | peak GiB | arithmetic; lowest cosine |"
    )
    print("|" + "---|" * 14)
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
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
    if given.part == "parts":
        print(json.dumps(parts(case, given.videos)))
    else:
        take_turns(peer(case, given.videos) if given.part == "peer" else limit(case, given.pinned, 32))


if __name__ == "__main__":
    measure_part() if len(sys.argv) > 1 else main()
