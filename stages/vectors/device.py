"""Where an index is built and searched: FAISS's GPU, torch's, or the processor. What is saved is always portable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...data.arrays import Float32, Int64
from ..machine.memory import total_memory
from .exact import Found, Propose, core, scan
from .faiss_library import faiss

if TYPE_CHECKING:
    import torch

TEMPORARY_BYTES = 256 << 20  # that FAISS keeps of each GPU to compute in; its own default is 1.5 GiB
MOST_ON_GPU = 2048  # rows that FAISS answers with there, and lists that it looks into
RESOURCES: list[Any] = []  # of the GPUs, in their order
Place = Literal["cpu", "faiss-gpu", "torch"]
REMARKS: dict[Place, str] = {
    "faiss-gpu": "indexes are built and searched by FAISS on the GPU",
    "torch": "exact search by torch on the GPU; FAISS works on the processor (faiss-gpu is not installed)",
    "cpu": "indexes are built and searched on the processor",
}


def pick_place(wish: str) -> Place:
    """Place for a setting; "auto" is a GPU where there is one.

    Raises:
        ConfigError: if cuda is asked for and there is none.
    """
    from ..machine.device import pick_device  # torch

    if pick_device(wish).type != "cuda":
        return "cpu"
    return "faiss-gpu" if faiss_has_gpu() else "torch"


def faiss_has_gpu() -> bool:
    """Whether the installed FAISS computes on GPUs, and finds one."""
    return hasattr(faiss(), "StandardGpuResources") and faiss().get_num_gpus() > 0


def to_gpu(index: Any, *, devices: int = -1) -> Any:
    """The index on so many GPUs (-1: all); as it is where FAISS has no such kind there (graphs, codes of few bits)."""
    library = faiss()
    if not isinstance(core(index), library.IndexFlat | library.IndexIVF):
        return index
    try:
        return library.index_cpu_to_gpu_multiple_py(_resources(library, devices), index)
    except RuntimeError:
        return index


def _resources(library: Any, devices: int) -> list[Any]:
    """What FAISS computes with on so many GPUs (-1: all), made once in a process."""
    count = library.get_num_gpus() if devices < 0 else devices
    while len(RESOURCES) < count:
        made = library.StandardGpuResources()
        made.setTempMemory(TEMPORARY_BYTES)
        RESOURCES.append(made)
    return RESOURCES[:count]


def gpu_search(index: Any) -> Propose | None:
    """A search by FAISS on all GPUs; what is beyond its limit of rows stays with the processor."""
    if getattr(core(index), "nprobe", 1) > MOST_ON_GPU or (moved := to_gpu(index)) is index:
        return None

    def propose(queries_QE: Float32, k: int) -> Found:
        found: Found = (moved if k <= MOST_ON_GPU else index).search(queries_QE, k)
        return found

    return propose


def on_gpu(index: Any) -> bool:
    """Whether an index, or the index inside it, is on a GPU."""
    return "Gpu" in type(index).__name__ or "Gpu" in type(core(index)).__name__


def to_cpu(index: Any) -> Any:
    """The index as every FAISS can read it."""
    return faiss().index_gpu_to_cpu(index)


def torch_search(vectors_NE: Float32, device: torch.device) -> Propose:
    """Exact search by torch in blocks; the vectors stay on the device if they take no more than half of it."""
    import torch

    rows = np.arange(len(vectors_NE))
    resident = torch.from_numpy(vectors_NE).to(device) if vectors_NE.nbytes <= total_memory(device) // 2 else None

    def tensors_of(some: Int64) -> torch.Tensor:
        if resident is not None:
            return resident[int(some[0]) : int(some[-1]) + 1]
        return torch.from_numpy(vectors_NE[some]).to(device)

    return lambda queries_QE, k: scan(tensors_of, rows, queries_QE, k)
