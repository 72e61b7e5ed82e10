"""Extract from thousands of damaged copies of real clips: nothing may crash, hang, be left over or go unrecorded.

python -m mofore.tests.trials.fuzz VIDEOS WORK --copies 2000
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av

from .work import Trial

CODECS = (("libx264", ".mp4"), ("libx264", ".mkv"), ("mjpeg", ".mov"), ("libvpx-vp9", ".webm"))
Mutation = Callable[[bytearray, random.Random, bytes], bytearray]


def flip_bits(content: bytearray, draw: random.Random, _other: bytes) -> bytearray:
    """One to a thousand bits."""
    for _ in range(int(10 ** draw.uniform(0, 3))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return content


def truncate(content: bytearray, draw: random.Random, _other: bytes) -> bytearray:
    """From nothing to all but the last byte."""
    return content[: draw.randrange(len(content))]


def splice_header(content: bytearray, draw: random.Random, other: bytes) -> bytearray:
    """The beginning of another file."""
    size = int(2 ** draw.uniform(3, 14))
    return bytearray(other[:size]) + content[size:]


def zero_range(content: bytearray, draw: random.Random, _other: bytes) -> bytearray:
    """Up to a quarter of the file."""
    begin, size = draw.randrange(len(content)), int(2 ** draw.uniform(2, 16))
    content[begin : begin + size] = bytes(len(content[begin : begin + size]))
    return content


def damage_header(content: bytearray, draw: random.Random, _other: bytes) -> bytearray:
    """Random bytes within the first kilobytes, where sizes and codecs are."""
    for _ in range(draw.randrange(1, 30)):
        content[draw.randrange(min(len(content), 4096))] = draw.randrange(256)
    return content


MUTATIONS: tuple[Mutation, ...] = (flip_bits, truncate, splice_header, zero_range, damage_header)


@dataclass
class Report:
    """What the damage led to; the last four must be zero."""

    copies: int
    stored: int
    failed: int
    seconds: float
    reasons: Counter[str] = field(default_factory=Counter)
    unrecorded: int = 0
    without_reason: int = 0
    left_processes: int = 0
    exit_code_wrong: int = 0


def fuzz(videos: Path, work: Path, *, copies: int, seed: int, options: tuple[str, ...]) -> Report:
    """Make ``copies`` damaged files, extract from them, and look at what was recorded of each."""
    folder = work / "damaged"
    folder.mkdir(parents=True)
    _write_damaged(_seeds(videos, work), folder, copies, random.Random(seed))
    trial = Trial(work / "work")
    trial.run(
        "init",
        str(folder),
        "--no-estimate",
        *options,
        "--set",
        "extract.max_failure_rate=1.0",
        "--set",
        "extract.stall_seconds=20.0",
    )
    begin = time.monotonic()
    code, _, err = trial.run("extract")
    seconds = time.monotonic() - begin
    if "Traceback" in err:
        raise SystemExit(err)
    stored, failures = trial.features(), trial.status()["unreadable"]
    failed = {failure["video_id"]: failure["reason"] for failure in failures}
    report = Report(copies, len(stored), len(failed), round(seconds, 1))
    report.reasons = Counter(_kind(reason) for reason in failed.values())
    report.unrecorded = copies - len(stored.keys() | failed.keys())
    report.without_reason = sum(not reason for reason in failed.values())
    report.left_processes = len(trial.processes())
    report.exit_code_wrong = int(code != (3 if failed else 0))
    return report


def _seeds(videos: Path, work: Path) -> list[Path]:
    """Some of the real clips, and the same in other containers and codecs."""
    clips = sorted(videos.rglob("*.avi"))[::12][:25]
    folder = work / "seeds"
    folder.mkdir()
    others = [_transcode(clip, folder, *CODECS[n % len(CODECS)]) for n, clip in enumerate(clips[:12])]
    return clips + others


def _transcode(clip: Path, folder: Path, codec: str, suffix: str, frames: int = 40) -> Path:
    path = folder / f"{clip.stem}-{codec}{suffix}"
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=25)
        stream.width, stream.height = 320, 240
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number, frame in enumerate(source.decode(video=0)):
            if number == frames:
                break
            frame.pts = None
            target.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        target.mux(stream.encode())
    return path


def _write_damaged(seeds: list[Path], folder: Path, copies: int, draw: random.Random) -> None:
    for number in range(copies):
        seed, other = draw.choice(seeds), draw.choice(seeds)
        mutation = MUTATIONS[number % len(MUTATIONS)]
        content = mutation(bytearray(seed.read_bytes()), draw, other.read_bytes())
        (folder / f"{number:05d}-{mutation.__name__}{seed.suffix}").write_bytes(content)


def _kind(reason: str) -> str:
    """A reason without its numbers, for counting."""
    return "".join("#" if character.isdigit() else character for character in reason)


def main() -> None:
    """Run the trial and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--copies", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backbone", default="random:test_vit")
    given = parser.parse_args()
    report = fuzz(
        given.videos, given.work, copies=given.copies, seed=given.seed, options=("--backbone", given.backbone)
    )
    print(report)


if __name__ == "__main__":
    main()
