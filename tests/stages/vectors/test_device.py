"""The GPU's road, with a library that pretends to have one; on a real GPU it is unmeasured."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mofore.data.errors import ConfigError
from mofore.data.index_settings import IndexSettings
from mofore.stages.vectors import device as index_device
from mofore.stages.vectors.build import build
from mofore.stages.vectors.device import gpu_search, pick_place, torch_search
from mofore.stages.vectors.faiss_library import faiss

from ..drawn_vectors import clustered, indexed


class Moved:
    """An index on a pretended GPU."""

    def __init__(self, index: Any) -> None:
        self.index, self.searches, self.ntotal = index, 0, index.ntotal
        self.is_trained, self.cp = index.is_trained, SimpleNamespace(seed=1234, min_points_per_centroid=39)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        assert k <= index_device.MOST_ON_GPU
        self.searches += 1
        found: tuple[np.ndarray, np.ndarray] = self.index.search(queries, k)
        return found

    def train(self, vectors: np.ndarray) -> None:
        self.index.train(vectors)

    def add(self, vectors: np.ndarray) -> None:
        self.index.add(vectors)


class MovedGpuIndex(Moved):
    """Known by its name, as FAISS's are."""


class PretendedLibrary:
    """FAISS, and a GPU."""

    class StandardGpuResources:
        def setTempMemory(self, size: int) -> None:
            self.size = size

    def __init__(self) -> None:
        self.moved: list[Moved] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(faiss(), name)

    def get_num_gpus(self) -> int:
        return 1

    def index_cpu_to_gpu_multiple_py(self, resources: list[Any], index: Any) -> Moved:
        assert [made.size for made in resources] == [index_device.TEMPORARY_BYTES]
        self.moved.append(MovedGpuIndex(index))
        return self.moved[-1]

    def index_gpu_to_cpu(self, moved: Moved) -> Any:
        return moved.index


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> PretendedLibrary:
    pretended = PretendedLibrary()
    monkeypatch.setattr(index_device, "faiss", lambda: pretended)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return pretended


def test_faiss_computes_on_the_gpu_where_it_can(library: PretendedLibrary) -> None:
    assert pick_place("auto") == pick_place("cuda") == "faiss-gpu"
    assert pick_place("cpu") == "cpu"


def test_torch_searches_on_the_gpu_where_faiss_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(index_device, "faiss_has_gpu", lambda: False)
    assert pick_place("auto") == "torch"


def test_without_a_gpu_everything_is_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_place("auto") == "cpu"
    with pytest.raises(ConfigError, match="device = 'cuda', but torch finds no CUDA device"):
        pick_place("cuda")
    index = indexed(clustered(20))
    assert index.on("cpu") is index


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_an_index_is_built_on_the_gpu_and_saved_portable(kind: str, library: PretendedLibrary) -> None:
    vectors, settings = clustered(500), IndexSettings(kind=kind)
    there, here = build(vectors, settings, place="faiss-gpu"), build(vectors, settings)
    assert len(library.moved) == 1
    assert vars(library.moved[0].cp) == {"seed": settings.seed, "min_points_per_centroid": 1}, "they are not copied"
    assert np.array_equal(faiss().serialize_index(there.index), faiss().serialize_index(here.index))


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_the_gpu_finds_what_the_processor_finds(kind: str, library: PretendedLibrary) -> None:
    index = indexed(np.tile(clustered(500), (2, 1)), kind)
    moved, queries = index.on("faiss-gpu"), index.vectors(np.arange(30))
    assert np.array_equal(moved.search(queries, 10)[1], index.search(queries, 10)[1])
    assert library.moved[0].searches == 1
    moved.search(queries, 10, np.arange(1000) < 500)
    assert library.moved[0].searches == 1, "a search among some rows stays on the processor"


def test_more_rows_than_the_gpu_answers_with_come_from_the_processor(library: PretendedLibrary) -> None:
    search = gpu_search(indexed(clustered(2100)).faiss_index)
    assert search is not None
    assert search(clustered(1), 2100)[1].shape == (1, 2100)
    assert library.moved[0].searches == 0


def test_a_graph_stays_on_the_processor(library: PretendedLibrary) -> None:
    assert gpu_search(indexed(clustered(100), "hnsw").faiss_index) is None
    assert indexed(clustered(100), "hnsw").on("faiss-gpu").fast is None


@pytest.mark.parametrize("memory", [1, 1 << 40])
def test_torch_in_blocks_finds_what_faiss_finds(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_device, "total_memory", lambda _device: memory)
    vectors = np.repeat(clustered(100), 3, axis=0)
    index = indexed(vectors, center=False)
    other = replace(index, fast=torch_search(vectors, torch.device("cpu")))
    assert np.array_equal(other.search(vectors[:40], 10)[1], index.search(vectors[:40], 10)[1])
