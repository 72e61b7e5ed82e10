"""Child processes that end with their parent and cannot take the machine's memory."""

from __future__ import annotations

import ctypes
import signal
import sys
from pathlib import Path

MEMORY_BYTES = 6 << 30  # that a worker may take beyond what it starts with: a damaged header can ask for anything
PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Be killed when the parent is, even in the middle of a decoder that hangs; and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def limit_memory() -> None:
    """Refuse what a damaged header asks for, rather than let it take the machine's memory."""
    if sys.platform != "linux":
        return
    try:
        import resource
    except ImportError:
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
