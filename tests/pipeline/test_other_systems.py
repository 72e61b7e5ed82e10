"""The road on the CPU without what only Unix, or only Linux, has: hidden here in every process of the run.

macOS and Windows themselves are not tried by this; it finds what is asked for unguarded.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import TINY

HIDE = """
import asyncio, os, subprocess, sys, types  # the library itself: it goes by whether there is an msvcrt, or a sysconf
for name in ("fcntl", "resource", "grp", "pwd", "termios"):
    sys.modules[name] = None
for name in (
    "pread", "preadv", "pwrite", "pwritev", "memfd_create", "posix_fadvise", "posix_fallocate", "sysconf",
    "sched_getaffinity", "sched_setaffinity", "getuid", "killpg", "setsid",
):
    if hasattr(os, name):
        delattr(os, name)

msvcrt = types.ModuleType("msvcrt")  # of Windows: locks bytes from where the file stands
msvcrt.LK_NBLCK = 2
def locking(handle, mode, count):
    assert (mode, count, os.lseek(handle, 0, os.SEEK_CUR)) == (2, 1 << 16, 1 << 30)
msvcrt.locking = locking
sys.modules["msvcrt"] = msvcrt
"""
EVERY_MODULE = """
import importlib, pkgutil, mofore
names = [each.name for each in pkgutil.walk_packages(mofore.__path__, "mofore.")]
left = ("mofore.tests", "mofore.benchmarks", "mofore.findings", "mofore.__main__", "mofore.pipeline.mteb_model")
names = [name for name in names if not name.startswith(left)]
for name in names:
    importlib.import_module(name)
assert len(names) > 200, len(names)
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which they are hidden."""
    (tmp_path / "hide").mkdir()
    (tmp_path / "hide/sitecustomize.py").write_text(HIDE)
    return {**os.environ, "PYTHONPATH": str(tmp_path / "hide"), "OMP_NUM_THREADS": "1"}


def ran(script: str, *arguments: str | Path, env: dict[str, str]) -> str:
    guard = "import sys; assert sys.modules['fcntl'] is None, 'nothing is hidden'\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", guard + script, *map(str, arguments)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_every_module_is_imported(elsewhere: dict[str, str]) -> None:
    pytest.importorskip("pyarrow")
    ran(EVERY_MODULE, env=elsewhere)


def test_the_road_is_walked(elsewhere: dict[str, str], videos: Path, tmp_path: Path) -> None:
    call = "from mofore.pipeline.cli import main; main()"
    work = tmp_path / "work"
    sets = [*TINY, "--set", "fit.steps=5"]
    ran(
        call,
        "init",
        videos,
        "--backbone",
        "random:test_efficientnet",
        "-w",
        work,
        *sets,
        "--no-estimate",
        env=elsewhere,
    )
    assert "20 videos" in ran(call, "run", "-w", work, env=elsewhere)
    assert "nearest to" in ran(call, "search", "v_Orbit_g01_c01", "-w", work, env=elsewhere)
    assert "up to date" in ran(call, "run", "-w", work, env=elsewhere)
