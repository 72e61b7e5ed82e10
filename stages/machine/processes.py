"""Child processes that are there at once, end with their parent and cannot take the machine's memory."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing import connection, forkserver, get_all_start_methods, get_context, parent_process, resource_tracker
from multiprocessing.context import BaseContext
from pathlib import Path
from threading import Thread

MEMORY_BYTES = 6 << 30  # that a worker may take beyond what it starts with: a damaged header can ask for anything
PR_SET_PDEATHSIG = 1
READING = ("mofore.stages.decode.worker", "mofore.stages.decode.source")  # what those that read videos need
EXTRACTING = (*READING, "mofore.stages.extract.many_devices")  # and those that share an extraction


def begin_server(preload: Sequence[str] = READING) -> None:
    """Start what processes are forked from: it loads its libraries while the caller goes on with something else.

    A process has one such server; whoever comes first decides what it loads. Processes forked from it use it too.
    Ctrl-C, which a terminal sends to every process, is left to the caller from its first moment on.
    """
    if forking_context(preload).get_start_method() != "forkserver":
        return
    resource_tracker.ensure_running()  # which would let the signal through again, if the server had to begin it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def forking_context(preload: Sequence[str] = READING) -> BaseContext:
    """Forks from a server that has loaded ``preload``: a new process is there in milliseconds."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([*preload])
    return context


def stay_on(cores: Sequence[int]) -> None:
    """Use these processor cores alone, where the system has such a thing: what is forked from a server may use all."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def end_with_parent() -> None:
    """Be killed when the parent is, even in the middle of a decoder that hangs; and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with_starter() -> None:
    """Be killed when the process is that asked for this one, where another one, a server, is the parent."""
    starter = parent_process()
    if starter is not None:
        Thread(target=_end_after, args=(starter.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


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
