"""Where the time of `mofore extract` goes: decode alone, preprocess, the bare forward pass, and the whole.

On drawn clips of UCF101's size (320x240, MPEG-4), with seeded random weights, so that it runs anywhere.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mofore.cache.ledger import Ledger
from mofore.cache.store import FeatureStore
from mofore.data import motion
from mofore.data.catalog import scan
from mofore.data.decode import decode, rgb
from mofore.data.progress import Silent
from mofore.data.settings import ExtractSettings
from mofore.stages import extract
from mofore.stages.encoders import load_encoder

BACKBONES = ("mobilenetv2_100", "mobilenetv3_small_100")
CLIPS, FRAMES = 8, 120


def draw_clips(folder: Path) -> None:
    """Clips of UCF101's size, enlarged from the motion set by repeating pixels."""
    for number in range(CLIPS):
        clip = motion.draw(motion.MOTIONS[number], motion.appearance(number), motion.Start(0, 0, 0.2, 2.0), FRAMES)
        large = np.repeat(np.repeat(clip, 3, axis=1), 3, axis=2)[:, :240, :320]
        motion.write_video(folder / f"{number}.avi", large)


def rate(work: Callable[[], int]) -> float:
    """Frames per second of ``work``, which returns how many it did."""
    begin = time.perf_counter()
    frames = work()
    return frames / (time.perf_counter() - begin)


def measure(name: str, videos: Path, work: Path) -> dict[str, float]:
    """Rates (frames/s) of the parts and of the whole, fp32, batch 32."""
    settings = ExtractSettings(backbone=f"random:{name}", precision="fp32")
    encoder = load_encoder(settings, None, torch.device("cpu"))
    catalog = scan(videos)
    pictures = [rgb(frame) for frame, _ in decode(catalog.path(catalog.videos[0]))][:32]
    batch = torch.from_numpy(np.stack(pictures))
    ready = encoder.preprocess(batch).contiguous(memory_format=torch.channels_last)
    encoder.encode(ready)
    store, ledger = FeatureStore(work / "enc"), Ledger.open(work / "ledger.jsonl")
    inputs = extract.ExtractInputs(videos, catalog.videos, None)
    return {
        "decode": rate(lambda: sum(1 for v in catalog.videos for _ in decode(catalog.path(v)))),
        "decode + colour": rate(
            lambda: sum(rgb(f).shape[0] > 0 for v in catalog.videos for f, _ in decode(catalog.path(v)))
        ),
        "resize + crop": rate(lambda: sum(len(encoder.preprocess(batch)) for _ in range(10))),
        "forward alone (limit)": rate(lambda: sum(len(encoder.encode(ready)) for _ in range(10))),
        "mofore extract": rate(
            lambda: extract.run(settings, inputs, store=store, ledger=ledger, progress=Silent()).frames
        ),
    }


def main() -> None:
    """Print the table."""
    print(f"\n## Extraction, {CLIPS} clips of {FRAMES} frames, 320x240, fp32, frames/s (share of the forward limit)\n")
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder) / "videos"
        videos.mkdir()
        draw_clips(videos)
        for name in BACKBONES:
            work = Path(folder) / name
            work.mkdir()
            rates = measure(name, videos, work)
            limit = rates["forward alone (limit)"]
            print(
                f"- {name}: " + ", ".join(f"{part} {value:,.0f} ({value / limit:.2f})" for part, value in rates.items())
            )


if __name__ == "__main__":
    main()
