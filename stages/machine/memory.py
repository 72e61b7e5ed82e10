"""How much memory there is for this process: the machine's, or less where its control group is held to less."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CGROUPS = Path("/sys/fs/cgroup")
UNKNOWN = 4 << 30  # what is reckoned with where a system does not say: little, so that more is left in files


def total_memory(device: torch.device) -> int:
    """Bytes: of the GPU, or of the machine as far as the process may use it."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[1])
    return machine_bytes()


def machine_bytes() -> int:
    """Memory of the machine, as far as the process may use it."""
    return min([_physical_bytes(), *_limits(CGROUPS, _memberships(Path("/proc/self/cgroup")))])


def _physical_bytes() -> int:
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    state = _MemoryStatus(dwLength=ctypes.sizeof(_MemoryStatus))  # Windows
    kernel = getattr(ctypes, "windll", None)
    if kernel is None or not kernel.kernel32.GlobalMemoryStatusEx(ctypes.byref(state)):
        return UNKNOWN
    return int(state.ullTotalPhys)


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of Windows."""

    _fields_ = (
        ("dwLength", ctypes.c_uint32),
        ("dwMemoryLoad", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in ("ullTotalPhys", "ullAvailPhys", "ullTotalPageFile", "ullAvailPageFile")),
        *((name, ctypes.c_uint64) for name in ("ullTotalVirtual", "ullAvailVirtual", "ullAvailExtendedVirtual")),
    )


def _memberships(path: Path) -> list[str]:
    """Lines like "0::/a/b" (version 2) and "4:memory:/a/b" (version 1); none where there are no control groups."""
    return path.read_text().splitlines() if path.exists() else []


def _limits(root: Path, memberships: list[str]) -> Iterator[int]:
    """Limits of the groups that the process is in, and of the groups around these."""
    for line in memberships:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield from _limits_around(root, group, "memory.max")
            yield from _limits_around(root / "unified", group, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _limits_around(root / "memory", group, "memory.limit_in_bytes")


def _limits_around(root: Path, group: str, name: str) -> Iterator[int]:
    folder = root / group.lstrip("/")
    for place in (folder, *folder.parents):
        if not place.is_relative_to(root):
            return
        if (place / name).is_file():
            limit = (place / name).read_text().strip()
            if limit.isdecimal():  # else "max"
                yield int(limit)
