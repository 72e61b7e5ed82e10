"""Whether HDF5 can be let near a file: tried in a process of its own.

Over some damaged files HDF5 does not complain but loops for ever, or takes its process down (a string heap that
was overwritten with zeros is enough). Neither can be caught from within. Nor can a table of names all of which are one
long string: the process that tries may take so much memory and no more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LIMIT_S = 60.0  # for reading a few tables; a sound file takes a fraction of a second, from a slow disk too
MEMORY_BYTES, MEMORY_RATIO = 1 << 30, 8  # of the process, and for each byte of the file
# What lies in other files is not looked at here: whoever opens the shard refuses it.
_SCRIPT = """
import os, resource, sys, h5py
limit = int(sys.argv[2]) + int(sys.argv[3]) * os.path.getsize(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
with h5py.File(sys.argv[1], "r") as file:
    dict(file.attrs)
    for name in sys.argv[4:]:
        if isinstance(file.get(name, getlink=True), h5py.HardLink):
            table = file[name]
            if not table.is_virtual and not table.external:
                table[:]
"""


def probe(path: Path, tables: tuple[str, ...], limit_s: float = LIMIT_S) -> str:
    """What is wrong with the attributes or with some small tables of an HDF5 file; "" if they can be read."""
    command = [sys.executable, "-c", _SCRIPT, str(path), str(MEMORY_BYTES), str(MEMORY_RATIO), *tables]
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # threads reserve memory
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit_s, check=False, env=alone)
    except subprocess.TimeoutExpired:
        return f"HDF5 does not come to an end with it within {limit_s:g} s"
    if done.returncode < 0:
        return f"HDF5 crashes over it (signal {-done.returncode})"
    last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    if "MemoryError" in last:
        return f"its tables take more memory than {MEMORY_RATIO} times the file and {MEMORY_BYTES:,} bytes"
    return last if done.returncode else ""
