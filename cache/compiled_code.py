"""C of this package, compiled for this machine when it is first needed, and kept.

Compiled code is an offer: where there is no compiler, what asks for it goes on without.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

COMPILERS = ("cc", "gcc", "clang")
USUAL = ("-O3", "-std=gnu11", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math")
# The first that the compiler takes: some know no name for the machine they run on, some no OpenMP.
EXTRAS = (("-march=native", "-fopenmp"), ("-mcpu=native", "-fopenmp"), ("-march=native",), ("-mcpu=native",), ())
COMPILE_S = 60.0


@cache
def compiled(source: Path) -> ctypes.CDLL | None:
    """The library of a C file; None where it cannot be had."""
    compiler = _compiler()
    if compiler is None:
        return None
    for extras in EXTRAS:
        library = _library(source, (compiler, *USUAL, *extras))
        if library is not None:
            return library
    return None


def _compiler() -> str | None:
    """What ``CC`` names, or the usual ones."""
    wished = os.environ.get("CC")
    found = (shutil.which(name) for name in ((wished,) if wished else COMPILERS))
    return next((path for path in found if path), None)


def _library(source: Path, command: tuple[str, ...]) -> ctypes.CDLL | None:
    try:
        path = _folder() / f"{source.stem}-{_key(source, command)}.so"
        if not path.exists():
            _compile(source, command, path)
        return ctypes.CDLL(str(path))
    except (OSError, subprocess.SubprocessError):
        return None


def _compile(source: Path, command: tuple[str, ...], path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        line = [*command, "-o", str(made), str(source), "-lm"]
        subprocess.run(line, check=True, capture_output=True, timeout=COMPILE_S)
        made.replace(path)


def _folder() -> Path:
    """The user's own cache; where it cannot be written, a folder that lasts as long as the process."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "mofore"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return _passing_folder()


@cache
def _passing_folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="mofore-")
    _KEPT.append(folder)
    return Path(folder.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


def _key(source: Path, command: tuple[str, ...]) -> str:
    """Of the source, the compiler, and the processor: a home may be shared by different machines."""
    parts = (source.read_text(), *command, str(Path(command[0]).stat().st_mtime_ns), _processor(), sys.platform)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    names = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(names)}))
