"""Where a stage computes."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from ...data.cores import usable_cores
from ...data.errors import ConfigError

MOST_CPU_PARTS = 4  # each holds the backbone and a batch in memory


@dataclass(frozen=True, slots=True)
class Place:
    """Where one process of a stage computes."""

    device: torch.device  # of its networks
    cores: tuple[int, ...] = ()  # processor cores that it may use; empty for all that the system gives it

    def __str__(self) -> str:
        return f"{self.device}, cores {', '.join(map(str, self.cores))}" if self.cores else str(self.device)

    def occupy(self) -> None:
        """Make this process compute here, and nowhere else."""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.cores:
            torch.set_num_threads(len(self.cores))
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, self.cores)


def pick_device(wish: str, setting: str = "device") -> torch.device:
    """Device for a setting, which an error names; "auto" is cuda where there is one.

    Raises:
        ConfigError: if cuda or mps is asked for and there is none.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(wish, True):
        raise ConfigError(
            f"{setting} = '{wish}', but torch finds no {wish.upper()} device: --set {setting}=auto takes what there "
            f"is, --set {setting}=cpu the processor"
        )
    if wish == "mps":
        return torch.device("mps")
    return torch.device("cuda" if wish != "cpu" and there["cuda"] else "cpu")


def pick_places(wish: str, processes: int = 0) -> list[Place]:
    """Places that share a job: every CUDA device of the machine, or parts of the processor.

    Threads of one process wait for each other at every layer, and whatever disturbs one of them disturbs all:
    two processes of one thread compute up to a fifth more than one of two.

    Args:
        wish: as for :func:`pick_device`.
        processes: how many at most; 0 for all devices, and for one per core up to :data:`MOST_CPU_PARTS`.

    Raises:
        ConfigError: as :func:`pick_device`.
    """
    device = pick_device(wish)
    if device.type == "mps":
        return [Place(device)]
    if device.type == "cuda":
        places = [Place(torch.device("cuda", number)) for number in range(torch.cuda.device_count())]
        return places[: processes or len(places)]
    cores = usable_cores()
    count = min(processes or MOST_CPU_PARTS, len(cores))
    return [Place(torch.device("cpu"), part) for part in _shared_out(cores, count)]


def release_memory() -> None:
    """Give memory of the GPU that nothing uses any more back to the driver.

    torch keeps what it has freed; other processes, and FAISS, could not have it.
    """
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        gc.collect()  # what failed is held by its traceback
        torch.cuda.empty_cache()


def _shared_out(cores: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """``count`` runs of neighbouring cores, as equal as may be."""
    bounds = [len(cores) * number // count for number in range(count + 1)]
    return [tuple(cores[begin:end]) for begin, end in pairwise(bounds)]


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes bfloat16 in hardware; elsewhere it is emulated, and slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
