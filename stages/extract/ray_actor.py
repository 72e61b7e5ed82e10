"""What stands on a node of a Ray cluster: it starts the process that extracts there, and passes on what is said.

The process is that of :mod:`.many_devices`, with its pipe; this hands bytes from and to the driver, and reads none of
them, so that it needs neither torch nor much memory. A process of its own, since Ray's worker then answers whatever
the extraction does, and a crash of it takes no actor down; it is killed when the worker dies.
"""

from __future__ import annotations

import pickle
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

from ..machine.installed import installed, other_versions

DECIDING = ("torch", "torchvision", "timm", "open_clip_torch", "av", "numpy", "pillow")  # packages that features go by
HEAR_S = 0.5  # that an actor waits for something to tell
Heard = tuple[list[bytes], int | None]  # messages, and the exit code of the process once it has ended


class RayActor:
    """One of those who extract, on a node; its methods are called from afar."""

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._connection: connection.Connection | None = None

    def complaint(self, wanted: Mapping[str, str], there: Mapping[str, Path]) -> str:
        """Why this node cannot extract what the driver planned; empty if it can.

        Args:
            wanted: versions of the driver.
            there: what must be seen from here, by what it is.
        """
        host = socket.gethostname()
        if (other := other_versions(installed(DECIDING), wanted)) is not None:
            return (
                f"the node {host} has {other[0]}, and the driver {other[1]}, so features could differ: install the "
                "same versions on all nodes"
            )
        unseen = [f"{what} '{path}'" for what, path in there.items() if not path.exists()]
        if unseen:
            return (
                f"the node {host} does not see {', '.join(unseen)}: the work folder and the videos have to be on "
                "a disk that all nodes share, at the same paths"
            )
        return ""

    def begin(self, order: bytes) -> None:
        """Start the process: an order is what :func:`serve` is given, pickled."""
        if self._process is not None:
            self._process.join()  # it has said its last word
        ours, theirs = get_context("spawn").Pipe()
        self._process = get_context("spawn").Process(target=serve, args=(theirs, order), name="mofore-ray")
        self._process.start()
        theirs.close()
        self._connection = ours

    def hear(self) -> Heard:
        """What the process has said since; waited for a moment."""
        assert self._connection is not None
        assert self._process is not None
        said, until = list[bytes](), time.monotonic() + HEAR_S
        try:
            while self._connection.poll(0 if said else max(0.0, until - time.monotonic())):
                said.append(self._connection.recv_bytes())
        except (EOFError, OSError):  # it ended, perhaps in the middle of a word
            self._process.join()
            return said, self._process.exitcode
        return said, None

    def tell(self, word: object) -> None:
        """Say something to the process."""
        assert self._connection is not None
        with suppress(OSError):  # it has ended, which is heard next
            self._connection.send(word)


def serve(link: connection.Connection, order: bytes) -> None:
    """What the process does: extract what is handed out, on the device that Ray has given to the actor."""
    from .many_devices import work_at

    job, parts = pickle.loads(order)
    work_at(link, None, job, parts)
