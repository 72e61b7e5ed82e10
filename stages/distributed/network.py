"""The connections between the processes of a team: by which interface they are made, and how they are cut."""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOOPBACK = ("lo", "lo0")
DESCRIPTORS = Path("/dev/fd")  # this process's, on Linux and macOS
SIOCGIFADDR = 0x8915  # asks Linux for the address of an interface
SILENT_S = 15  # that another machine says nothing until it is lost
GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"


def loopback() -> str | None:
    """The interface by which processes of one machine meet: the machine's name may lead nowhere."""
    return next((name for _, name in socket.if_nameindex() if name in LOOPBACK), None)


def own_address(other: str) -> str | None:
    """The IPv4 address that this machine has towards ``other``, a host or an address; None if no way is known."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((other, 9))  # sends nothing
            return str(probe.getsockname()[0])
    except OSError:
        return None


def interface_of(address: str | None) -> str | None:
    """The interface that has an address; None where that cannot be found out, and gloo is left to choose."""
    if address is None or sys.platform != "linux":
        return None
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # it has none
                asked = struct.pack("256s", name.encode()[:15])
                found = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, asked)
                if socket.inet_ntoa(found[20:24]) == address:
                    return name
    return None


def connections() -> list[socket.socket]:
    """Handles of the caller's own on this process's TCP connections."""
    numbers = [int(path.name) for path in DESCRIPTORS.iterdir()] if DESCRIPTORS.is_dir() else []
    found = []
    for number in numbers:
        with suppress(OSError):  # the folder itself, which is closed by now
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                found.append(socket.socket(fileno=os.dup(number)))
    tcp = [handle for handle in found if _is_connection(handle)]
    for handle in found:
        if handle not in tcp:
            handle.close()
    return tcp


def _is_connection(handle: socket.socket) -> bool:
    with suppress(OSError):  # it listens
        handle.getpeername()
        return handle.family in (socket.AF_INET, socket.AF_INET6) and handle.type == socket.SOCK_STREAM
    return False


def end_when_silent() -> None:
    """Have the system end this process's connections to machines that no longer answer, in :data:`SILENT_S`."""
    for handle in connections():
        with handle, suppress(OSError):
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in (
                ("TCP_KEEPIDLE", 5),
                ("TCP_KEEPINTVL", 5),
                ("TCP_KEEPCNT", 2),
                ("TCP_USER_TIMEOUT", 1000 * SILENT_S),
            ):
                if hasattr(socket, name):
                    handle.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Lines:
    """Connections of this process that may be cut from another thread."""

    def __init__(self) -> None:
        self._handles: list[socket.socket] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Those that are made within the block are of them."""
        before = set[int]()
        for handle in connections():
            with handle:
                before.add(_inode(handle))
        yield
        for handle in connections():
            if _inode(handle) in before:
                handle.close()
            else:
                self._handles.append(handle)

    def cut(self) -> None:
        """End them at once: who waits at one, here or elsewhere, is told."""
        for handle in self._handles:
            with suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Let go of them, so that they end with those who made them."""
        for handle in self._handles:
            handle.close()
        self._handles = []


def _inode(handle: socket.socket) -> int:
    return os.fstat(handle.fileno()).st_ino
