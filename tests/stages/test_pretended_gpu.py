"""All that a GPU would do, on one that is pretended: it must run, wait for nothing in its loops, and launch little."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mofore.cache.checkpoint import load_checkpoint
from mofore.data.catalog import scan
from mofore.data.errors import StageError
from mofore.data.fit_settings import FitSettings
from mofore.data.motion import Start, appearance, draw, write_video
from mofore.data.planes import PlaneLayout
from mofore.data.progress import Silent
from mofore.data.settings import ExtractSettings
from mofore.stages.decode.device_preprocess import FromPlanes
from mofore.stages.decode.preprocess import Preprocess
from mofore.stages.extract import estimate
from mofore.stages.finetune import stage as finetune
from mofore.stages.finetune.pixel_batches import PixelBatch
from mofore.stages.fit import cuda_graph
from mofore.stages.fit import stage as fit
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.frames.sampler import make_sampler
from mofore.stages.model.saved import MODEL
from mofore.stages.objectives.catalog import objective_names
from mofore.stages.search.encoder import QueryEncoder
from mofore.stages.vectors.device import pick_place

from ..pretend_gpu import Fault, Pretended, Spent, pretended_gpu
from .drawn_vectors import clustered, indexed
from .extract.test_stage import Job
from .finetune import test_stage as tuning
from .memory import table
from .objectives.trained import settings_of

BACKBONE = ExtractSettings(
    backbone="random:test_vit", image_size=32, precision="fp32", batch_size=16, decoders=1, processes=1, compile="off"
)
FIT = FitSettings(
    clip_length=4, gap_max=4, embedding_width=12, hidden_width=10, batch_size=16, steps=20, validations=0, device="cuda"
)
TABLE = table([30] * 40, width=16)
UCF101 = PlaneLayout(240, 320, full_range=False)
VIT_B32 = Preprocess((224, 224), (224, 224), "shortest", "bicubic", (0.5,) * 3, (0.5,) * 3)
BEFORE_BYTES = 22.32e6  # a frame, as the resize by torch's own kernel read and wrote them


class Told(Silent):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def has(self, text: str) -> bool:
        return any(text in note for note in self.notes)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of 24 frames."""
    root = tmp_path_factory.mktemp("clips")
    for number in range(6):
        drawn = draw("Bounce", appearance(number), Start(0.1 * number, 0.0, 0.5, 2.0), 24)
        (root / f"Bounce{number}").mkdir()
        write_video(root / f"Bounce{number}" / f"v_Bounce{number}_g01_c01.avi", drawn)
    return root


def extracted(clips: Path, folder: Path, told: Told | None = None, **changes: Any) -> dict[str, np.ndarray]:
    """Features of a fresh extraction."""
    job = Job(clips, folder)
    job.run(replace(BACKBONE, **changes), progress=told or Told())
    return job.features()


@pytest.fixture(scope="module")
def usual(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, np.ndarray], Spent]:
    """Features by the usual road of a GPU, and what they cost."""
    with pretended_gpu() as gpu, gpu.counted() as spent:
        features = extracted(clips, tmp_path_factory.mktemp("usual"))
    return features, spent


def in_the_loop(spent: Spent) -> list[str]:
    """Waits of the extraction's loop; loading and choosing may wait."""
    return [sync for sync in spent.syncs if "batches.py" in sync.split(" <- ")[0]]


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_a_gpu_extracts_in_one_graph_a_batch_and_waits_for_nothing(
    usual: tuple[dict[str, np.ndarray], Spent], clips: Path, tmp_path: Path
) -> None:
    features, spent = usual
    here = extracted(clips, tmp_path, device="cpu")
    cosines = [np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in _pairs(features, here)]
    assert min(cosines) > 0.999, "the pixels differ by rounding alone"
    assert spent.captured == 1
    assert spent.replayed == 9 - 1 - 3, "nine batches, of which the first is chosen on and three warm up"
    assert len(in_the_loop(spent)) <= 1, "memory for the first planes"


def _pairs(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for name in one:
        yield from zip(one[name].astype(np.float64), other[name].astype(np.float64), strict=True)


@pytest.mark.parametrize(
    ("lacking", "note"),
    [
        ({"captures": False}, "a CUDA graph was refused"),
        ({"pins": False}, "no memory be locked"),
        ({"compiles": False}, "not compiled: RuntimeError"),
    ],
)
def test_what_a_gpu_refuses_is_gone_without_and_told(
    lacking: dict[str, bool], note: str, usual: tuple[dict[str, np.ndarray], Spent], clips: Path, tmp_path: Path
) -> None:
    told = Told()
    with pretended_gpu(**lacking):
        features = extracted(clips, tmp_path, told, compile="on" if "compiles" in lacking else "off")
    assert same(features, usual[0])
    assert told.has(note)


def test_too_little_memory_halves_what_goes_through_the_backbone(
    usual: tuple[dict[str, np.ndarray], Spent], clips: Path, tmp_path: Path
) -> None:
    told = Told()
    with pretended_gpu(memory=14 << 20) as gpu:
        features = extracted(clips, tmp_path, told, batch_size=64)
        assert gpu.peak <= 14 << 20
    assert all(np.allclose(features[name], usual[0][name], atol=2e-3) for name in usual[0])
    assert told.has("32 frames at a time from here on (extract.batch_size = 32 begins so)")


def test_a_backbone_that_does_not_fit_with_one_frame_says_what_to_do(clips: Path, tmp_path: Path) -> None:
    with pretended_gpu(memory=3 << 19), pytest.raises((StageError, torch.OutOfMemoryError)):
        extracted(clips, tmp_path)


def test_nothing_is_compiled_twice(clips: Path, tmp_path: Path) -> None:
    with pretended_gpu() as gpu, gpu.counted() as spent:
        extracted(clips, tmp_path, compile="on")
    assert spent.compiled == 1


def test_planes_become_pixels_with_half_of_the_memory_traffic() -> None:
    planes_NB = torch.randint(0, 256, (4, UCF101.bytes), dtype=torch.uint8)
    with pretended_gpu() as gpu:
        make, there = FromPlanes.of(UCF101, VIT_B32, torch.device("cuda")), planes_NB.cuda()
        with gpu.counted() as spent:
            make(there)
    assert spent.bytes / 4 < 0.6 * BEFORE_BYTES
    assert spent.launches <= 26
    assert not spent.syncs


def test_a_card_without_bf16_tries_fp16(clips: Path, tmp_path: Path) -> None:
    job = Job(clips, tmp_path)
    with pretended_gpu(capability=(7, 5)):
        job.run(replace(BACKBONE, precision="auto", parity_floor=0.0))
    pinned = job.store.encoder() or {}
    assert set(pinned["measured"]["tried_cosine_min"]) == {"fp32", "fp16"}
    assert pinned["measured"]["tried_cosine_min"]["fp16"] > 0.99


def test_the_estimate_measures_the_road_of_the_gpu(clips: Path) -> None:
    with pretended_gpu() as gpu, gpu.counted() as spent:
        found = estimate.run(BACKBONE, clips, scan(clips).videos, None)
    assert found.devices[0].type == "cuda"
    assert any("estimate.py" in sync and "synchronize" in sync for sync in spent.syncs), "planes are made into pixels"


def test_queries_are_encoded_on_the_gpu(clips: Path) -> None:
    pinned = {"backbone": BACKBONE.backbone, "precision": "bf16", "folded": False}
    path = next(clips.glob("*/*.avi"))
    with pretended_gpu():
        there = QueryEncoder(BACKBONE, None, pinned).of_file(path, None)
    assert there.features_ND.shape[0] == 24
    assert np.isfinite(there.features_ND).all()


def fitted(folder: Path, settings: FitSettings = FIT, told: Told | None = None) -> dict[str, torch.Tensor]:
    fit.run(settings, TABLE, folder, progress=told or Told())
    return load_checkpoint(folder / MODEL)[0]


def test_a_graphed_fit_is_the_eager_one_and_a_step_is_one_launch(tmp_path: Path) -> None:
    told = Told()
    with pretended_gpu() as gpu, gpu.counted() as spent:
        graphed = fitted(tmp_path / "graphed")
    with pretended_gpu(captures=False):
        eager = fitted(tmp_path / "eager", told=told)
    assert told.has("a CUDA graph was refused")
    assert all(torch.equal(tensor, eager[name]) for name, tensor in graphed.items())
    assert spent.captured == 1
    assert spent.replayed == FIT.steps - cuda_graph.WARM_UP
    with pretended_gpu() as gpu, gpu.counted() as longer:
        fitted(tmp_path / "longer", replace(FIT, steps=2 * FIT.steps))
    more = longer.launches - spent.launches
    assert more <= 10 * FIT.steps, "copies into the graph, its launch, and the figures"
    assert len(longer.syncs) == len(spent.syncs), "no step waits"


def test_means_of_a_large_batch_are_gathered_in_few_launches() -> None:
    settings = replace(FIT, batch_size=32, steps=8, clip_length=8)
    with pretended_gpu() as gpu:
        memory = FrameTensors.of(TABLE, torch.device("cuda"))
        sampler = make_sampler(settings, memory, torch.arange(len(TABLE.ids)))
        next(sampler.batches(0, 1))
        with gpu.counted() as spent:
            count = sum(1 for _ in sampler.batches(0, 8))
    assert spent.launches <= 8 * count
    assert len(spent.syncs) <= 2 * count + 2  # the last two: lengths of windows, once a round


def test_apples_gpu_extracts_too(clips: Path, tmp_path: Path) -> None:
    with pretended_gpu(kind="mps") as gpu, gpu.counted() as spent:
        there = extracted(clips, tmp_path / "mps", device="mps")
    assert spent.launches > 0
    assert same(there, extracted(clips, tmp_path / "cpu", device="cpu")), "pixels are the processor's"


def test_stacked_fits_run_on_the_gpu(tmp_path: Path) -> None:
    jobs = {str(seed): fit.FitJob(replace(FIT, seed=seed), TABLE, tmp_path / str(seed)) for seed in range(2)}
    ended: list[str] = []
    with pretended_gpu() as gpu, gpu.counted() as spent:
        failed = fit.run_several(jobs, progress=Told(), finished=lambda name, _: ended.append(name))
    assert (ended, failed) == (["0", "1"], {})
    assert not any("stacked.py" in sync.split(" <- ")[0] for sync in spent.syncs[-10:])


@pytest.mark.parametrize("name", objective_names())
def test_every_objective_learns_on_the_gpu(name: str, tmp_path: Path) -> None:
    settings = replace(settings_of(name, batch_size=8, steps=2), device="cuda")
    with pretended_gpu():
        fitted(tmp_path, settings)


@pytest.fixture(scope="module")
def made(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> tuning.Made:
    return tuning.make(clips, tmp_path_factory.mktemp("tuning"), replace(BACKBONE, device="cpu"), None)


TUNING = replace(tuning.SETTINGS, lr=1e-5, steps=2, batch_size=4, decoders=1)


def test_finetuning_on_the_gpu_is_that_of_the_processor(made: tuning.Made, tmp_path: Path) -> None:
    made.tuned(tmp_path / "here", replace(TUNING, device="cpu"))
    with pretended_gpu():
        made.tuned(tmp_path / "there", replace(TUNING, device="cuda"))
    here, there = (tuning.log_of(tmp_path / name) for name in ("here", "there"))
    assert [row["loss"] for row in there] == pytest.approx([row["loss"] for row in here], rel=0.01)
    assert json.loads((tmp_path / "there" / finetune.DESCRIPTION).read_text())["agreement"] > 0.999


def test_finetuning_goes_on_in_parts_when_memory_runs_out(
    made: tuning.Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made.tuned(tmp_path / "whole", replace(TUNING, device="cpu"))
    learn, told = finetune.Tuning._learnt, Told()

    def small(self: Any, batch: PixelBatch) -> torch.Tensor:
        if len(batch.parts) < 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return learn(self, batch)

    monkeypatch.setattr(finetune.Tuning, "_learnt", small)
    finetune.run(replace(TUNING, device="cpu"), made.inputs, tmp_path / "parts", progress=told)
    parts = load_checkpoint(tmp_path / "parts" / finetune.WEIGHTS)[0]
    assert told.has("in 2 parts from here on (finetune.accumulation = 2 begins so)")
    assert all(torch.allclose(tensor, parts[name], atol=1e-5) for name, tensor in whole.items())


def test_torch_searches_exactly_on_the_gpu() -> None:
    index = indexed(clustered(300))
    queries_QE = index.vectors(np.arange(20))
    with pretended_gpu() as gpu, gpu.counted() as spent:
        assert pick_place("auto") == "torch"
        found = index.on("torch").search(queries_QE, 10)
    expected = index.search(queries_QE, 10)
    assert np.array_equal(found[1], expected[1])
    assert len(spent.syncs) <= 8


def test_a_gpu_is_pretended_one_at_a_time() -> None:
    assert not torch.cuda.is_available()
    with pretended_gpu() as gpu:
        assert isinstance(gpu, Pretended)
        assert torch.cuda.is_available()
    assert not torch.cuda.is_available()


def mixed_devices(gpu: Pretended) -> None:
    torch.ones(3, device="cuda") + torch.ones(3)


def rows_of_the_gpu_in_a_table_of_the_host(gpu: Pretended) -> None:
    torch.ones(3, 2).index_select(0, torch.zeros(2, dtype=torch.long, device="cuda"))


def numpy_of_the_gpu(gpu: Pretended) -> None:
    torch.ones(3, device="cuda").numpy()


def a_generator_of_the_host(gpu: Pretended) -> None:
    torch.rand(3, generator=torch.Generator(), device="cuda")


def captured(body: Any) -> None:
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        body(torch.ones(3, device="cuda"))


def a_number_asked_for_in_a_capture(gpu: Pretended) -> None:
    captured(lambda x: float(x.sum()))


def a_mask_in_a_capture(gpu: Pretended) -> None:
    captured(lambda x: x[x > 0])


def a_pageable_copy_in_a_capture(gpu: Pretended) -> None:
    captured(lambda _: torch.ones(3).to("cuda"))


def a_stream_that_does_not_wait(gpu: Pretended) -> None:
    x = torch.ones(3, device="cuda").mul_(2)
    with torch.cuda.stream(torch.cuda.Stream()):
        x + 1


def pinned_memory_given_back_too_early(gpu: Pretended) -> None:
    host = torch.ones(3).pin_memory()
    there = host.to("cuda", non_blocking=True)
    host.fill_(5)
    torch.cuda.synchronize()
    assert there.is_cuda


def memory_that_was_never_registered(gpu: Pretended) -> None:
    torch.cuda.cudart().cudaHostUnregister(1)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("defect", "told"),
    [
        (mixed_devices, "tensors on cuda:0 and"),
        (rows_of_the_gpu_in_a_table_of_the_host, "tensors on cuda:0 and"),
        (numpy_of_the_gpu, r"numpy\(\) of a tensor"),
        (a_generator_of_the_host, "a generator of the processor"),
        (a_number_asked_for_in_a_capture, "while a graph is captured"),
        (a_mask_in_a_capture, "while a graph is captured"),
        (a_pageable_copy_in_a_capture, "while a graph is captured"),
        (a_stream_that_does_not_wait, "without waiting for it"),
        (pinned_memory_given_back_too_early, "overwritten before the copy"),
        (memory_that_was_never_registered, "was not registered"),
    ],
)
def test_the_pretence_finds(defect: Any, told: str) -> None:
    # What is caught is told at the end all the same.
    with pytest.raises(Fault, match=told), pretended_gpu() as gpu, contextlib.suppress(Fault):
        defect(gpu)


def test_the_pretence_shows_what_is_read_before_it_arrived_and_what_a_graph_keeps() -> None:
    with pretended_gpu() as gpu:
        there, host = torch.ones(2, device="cuda"), torch.empty(2, pin_memory=True)
        host.copy_(there, non_blocking=True)
        assert host.isnan().all(), "nobody has waited"
        torch.cuda.synchronize()
        assert host.tolist() == [1.0, 1.0]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            doubled = there * 2
        another = torch.full((2,), 5.0, device="cuda")
        graph.replay()
        assert doubled.tolist() == [2.0, 2.0], "a graph knows its own inputs, not what comes later"
        there.copy_(another)
        graph.replay()
        assert doubled.tolist() == [10.0, 10.0]
        assert len(gpu.spent.syncs) >= 3
