"""OpenVINO against torch on a processor: the bare forward pass, and `mofore extract` from start to end.

The forward passes take turns in one process, torch compiled and frozen as `extract.compile` does it, on real frames;
by the fastest turn, which other work on the machine touches least. The commands take turns too, each for a work folder
of its own that is made anew for every turn; their ratio is that of the medians. OpenVINO must be installed.

    python -m benchmarks.engines                       # all of it
    python -m benchmarks.engines --forward --turns 6 mobilenetv2_100
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from .extraction import QUIET, SHARED, Case, clips_of

CASES = (
    Case("mobilenetv2_100", 300, 1, "auto"),
    Case("mobilenetv3_small_100", 300, 1, "auto"),
    Case("vit_tiny_patch16_224", 30, 1, "auto"),
)
ENGINES = ("torch", "auto")
BATCH, PASSES = 32, 2  # of a turn


def forward(case: Case, turns: int) -> dict[str, float]:
    """Frames/s of the fastest of ``turns`` turns: torch eager and compiled, OpenVINO; fp32, batch norms folded."""
    import torch

    from mofore.data.settings import ExtractSettings
    from mofore.stages.backbone.encoder import load_encoder
    from mofore.stages.backbone.network import ComputeMode
    from mofore.stages.machine.allocator import keep_freed_memory

    keep_freed_memory()
    backbone, weights = case.backbone()
    encoder = load_encoder(ExtractSettings(backbone=backbone), weights, torch.device("cpu"))
    shape = (BATCH, *encoder.preprocess.size, 3)
    frames = torch.randint(0, 255, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    frames_BCHW = frames.permute(0, 3, 1, 2)
    folded = any(isinstance(module, torch.nn.BatchNorm2d) for module in encoder.model.modules())
    modes = {
        "eager": ComputeMode(folded=folded),
        "compiled": ComputeMode(folded=folded, compiled=True),
        "openvino": ComputeMode(folded=folded, engine="openvino"),
    }
    networks = {name: encoder.at(mode, frames_BCHW) for name, mode in modes.items()}
    best = dict.fromkeys(networks, 0.0)
    for turn in range(turns + 1):
        for name, network in networks.items():
            rate = _rate(lambda network=network: len(network.encode(frames_BCHW)))  # type: ignore[misc]
            best[name] = max(best[name], rate if turn else 0.0)  # the first one compiles
    return best


def _rate(work: Callable[[], int]) -> float:
    begin = time.perf_counter()
    frames = sum(work() for _ in range(PASSES))
    return frames / (time.perf_counter() - begin)


def extract(case: Case, folder: Path, engine: str) -> float:
    """Seconds of `mofore extract`, from start to end, into a work folder that is made for it."""
    videos, command = folder / f"videos-{case.name}", [sys.executable, "-m", "mofore"]
    with tempfile.TemporaryDirectory(dir=folder) as work:
        backbone, weights = case.backbone()
        options = ["--no-estimate", "--backbone", backbone, *(["--weights", str(weights)] if weights else [])]
        init = [*command, "init", str(videos), "-w", work, *options]
        subprocess.run(init, check=True, capture_output=True, env=QUIET)
        arguments = ["extract", "-w", work, "--set", f"extract.engine={engine}"]
        begin = time.perf_counter()
        subprocess.run([*command, *arguments], check=True, capture_output=True, env=QUIET)
        return time.perf_counter() - begin


def end_to_end(case: Case, turns: int) -> dict[str, list[float]]:
    """Seconds of each engine in each turn."""
    seconds: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    with tempfile.TemporaryDirectory() as folder:
        clips_of(case, Path(folder))
        for _ in range(turns):
            for engine in ENGINES:
                seconds[engine].append(extract(case, Path(folder), engine))
    return seconds


def show(case: Case, turns: int, *, whole: bool) -> None:
    """Measure one case and print its row."""
    rates = forward(case, turns)
    gain = rates["openvino"] / max(rates["eager"], rates["compiled"])
    row = [case.name, *(f"{rates[name]:,.0f}" for name in ("eager", "compiled", "openvino")), f"{gain:.2f}"]
    if whole:
        seconds = end_to_end(case, turns)
        medians = {engine: statistics.median(taken) for engine, taken in seconds.items()}
        row += [", ".join(f"{taken:.0f}" for taken in seconds[engine]) for engine in ENGINES]
        row.append(f"{medians['torch'] / medians['auto']:.2f}")
    print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="BACKBONE", help="some of the cases")
    parser.add_argument("--forward", action="store_true", help="the forward passes alone")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    what = "UCF101 clips (../shared)" if (SHARED / "data").is_dir() else "drawn clips"
    print(f"\n## Engines on a processor, {what}, frames/s of the forward pass, s of `mofore extract`\n")
    columns = ["backbone", "eager", "compiled", "openvino", "x torch"]
    columns += [] if given.forward else ["extract, torch", "extract, auto", "x torch"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for case in CASES:
        if not given.names or case.name in given.names:
            show(case, given.turns, whole=not given.forward)


if __name__ == "__main__":
    main()
