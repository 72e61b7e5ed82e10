"""The steps of :mod:`.gpu_trial`, each a function that gives figures; small ones on a GPU that is pretended."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

Figures = dict[str, Any]
GOAL_BACKBONE = "random:vit_base_patch32_clip_224"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    backbones: tuple[tuple[str, int], ...]  # name and image size (0: its own)
    batches: tuple[int, ...]
    repeats: int  # timed passes
    clips: int  # drawn
    copies: int  # of each
    frames: int  # of a clip
    fit_steps: int
    fit_batches: tuple[int, ...]
    table: tuple[int, int, int]  # videos, frames, width
    vectors: tuple[int, int, int]  # in the index, wide, queries
    batch: int  # of extraction; 0: its own
    image_size: int  # of extraction


REAL = Size(
    backbones=((GOAL_BACKBONE, 0), ("random:vit_small_patch14_dinov2", 224), ("random:mobilenetv3_small_100", 0)),
    batches=(256, 512),
    repeats=20,
    clips=64,
    copies=24,
    frames=186,
    fit_steps=40_000,
    fit_batches=(8, 256),
    table=(9537, 186, 512),
    vectors=(1_000_000, 512, 1024),
    batch=0,
    image_size=0,
)
SMALL = Size(
    backbones=(("random:test_vit", 32),),
    batches=(8,),
    repeats=2,
    clips=4,
    copies=1,
    frames=24,
    fit_steps=12,
    fit_batches=(8,),
    table=(40, 30, 16),
    vectors=(300, 16, 20),
    batch=16,
    image_size=32,
)


def run_step(name: str, folder: Path, *, pretend: bool) -> None:
    """Run a step and leave its figures in ``folder/NAME.json``, after every one of them."""
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // 2))
    with _gpu(pretend=pretend):
        if not torch.cuda.is_available():
            raise SystemExit("no CUDA device is found by torch; --pretend runs the trial without one")
        torch.cuda.reset_peak_memory_stats()
        figures: Figures = {}
        for key, value in STEPS[name](folder, SMALL if pretend else REAL):
            figures[key] = value
            figures["peak GPU memory, GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 3)
            (folder / f"{name}.json").write_text(json.dumps(figures))


@contextlib.contextmanager
def _gpu(*, pretend: bool) -> Iterator[None]:
    if not pretend:
        yield
        return
    from mofore.tests.pretend_gpu import pretended_gpu

    with pretended_gpu():
        yield


Told = Iterator[tuple[str, Any]]


def versions(_folder: Path, _size: Size) -> Told:
    """Card, driver's CUDA, cores, packages."""
    yield "card", torch.cuda.get_device_name(0)
    yield "capability", ".".join(map(str, torch.cuda.get_device_capability(0)))
    yield "memory, GiB", round(torch.cuda.mem_get_info(0)[1] / 2**30, 1)
    yield "cores", len(os.sched_getaffinity(0))
    yield "CUDA", str(torch.version.cuda)
    yield "Python", platform.python_version()
    for name in ("torch", "timm", "open_clip_torch", "av", "h5py", "numpy"):
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, "not there"


def clips(folder: Path, size: Size) -> Told:
    """Clips as heavy to decode as UCF101's: 320 x 240, MPEG-4 in AVI, textures that move, and grain."""
    (folder / "drawn").mkdir(exist_ok=True)
    begin = time.monotonic()
    wanted = [(str(folder / "drawn" / f"{number}.avi"), number, size.frames) for number in range(size.clips)]
    if len(wanted) < 8:
        for each in wanted:
            _draw(each)
    else:
        with get_context("spawn").Pool() as pool:
            pool.map(_draw, wanted)
    shutil.rmtree(folder / "videos", ignore_errors=True)
    for path, number, _ in wanted:
        of_class = folder / "videos" / f"Class{number % 8}"
        of_class.mkdir(parents=True, exist_ok=True)
        for copy in range(size.copies):
            shutil.copy(path, of_class / f"v_Class{number % 8}_g{number:02d}_c{copy:02d}.avi")
    yield "clips", size.clips * size.copies
    yield "frames", size.clips * size.copies * size.frames
    yield "bytes a frame", sum(Path(path).stat().st_size for path, *_ in wanted) / (size.clips * size.frames)
    yield "drawing, s", round(time.monotonic() - begin, 1)


def _draw(wanted: tuple[str, int, int]) -> None:
    import av

    path, seed, frames = wanted
    rng = np.random.default_rng(seed)
    coarse = rng.random((32, 42, 3)).repeat(16, 0).repeat(16, 1)
    scene = (sum(np.roll(coarse, shift, (0, 1)) for shift in ((0, 0), (5, 3), (9, 11), (2, 14))) * 50 + 28)[:480, :640]
    patch, grain = rng.random((96, 96, 3)) * 255, rng.normal(0, 6, (8, 240, 320, 1))
    with av.open(path, "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 320, 240, "yuv420p", 400_000
        for t in range(frames):
            top, left = int(120 + 100 * np.sin(t / 40 + seed)), int(160 + 150 * np.cos(t / 55 + seed))
            picture = scene[top : top + 240, left : left + 320].copy()
            y, x = int(70 + 60 * np.sin(t / 9)), int(110 + 100 * np.cos(t / 13))
            picture[y : y + 96, x : x + 96] = patch
            picture = np.clip(picture + grain[t % 8], 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def forward(_folder: Path, size: Size) -> Told:
    """Frames a second of the backbone alone, from uint8 pixels that are there, as one graph: what bounds all else."""
    from mofore.data.settings import ExtractSettings
    from mofore.stages.backbone.encoder import load_encoder
    from mofore.stages.backbone.network import ComputeMode

    device = torch.device("cuda", 0)
    for name, image_size in size.backbones:
        encoder = load_encoder(ExtractSettings(backbone=name, image_size=image_size), None, device)
        shape = (3, *encoder.preprocess.size)
        for compiled in (False, True):
            for batch in size.batches:
                frames_BCHW = torch.randint(0, 256, (batch, *shape), dtype=torch.uint8).to(device)
                frames_BCHW = frames_BCHW.contiguous(memory_format=torch.channels_last)
                made = encoder.at(ComputeMode("bf16", compiled=compiled), frames_BCHW)
                rate = batch * _graphed_rate(lambda made=made, frames=frames_BCHW: made.forward(frames), size.repeats)
                kind = "compiled" if compiled else "eager"
                yield f"{name.partition(':')[2]}, batch {batch}, {kind}, frames/s", round(rate)


def _graphed_rate(compute: Callable[[], object], repeats: int) -> float:
    """Calls a second when they are replayed."""
    for _ in range(3):
        compute()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        compute()
    graph.replay()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(repeats):
        graph.replay()
    torch.cuda.synchronize()
    return repeats / (time.perf_counter() - begin)


def decode(folder: Path, _size: Size) -> Told:
    """Frames a second of the workers alone, as planes, into memory that is thrown away."""
    from mofore.data.catalog import scan
    from mofore.stages.decode.pool import DecodePool, PoolSettings, VideoFrames
    from mofore.stages.decode.preprocess import Preprocess
    from mofore.stages.decode.source import Reading

    videos, workers = scan(folder / "videos").videos, len(os.sched_getaffinity(0))
    preprocess = Preprocess((224, 224), (224, 224), "shortest", "bicubic", (0.5,) * 3, (0.5,) * 3)
    frames, begin = 0, 0.0
    settings = PoolSettings(workers, stall_s=20.0)
    with DecodePool(folder / "videos", videos, Reading(preprocess, planes=True), settings) as pool:
        for event in pool:
            if isinstance(event, VideoFrames):
                begin = begin or time.monotonic()
                frames += len(event.pixels)
                if time.monotonic() - begin > 10:
                    break
    yield "frames/s", round(frames / max(time.monotonic() - begin, 1e-9))
    yield "workers", workers


def extract(folder: Path, size: Size) -> Told:
    """The stage from start to end, not compiled."""
    yield from _extract(folder, size, "off")


def compiled(folder: Path, size: Size) -> Told:
    """The same, compiled."""
    yield from _extract(folder, size, "on")


def _extract(folder: Path, size: Size, compile_it: str) -> Told:
    work = folder / f"extract-{compile_it}"
    shutil.rmtree(work, ignore_errors=True)
    notes, begin = _Notes(), time.monotonic()
    result, _ = _store_of(folder, work, _settings(size, compile=compile_it), notes)
    seconds = time.monotonic() - begin
    yield "frames", result.frames
    yield "frames/s, with start-up", round(result.frames / seconds)
    yield "frames/s, from the second batch on", round(notes.rate())
    limit = _known(folder / "forward.json", "vit_base", "compiled" if compile_it == "on" else "eager")
    if limit:
        yield "of the forward limit", round(notes.rate() / limit, 3)
    for part, spent_s in result.seconds.items():
        yield f"{part}, s", round(spent_s, 2)
    yield "notes", "; ".join(notes.said)


def _known(path: Path, *words: str) -> float:
    """The largest of an earlier step's figures whose name has all words."""
    figures = json.loads(path.read_text()) if path.exists() else {}
    return max((value for name, value in figures.items() if all(word in name for word in words)), default=0.0)


def parity(folder: Path, size: Size) -> Told:
    """Features of a GPU and of the processor, in fp32 and as extraction takes them; pixels of planes and of frames."""
    from mofore.stages.backbone.encoder import load_encoder
    from mofore.stages.backbone.network import ComputeMode
    from mofore.stages.backbone.precision import parity as nearness
    from mofore.stages.decode.device_preprocess import FromPlanes

    settings = _settings(size)
    here, there = (load_encoder(settings, None, torch.device(name)) for name in ("cpu", "cuda"))
    planes_NB, pictures_NHWC, layout = _frames(folder, 16)
    expected_NCHW = here.preprocess(pictures_NHWC)
    made_NCHW = FromPlanes.of(layout, there.preprocess, there.device)(planes_NB.cuda())
    apart = (made_NCHW.cpu().int() - expected_NCHW.int()).abs()
    yield "pixels that differ from the processor's, share", float((apart > 0).float().mean())
    yield "by at most", int(apart.max())
    exact_BD = here.encode(expected_NCHW)
    for precision in ("fp32", "bf16", "fp16"):
        features_BD = there.at(ComputeMode(precision), made_NCHW).encode(made_NCHW)
        yield f"least centred cosine, GPU {precision} and processor fp32", float(nearness(exact_BD, features_BD).min())


def _frames(folder: Path, count: int) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Planes and pictures of the same frames, one of each of several clips."""
    from mofore.data.decode import decode as frames_of
    from mofore.data.pictures import rgb
    from mofore.data.planes import copy_planes, plane_layout

    frames = [next(frames_of(path))[0] for path in sorted((folder / "drawn").glob("*.avi"))[:count]]
    layout = plane_layout(frames[0])
    assert layout is not None
    planes_NB = torch.from_numpy(np.stack([copy_planes(frame, layout) for frame in frames]))
    return planes_NB, torch.from_numpy(np.stack([rgb(frame) for frame in frames])), layout


def fit(folder: Path, size: Size) -> Told:
    """Steps a second, and that a run that was cut off goes on to the same bits."""
    from mofore.data.fit_settings import FitSettings
    from mofore.stages.fit import stage, training

    made, steps = _table(*size.table), size.fit_steps
    for batch in size.fit_batches:
        settings = FitSettings(batch_size=batch, steps=steps, validations=0, device="cuda")
        yield f"batch {batch}, graphed, steps/s", round(_steps_a_second(settings, made, folder / f"fit-{batch}"))
        with mock.patch.object(training, "can_be_graphed", return_value=False):
            few = replace(settings, steps=max(steps // 8, 4))
            yield (
                f"batch {batch}, kernel by kernel, steps/s",
                round(_steps_a_second(few, made, folder / f"fit-{batch}e")),
            )
    settings = FitSettings(batch_size=size.fit_batches[0], steps=min(steps, 400), validations=2, device="cuda")
    settings = replace(settings, checkpoint_seconds=0.0)
    whole, cut = folder / "fit-whole", folder / "fit-cut"
    for path in (whole, cut):
        shutil.rmtree(path, ignore_errors=True)
    stage.run(settings, made, whole, progress=_Notes())
    with contextlib.suppress(KeyboardInterrupt):
        stage.run(settings, made, cut, progress=_Cut(2 * settings.steps // 3))
    stage.run(settings, made, cut, progress=_Notes())
    yield "resumed equals uninterrupted, to the bit", _alike(whole / "model.safetensors", cut / "model.safetensors")


def _alike(one: Path, other: Path) -> bool:
    from mofore.cache.checkpoint import load_checkpoint

    (tensors, _), (others, _) = load_checkpoint(one), load_checkpoint(other)
    return all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


def _steps_a_second(settings: Any, made: Any, folder: Path) -> float:
    """From the first figures to the last, so that starting does not count."""
    from mofore.stages.fit import stage

    shutil.rmtree(folder, ignore_errors=True)
    notes = _Notes()
    stage.run(settings, made, folder, progress=notes)
    return notes.rate()


def finetune(folder: Path, size: Size) -> Told:
    """Frames a second of the student's backbone, end to end with decoding."""
    from mofore.data.fit_settings import FitSettings
    from mofore.data.settings import FinetuneSettings
    from mofore.stages.finetune import stage as tuning
    from mofore.stages.fit import stage

    settings, work = _settings(size), folder / "finetune"
    shutil.rmtree(work, ignore_errors=True)
    count = min(size.clips, 16)
    _, job = _store_of(folder, work, settings, _Notes(), first=count)
    made = job.load()
    fitted = FitSettings(steps=20, clip_length=8, gap_max=8, batch_size=min(8, count), validations=0, device="cuda")
    stage.run(fitted, made, work / "fit", progress=_Notes())
    digest = (job.store.encoder() or {})["weights_sha256"]
    inputs = tuning.FinetuneInputs(settings, None, digest, work / "fit", folder / "videos", job.videos, made, {})
    tuned = FinetuneSettings(steps=3 if count < 16 else 40, batch_size=min(8, count), device="cuda", warmup_steps=0)
    result = tuning.run(tuned, inputs, work / "tuned", progress=_Notes())
    yield "context frames/s", round(result.frames_per_s)
    yield "loss, first and last", f"{result.first['loss']:.3f}, {result.last['loss']:.3f}"


def search(_folder: Path, size: Size) -> Told:
    """Exact search by torch: queries a second, and whether it finds what float64 finds."""
    from mofore.stages.vectors.device import torch_search
    from mofore.stages.vectors.exact import nearest

    count, width, asked = size.vectors
    rng = np.random.default_rng(0)
    vectors_NE = rng.standard_normal((count, width), np.float32)
    vectors_NE /= np.linalg.norm(vectors_NE, axis=1, keepdims=True)
    queries_QE = vectors_NE[:asked]
    propose = torch_search(vectors_NE, torch.device("cuda"))
    for many in (1, asked):
        propose(queries_QE[:many], 10)
        begin = time.perf_counter()
        propose(queries_QE[:many], 10)
        yield f"{count:,} vectors of {width}, {many} at once, queries/s", round(many / (time.perf_counter() - begin))
    found = nearest(propose, lambda rows: vectors_NE[rows], queries_QE[:8], 10, count)
    exact = np.argsort(-(queries_QE[:8].astype(np.float64) @ vectors_NE.T.astype(np.float64)), axis=1, kind="stable")
    yield "the ten nearest are those of float64", bool(np.array_equal(found[1], exact[:, :10]))


def kill(folder: Path, size: Size) -> Told:
    """An extraction that is killed after its first shards, resumed, against one that was not."""
    settings = _settings(size, shard_seconds=0.0)
    whole, cut = folder / "kill-whole", folder / "kill-cut"
    for path in (whole, cut):
        shutil.rmtree(path, ignore_errors=True)
    first = min(size.clips * size.copies, 64)
    _store_of(folder, whole, settings, _Notes(), first=first)
    child = get_context("spawn").Process(target=_killed, args=(folder, cut, settings, first, size is SMALL))
    child.start()
    ledger, patience = cut / "ledger.jsonl", time.monotonic() + 25
    while time.monotonic() < patience and child.is_alive() and not _has_shard(ledger):
        time.sleep(0.01)
    child.kill()
    child.join()
    yield "killed while at work", child.exitcode == -9
    result, job = _store_of(folder, cut, settings, _Notes(), first=first)
    yield "videos that were left to do", result.videos
    apart = [
        np.abs(job.features(whole)[name].astype(np.float32) - rows).max() for name, rows in job.features(cut).items()
    ]
    yield "largest difference of a feature to an uninterrupted run", float(max(apart))


def _has_shard(ledger: Path) -> bool:
    return ledger.exists() and "shard" in ledger.read_text()


def _killed(folder: Path, work: Path, settings: Any, first: int, pretend: bool) -> None:
    with _gpu(pretend=pretend):
        _store_of(folder, work, settings, _Notes(), first=first)


def _settings(size: Size, **changes: Any) -> Any:
    from mofore.data.settings import ExtractSettings

    given = {
        "backbone": size.backbones[0][0],
        "image_size": size.image_size,
        "batch_size": size.batch,
        "precision": "bf16",
        "compile": "off",
        "device": "cuda",
        "processes": 1,
    }
    return ExtractSettings(**{**given, **changes})


@dataclass(frozen=True, slots=True)
class _Job:
    """A store and the videos in it."""

    store: Any
    ledger: Any
    videos: Any

    def load(self) -> Any:
        """All frames."""
        records = self.ledger.shards[self.store.key].items()
        places = {video.id: (name, row, video) for name, record in records for row, video in enumerate(record.videos)}
        return self.store.load([places[video.id] for video in self.videos])

    def features(self, work: Path) -> dict[str, np.ndarray]:
        """By video, of a store of the same videos."""
        import h5py

        found = {}
        for path in sorted((work / "store").glob("*.h5")):
            with h5py.File(path) as file:
                offsets = file["offsets"][:]
                for row, name in enumerate(file["video_id"].asstr()[:]):
                    found[name] = file["features"][offsets[row] : offsets[row + 1]].astype(np.float32)
        return found


def _store_of(folder: Path, work: Path, settings: Any, notes: _Notes, *, first: int | None = None) -> tuple[Any, _Job]:
    """Extract (the rest of) the clips, or the first of them, into ``work/store``."""
    from mofore.cache.ledger import Ledger
    from mofore.cache.store import FeatureStore
    from mofore.data.catalog import scan
    from mofore.stages.extract import stage

    work.mkdir(parents=True, exist_ok=True)
    store, ledger = FeatureStore(work / "store"), Ledger.open(work / "ledger.jsonl")
    store.clean()
    videos = scan(folder / "videos").videos[:first]
    done = {video.id for record in ledger.shards.get(store.key, {}).values() for video in record.videos}
    left = tuple(video for video in videos if video.id not in done)
    inputs = stage.ExtractInputs(folder / "videos", left, None)
    result = stage.run(settings, inputs, store=store, ledger=ledger, progress=notes)
    return result, _Job(store, ledger, videos)


def _table(videos: int, frames: int, width: int) -> Any:
    """Random features of so many videos."""
    from mofore.cache.shard import row_offsets
    from mofore.cache.store import FrameTable

    features_ND = np.random.default_rng(0).standard_normal((videos * frames, width), np.float32).astype(np.float16)
    times_s = np.tile(np.arange(frames) / 25, videos)
    return FrameTable(features_ND, times_s, row_offsets([frames] * videos), tuple(map(str, range(videos))))


class _Notes:
    """What a stage says, and how fast frames went by."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.seen: list[tuple[float, float]] = []
        self.done = 0

    def start(self, *_: object, **__: object) -> None:
        """Nothing to show."""

    def finish(self) -> None:
        """Nothing to end."""

    def pulse(self) -> None:
        """Nothing to stop."""

    def note(self, message: str) -> None:
        """Kept."""
        self.said.append(message)

    def advance(self, done: int, share: float | None = None, **figures: Any) -> None:  # noqa: ARG002
        """When how many frames, or steps, were done."""
        self.done += done
        self.seen.append((time.monotonic(), float(figures.get("frames", self.done))))

    def rate(self) -> float:
        """Frames, or steps, a second between the first news and the last."""
        batches = [(when, frames) for when, frames in self.seen if frames > 0]
        if len(batches) < 2:
            return 0.0
        (begin, before), (end, after) = batches[0], batches[-1]
        return (after - before) / max(end - begin, 1e-9)


class _Cut(_Notes):
    """Stops a run after so many pulses."""

    def __init__(self, pulses: int) -> None:
        super().__init__()
        self.left = pulses

    def pulse(self) -> None:
        """One more."""
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


STEPS: dict[str, Callable[[Path, Size], Told]] = {
    step.__name__: step
    for step in (versions, clips, forward, decode, extract, compiled, parity, fit, finetune, search, kill)
}
