"""What a search costs, cold (a process of its own) and warm (a session that stays open).

python -m benchmarks.searching WORK

WORK is a finished work folder with its videos and index.levels = "video, clip".
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from mofore.cache.ledger import Ledger
from mofore.pipeline.commands.search import Session
from mofore.pipeline.config import load_config
from mofore.pipeline.snapshot import Snapshot, observe
from mofore.pipeline.workspace import Workspace
from mofore.stages.search.queries import Asked

COLD, WARM = 7, 15
PLAIN = Asked(10, None, "video", None, None, (), None, False, None, 8, "both", "{}")
WAYS: dict[str, tuple[Asked, bool]] = {  # how it is asked, and whether by the file in place of the id
    "by id": (PLAIN, False),
    "by id, of one class": (PLAIN, False),
    "by id, re-ranked (dtw)": (replace(PLAIN, rerank="dtw"), False),
    "by id, a second of it": (replace(PLAIN, start=1.0, end=2.0), False),
    "by id, moments": (replace(PLAIN, level="clip"), False),
    "by file": (PLAIN, True),
    "by file, a second of it": (replace(PLAIN, start=1.0, end=2.0), True),
}


def cold(commands: dict[str, Sequence[str]]) -> dict[str, float]:
    """Median wall time of each command, the commands taking turns."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(COLD):
        for name, command in commands.items():
            begin = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            times[name].append(time.perf_counter() - begin)
    return {name: median(found) for name, found in times.items()}


def warm(snapshot: Snapshot, asked: Asked, queries: Sequence[str]) -> tuple[float, float]:
    """Seconds of the first answer of a session, and the median of those after it, of other videos in turn."""
    begin = time.perf_counter()
    session = Session(snapshot, asked)
    session.answer(queries[:1])
    first, times = time.perf_counter() - begin, []
    for number in range(1, WARM + 1):
        begin = time.perf_counter()
        session.answer([queries[number % len(queries)]])
        times.append(time.perf_counter() - begin)
    return first, median(times)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    workspace = Workspace.open(work)
    snapshot = observe(workspace, load_config(workspace.config), Ledger.open(workspace.ledger))
    video = snapshot.catalog.videos[0]
    path, options = str(snapshot.catalog.path(video)), ("-w", str(work))
    search = ("-m", "mofore", "search")
    found = cold(
        {
            "python -c pass": ("-c", "pass"),
            "python -c 'import torch'": ("-c", "import torch"),
            "mofore --version": ("-m", "mofore", "--version"),
            "mofore search ID": (*search, video.id, *options),
            "mofore search ID --rerank dtw": (*search, video.id, "--rerank", "dtw", *options),
            "mofore search ID --from 1 --to 2": (*search, video.id, "--from", "1", "--to", "2", *options),
            "mofore search FILE": (*search, path, *options),
        }
    )
    print(f"\n## Search, {len(snapshot.catalog.videos):,} videos\n\n| command | s | of python's start |\n|---|---|---|")
    for name, seconds in found.items():
        print(f"| `{name}` | {seconds:.2f} | {seconds / found['python -c pass']:.0f} |")
    print("\n| query of an open session | first, ms | then, ms |\n|---|---|---|")
    for name, (asked, by_file) in WAYS.items():
        asked = replace(asked, classes=(str(video.label),)) if "class" in name else asked
        some = snapshot.catalog.videos[:5]
        queries = [str(snapshot.catalog.path(one)) if by_file else one.id for one in some]
        first, after = warm(snapshot, asked, queries)
        print(f"| {name} | {1000 * first:.0f} | {1000 * after:.1f} |", flush=True)


if __name__ == "__main__":
    main()
