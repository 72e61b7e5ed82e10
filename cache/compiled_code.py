"""C of this package, compiled for this machine when it is first needed, and kept.

Compiled code is an offer: where it cannot be had, what asks for it goes on without. The same source, compiler and
processor always give the same library, or none: a slower one in its place would have other last digits.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from .atomic import published, write_bytes
from .fingerprint import file_sha256

COMPILERS = ("cc", "gcc", "clang")
USUAL = ("-O3", "-std=gnu11", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math")
COMPILE_S = 120.0


@cache
def compiled(source: Path) -> ctypes.CDLL | None:
    """The library of a C file; None where it cannot be had."""
    for compiler in compilers():
        for extras in _extras(compiler):
            try:
                return _library(source, (*compiler, *USUAL, *extras))
            except subprocess.CalledProcessError:
                continue  # the compiler does not take it; another may
            except (OSError, RuntimeError, subprocess.SubprocessError):
                return None
    return None


def compilers() -> list[tuple[str, ...]]:
    """What ``CC`` names, with its options, or those of the usual ones that are there."""
    wished = shlex.split(os.environ.get("CC", ""))
    found = []
    for name, *options in [wished] if wished else [[name] for name in COMPILERS]:
        path = shutil.which(name)
        if path is not None:
            found.append((path, *options))
    return found


def _extras(compiler: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Options for this machine, the best first.

    OpenMP only from gcc on Linux, whose runtime is the one that torch brings; a second one beside it may end the
    process.
    """
    native = "-march=native" if platform.machine() in ("x86_64", "AMD64", "i686") else "-mcpu=native"
    shares_runtime = sys.platform == "linux" and "clang" not in Path(compiler[0]).resolve().name
    return [(native, "-fopenmp"), (native,)] if shares_runtime else [(native,)]


def _library(source: Path, command: tuple[str, ...]) -> ctypes.CDLL:
    name = f"{source.stem}-{_key(source, command)}.so"
    try:
        return _loaded(source, command, _users_folder() / name)
    except (OSError, RuntimeError):  # no home, a full or read-only one, or one that nothing may be run from
        return _loaded(source, command, _passing_folder() / name)


def _loaded(source: Path, command: tuple[str, ...], path: Path) -> ctypes.CDLL:
    """What is kept, if it is whole: loading a damaged library would end the process."""
    kept_sha256 = path.with_suffix(".sha256")
    if not (path.exists() and kept_sha256.exists() and kept_sha256.read_text() == file_sha256(path)):
        with published(path) as temporary:
            line = [*command, "-o", str(temporary), str(source), "-lm"]
            subprocess.run(line, check=True, capture_output=True, timeout=COMPILE_S)
        write_bytes(kept_sha256, file_sha256(path).encode())
    return ctypes.CDLL(str(path))


def _users_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mofore"


@cache
def _passing_folder() -> Path:
    """Lasts as long as the process."""
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
