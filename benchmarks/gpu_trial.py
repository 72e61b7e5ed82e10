"""What a GPU makes of mofore, by one command and in at most eight minutes: ``python -m benchmarks.gpu_trial [FOLDER]``.

Needs no data, no weights and no network: clips are drawn, weights are random. Every step is a process of its own with
a budget in seconds; one that fails, hangs or lacks a package costs its own figures alone. ``trial.json`` in the folder
is written anew after each step, ``trial.md`` (the table for docs/performance.md) too, so that whatever is cut off keeps
what it has. ``--pretend`` runs all of it, small, on a GPU that is pretended: what fails there would have failed on a
real one.

It runs from a checkout that is not installed, where torch, timm, h5py, safetensors, rich, click and numpy are there;
av and open_clip_torch (with ftfy and wcwidth) may be wheels that were carried along::

    pip download --no-deps --only-binary=:all: -d wheels av open_clip_torch ftfy wcwidth
    pip install --no-index --no-deps --target site wheels/*.whl
    PYTHONPATH=site python -m benchmarks.gpu_trial

Only this module's parent part is imported by itself: it needs nothing but Python.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BUDGETS_S = {  # in the order in which they run; 480 s in all
    "versions": 20,
    "clips": 45,
    "forward": 70,
    "decode": 25,
    "extract": 45,
    "compiled": 80,
    "parity": 30,
    "fit": 60,
    "finetune": 45,
    "search": 25,
    "kill": 35,
}
NEEDS = {"clips", "decode", "extract", "compiled", "parity", "finetune", "kill"}  # packages beyond torch and timm
MISSING = ("No module named", "PackageNotFoundError", "faiss is not installed")
PRETENDING_TAKES = 4  # times as long, on a processor that others use too
TOLD_LINES = 6  # of what a failed step said last

Figures = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial, or (as a child) one step of it; the exit code is 0 if every step gave figures or was skipped."""
    given = _parser().parse_args(arguments)
    if given.step:
        from .gpu_steps import run_step

        run_step(given.step, given.folder, pretend=given.pretend)
        return 0
    given.folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Figures] = {}
    for name in given.only or BUDGETS_S:
        print(f"{name} ...", flush=True)
        found[name] = _run(name, given)
        write(given.folder, found)
        print(f"  {_told(found[name])}", flush=True)
    print(f"\n{table(found)}")
    return int(any(of["state"] not in ("done", "skipped") for of in found.values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/gpu-trial"))
    parser.add_argument("--pretend", action="store_true", help="on a pretended GPU, small")
    parser.add_argument("--only", action="append", choices=[*BUDGETS_S], help="this step (may be repeated)")
    parser.add_argument("--step", choices=[*BUDGETS_S], help=argparse.SUPPRESS)
    return parser


def _run(name: str, given: argparse.Namespace) -> Figures:
    """One step in a process of its own, and of its own group: nothing of it is left when its time is over."""
    command = [sys.executable, "-m", "benchmarks.gpu_trial", str(given.folder.resolve()), "--step", name]
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as links, tempfile.TemporaryFile() as said:
        (Path(links) / "mofore").symlink_to(ROOT)  # the root is the package, whatever the folder is called
        path = os.pathsep.join(filter(None, (links, os.environ.get("PYTHONPATH"))))
        child = subprocess.Popen(
            [*command, *(["--pretend"] if given.pretend else [])],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        budget_s = BUDGETS_S[name] * (PRETENDING_TAKES if given.pretend else 1)
        try:
            state = "done" if child.wait(budget_s) == 0 else "failed"
        except subprocess.TimeoutExpired:
            state = "over its budget"
        finally:
            _end(child)
        said.seek(0)
        text = said.read().decode(errors="replace")
    seconds = round(time.monotonic() - begin, 1)
    figures = _figures(given.folder / f"{name}.json")
    if state == "done":
        return {"state": state, "seconds": seconds, **figures}
    lines = [line for line in text.splitlines() if line.strip()][-TOLD_LINES:]
    if name in NEEDS and any(word in line for word in MISSING for line in lines):
        return {"state": "skipped", "seconds": seconds, "why": lines[-1]}
    return {"state": state, "seconds": seconds, **figures, "said": lines}


def _end(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _figures(path: Path) -> Figures:
    found: Figures = json.loads(path.read_text()) if path.exists() else {}
    return found


def write(folder: Path, found: dict[str, Figures]) -> None:
    """What is known so far, as JSON and as a table; never half of it."""
    for name, text in (("trial.json", json.dumps(found, indent=1)), ("trial.md", table(found))):
        path = folder / f"{name}.new"
        path.write_text(text + "\n")
        path.replace(folder / name)


def table(found: dict[str, Figures]) -> str:
    """A Markdown table of all figures."""
    rows = ["| step | figure | value |", "|---|---|---|"]
    for name, of in found.items():
        shown = {key: value for key, value in of.items() if key not in ("state", "seconds", "said")}
        if of["state"] != "done":
            shown = {of["state"]: " / ".join(of.get("said", [])) or of.get("why", "")} | shown
        for key, value in {**shown, "step, s": of["seconds"]}.items():
            rows.append(f"| {name} | {key} | {_shown(value)} |")
    return "\n".join(rows)


def _shown(value: object) -> str:
    if isinstance(value, float) and abs(value) < 1000:
        return f"{value:.4g}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,.0f}"
    return str(value).replace("|", "/")


def _told(figures: Figures) -> str:
    return ", ".join(f"{name} {value}" for name, value in figures.items())


if __name__ == "__main__":
    sys.exit(main())
