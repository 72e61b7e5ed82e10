"""Whether HDF5 can be let near a file: tried in a process of its own.

Over some damaged files HDF5 does not complain but loops for ever, or takes its process down (a string heap that
was overwritten with zeros is enough). Neither can be caught from within.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LIMIT_S = 60.0  # for reading a few tables; a sound file takes a fraction of a second, from a slow disk too
_SCRIPT = """
import sys, h5py
with h5py.File(sys.argv[1], "r") as file:
    dict(file.attrs)
    for name in sys.argv[2:]:
        name in file and file[name][:]
"""


def probe(path: Path, tables: tuple[str, ...], limit_s: float = LIMIT_S) -> str:
    """What is wrong with the attributes or with some small tables of an HDF5 file; "" if they can be read."""
    command = [sys.executable, "-c", _SCRIPT, str(path), *tables]
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return f"HDF5 does not come to an end with it within {limit_s:g} s"
    if done.returncode < 0:
        return f"HDF5 crashes over it (signal {-done.returncode})"
    last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return last if done.returncode else ""
