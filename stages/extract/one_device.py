"""Extraction on one device: frames from the workers, batches through the backbone, videos to the writer.

Batches always have the same size (the last one is padded): a frame then goes through the same arithmetic
whatever its neighbours are (but for a GPU whose memory ran out, :mod:`.gpu_batches`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...cache.ledger import Recorder
from ...cache.partial import PartialVideo
from ...cache.store import FeatureStore
from ...data.arrays import Float16
from ...data.cores import usable_cores
from ...data.errors import StageError
from ...data.planes import PlaneLayout
from ...data.progress import Progress
from ...data.settings import ExtractSettings
from ...data.types import Failure, Video
from ..backbone import openvino_engine
from ..backbone.encoder import Encoder, load_encoder
from ..backbone.made_alike import difference, pixel_difference
from ..backbone.network import ComputeMode
from ..backbone.precision import adopt, choose
from ..decode import pool as decoding
from ..decode.source import Reading, Resume
from ..decode.windows import Window, WindowCutter
from ..decode.worker import Reader
from ..machine.allocator import keep_freed_memory
from ..machine.device import release_memory
from ..machine.processes import begin_server
from .batches import Batches
from .gpu_batches import GpuBatches
from .meter import Meter
from .shard_writer import ExtractResult, PendingVideo, ShardWriter

KNOWN_AFTER_S = 2.0  # of work, the rate is known well enough


@dataclass(frozen=True, slots=True)
class ExtractInputs:
    """What to extract."""

    root: Path  # folder of the videos
    videos: tuple[Video, ...]  # to extract
    weights: Path | None  # file of local weights, if any
    # names of shards that ``videos`` replaces; they go once every one of these is made anew
    superseded: tuple[str, ...] = ()
    shared: bool = False  # whether other machines extract other videos into the same store at the same time
    cluster: bool = False  # whether the nodes of a Ray cluster are to do it, which this process is connected to
    told_bytes: int = 0  # size of all videos, for who is told of them bit by bit

    def bytes(self) -> int:
        """Size of all videos."""
        return self.told_bytes or sum(video.size for video in self.videos)


@dataclass(frozen=True, slots=True)
class ExtractJob:
    """What every process that extracts has to know; it can be sent to one."""

    settings: ExtractSettings  # of the stage
    inputs: ExtractInputs  # what to extract
    store: FeatureStore  # where to
    read: Reader  # reads one video in a worker process


@dataclass(frozen=True, slots=True)
class Share:
    """A process's part of a job that several processes share."""

    parts: int  # number of processes
    more: Callable[[], Sequence[Video]]  # asked for further videos; none means that all are handed out


def extract_on(
    device: torch.device,
    job: ExtractJob,
    *,
    recorder: Recorder,
    progress: Progress,
    share: Share | None = None,
    leave_when: Callable[[float], bool] = lambda _seconds: False,
) -> ExtractResult:
    """Extract the job's videos on ``device`` into its store.

    Args:
        device: where the backbone runs.
        job: the whole of it, whoever does parts of it.
        recorder: told of every shard and failure.
        progress: told how it goes.
        share: which of the videos, if other processes do the rest.
        leave_when: asked once, after :data:`KNOWN_AFTER_S` of work, with the seconds that the rest would take;
            if so, the rest is left.
    """
    keep_freed_memory()
    begin_server()
    check_engine(job.store, job.settings, device)
    encoder = load_encoder(job.settings, job.inputs.weights, device)
    check_same_encoder(job.store, encoder)
    if share is None:  # else the process that shares out has said it
        for note in encoder.notes:
            progress.note(note)
    writer = ShardWriter(job.store, recorder, job.settings)
    meter = Meter(job.inputs.bytes() // (share.parts if share else 1))
    try:
        with _pool(job, encoder, share) as pool:
            if pool.unpinned:
                progress.note("this system lets no memory be locked: copies to the GPU are not made beside its work")
            _Extraction(job, encoder, meter, writer, progress, leave_when).consume(pool)
    finally:  # also on Ctrl-C: what is finished is kept
        writer.close()
        del encoder
        release_memory()
    return writer.result


def _pool(job: ExtractJob, encoder: Encoder, share: Share | None) -> decoding.DecodePool:
    def resume(video_id: str) -> Resume | None:
        commit = PartialVideo(job.store.partial_folder, video_id).committed()
        return Resume(commit.frames, commit.sha256) if commit else None

    settings, on_gpu = job.settings, encoder.device.type == "cuda"
    workers = settings.decoders or max(1, len(usable_cores()) // (share.parts if share and on_gpu else 1))
    return decoding.DecodePool(
        job.inputs.root,
        () if share else job.inputs.videos,
        Reading(
            encoder.preprocess,
            settings.sampling(),
            settings.image_fps,
            planes=on_gpu,
            keep_damaged=settings.damaged == "keep",
            row_frames=1 if encoder.windows is None else encoder.windows.hop,
        ),
        decoding.PoolSettings.feeding(encoder.device, workers=workers, stall_s=settings.stall_seconds, read=job.read),
        more=share.more if share else tuple,
        resume=resume,
    )


def check_same_encoder(store: FeatureStore, encoder: Encoder) -> None:
    """Refuse to add to a store what another encoder of the same name would give (a hub may replace weights).

    Raises:
        StageError: if the store was begun with other weights, the same were otherwise built or preprocessed for, or
            its frames were made in other colours or on another device.
    """
    pinned = store.encoder() or {}
    differs = difference(pinned, encoder)
    if differs and pinned.get("weights_sha256") != encoder.provenance["weights_sha256"]:
        raise StageError(
            f"the weights of {encoder.provenance['backbone']} are not those that '{store.folder}' was begun with: "
            "give the old ones with --weights, or move that folder away to extract everything with the new ones"
        )
    if differs:
        raise StageError(
            f"'{store.folder}' was begun with the {differs}: move that folder away to extract everything anew"
        )
    other_pixels = pixel_difference(pinned, encoder) if pinned else None
    if other_pixels:
        wish = pinned.get("pixels", {}).get("device", "cpu")
        go_on = f"go on with `--set extract.device={wish}`, or " if wish != encoder.device.type else ""
        raise StageError(
            f"'{store.folder}' was begun with {other_pixels}: {go_on}move that folder away to extract everything anew"
        )


def check_engine(store: FeatureStore, settings: ExtractSettings, device: torch.device) -> None:
    """Refuse to add to a store what another engine than its own would give.

    Raises:
        ConfigError: if ``extract.engine = openvino`` and it is not installed, or ``device`` is not the processor.
        StageError: if the store was begun with OpenVINO, which ``extract.engine = auto`` had found the faster one, and
            it is not to be had now.
    """
    if settings.engine == "openvino":
        openvino_engine.check_usable(device)
    if ComputeMode.of(store.encoder() or {}).engine == "torch":
        return
    ways = []
    if settings.engine == "torch":
        ways.append("go on with `--set extract.engine=auto`")
    if device.type != "cpu":
        ways.append("go on with `--set extract.device=cpu`")
    if not openvino_engine.is_installed():
        ways.append(f"install it ({openvino_engine.INSTALL})")
    if ways:
        raise StageError(
            f"'{store.folder}' was begun with the engine openvino: {' and '.join(ways)}, or move that folder away to "
            "extract everything anew"
        )


class _Extraction:
    """Turns the events of the workers into features, batch by batch."""

    def __init__(
        self,
        job: ExtractJob,
        encoder: Encoder,
        meter: Meter,
        writer: ShardWriter,
        progress: Progress,
        leave_when: Callable[[float], bool],
    ) -> None:
        self._settings, self._store = job.settings, job.store
        self._writer, self._progress, self._meter = writer, progress, meter
        # Also of a shard whose frames were all known before.
        writer.provenance = writer.result.encoder = job.store.encoder() or {}
        self._leave_when: Callable[[float], bool] | None = leave_when
        self._settled = False
        self._pending: dict[int, PendingVideo] = {}
        self._tries: dict[str, int] = {}  # video -> key of the try whose frames count
        size = job.settings.batch_size
        on_gpu = encoder.device.type == "cuda"
        self._batches = GpuBatches(encoder, size, progress.note) if on_gpu else Batches(encoder, size)
        self._void: set[int] = set()  # tries that were given up here, though their worker went on
        self._windows = encoder.windows
        self._cutters: dict[int, WindowCutter] = {}  # of a clip backbone: of each try
        writer.result.row = "window" if encoder.windows else "frame"

    def consume(self, events: Iterable[decoding.PoolEvent]) -> None:
        """Take every event; when it returns, each video has been handed to the writer or failed, or it has left."""
        try:
            for event in self._meter.waiting(events):
                self._progress.pulse()
                self._take(event)
                if self._writer.is_due():
                    self._writer.flush(self._pending.values())
                if self._leaves():
                    return
            self._forward(last=True)
        finally:
            self._writer.result.seconds = self._meter.seconds
            self._writer.flush(self._pending.values())

    def _leaves(self) -> bool:
        """Whether the rest is left to others, which is asked once."""
        if self._leave_when is None or self._meter.working_s() < KNOWN_AFTER_S:
            return False
        leave_when, self._leave_when = self._leave_when, None
        return leave_when(self._meter.frames_to_come() / self._meter.rate())

    def _take(self, event: decoding.PoolEvent) -> None:
        match event:
            case decoding.VideoStarted():
                self._start(event)
            case decoding.VideoFrames():
                self._meter.decoded(event)
                if event.key in self._pending:
                    if event.key in self._cutters:
                        frames_BCHW = self._batches.prepare(event.pixels, event.layout)
                        self._fill_windows(event.key, self._cutters[event.key].cut(frames_BCHW, event.times_s))
                    else:
                        self._pending[event.key].expect(event.times_s)
                        self._fill(event.key, event.pixels, event.layout)
                    reader = self._batches.taken()
                    if reader is not None:
                        event.held.append(reader)
            case decoding.VideoFinished():
                if event.key in self._cutters:
                    self._fill_windows(event.key, self._cutters.pop(event.key).rest())
                if event.key in self._pending:
                    if event.damage:
                        self._writer.result.damaged[self._pending[event.key].video_id] = event.damage
                    self._pending[event.key].ended = True
                    self._release(event.key)
            case decoding.VideoFailed() if event.key not in self._void:
                self._fail(event.failure)
            case decoding.Idle():
                self._show(0)

    def _start(self, event: decoding.VideoStarted) -> None:
        video_id = event.video.id
        self._forget(video_id)
        self._tries[video_id] = event.key
        self._pending[event.key] = PendingVideo(video_id, event.start, self._store.partial_folder)
        if self._windows is not None:
            self._cutters[event.key] = WindowCutter(self._windows, event.start.skipped)
        self._meter.started(event)

    def _fill(self, key: int, pixels: Tensor, layout: PlaneLayout | None = None) -> None:
        taken = 0
        while taken < len(pixels):
            taken += self._batches.put(key, pixels[taken:], layout)
            if self._batches.is_full():
                self._forward()

    def _fill_windows(self, key: int, windows: Iterable[Window]) -> None:
        for window in windows:
            if key not in self._pending:  # a window before was not sound
                return
            self._pending[key].expect((window.start_s,), (window.end_s,))
            self._fill(key, window.frames_TCHW.permute(0, 2, 3, 1)[None])

    def _forward(self, *, last: bool = False) -> None:
        """Run the batch, and take what has come back of earlier ones; of all, if it is the last."""
        if self._batches.filled and not self._settled:
            self._settle()
        with self._meter.timing("forward"):
            self._meter.frames += self._batches.filled
            if self._batches.filled:
                self._batches.run()
            back = list(self._batches.results(last=last))
        for owners, features_BD in back:
            row = 0
            for key, count in owners:
                self._receive(key, features_BD[row : row + count])
                row += count
        self._show(0)

    def _receive(self, key: int, features_BD: Float16) -> None:
        pending = self._pending.get(key)
        if pending is None:  # a video that failed meanwhile is forgotten
            return
        finite_B = np.isfinite(features_BD).all(axis=1)
        if not finite_B.all():
            frame = pending.frames + int(np.argmin(finite_B))
            self._void.add(key)
            self._fail(
                Failure(pending.video_id, pending.source, f"the feature of frame {frame} is not finite in float16")
            )
            return
        pending.add(features_BD.copy())
        self._release(key)

    def _release(self, key: int) -> None:
        """Hand a video on once it ended and all of its frames came back."""
        pending = self._pending[key]
        if self._windows is not None and pending.is_empty():
            self._fail(
                Failure(pending.video_id, pending.source, f"shorter than a window of {self._windows.length} frames")
            )
        elif pending.is_whole():
            del self._pending[key], self._tries[pending.video_id]
            self._meter.finished(pending.source.size)
            self._writer.add(pending)
            self._show(1)

    def _fail(self, failure: Failure) -> None:
        if failure.passing:
            self._keep(failure.video_id)
        self._forget(failure.video_id)
        self._meter.finished(failure.source.size)
        self._writer.fail(failure)
        self._show(1)

    def _keep(self, video_id: str) -> None:
        """Make safe what there is of a long video that went out of reach: the next run goes on from there."""
        key = self._tries.pop(video_id, None)
        if key is not None:
            self._cutters.pop(key, None)
            self._pending.pop(key).secure(self._settings.shard_seconds)

    def _forget(self, video_id: str) -> None:
        """Drop the frames of an earlier try; rows of the batch that are its own are passed over later."""
        key = self._tries.pop(video_id, None)
        if key is not None:
            self._cutters.pop(key, None)
            self._pending.pop(key).discard()

    def _show(self, videos: int) -> None:
        result = self._writer.result
        self._meter.seconds["write"] = self._writer.waited_s
        self._progress.advance(
            videos,
            share=self._meter.share(),
            rows=self._meter.frames,
            row=result.row,
            failed=len(result.failures),
            bottleneck=self._meter.bottleneck(),
        )

    def _settle(self) -> None:
        """Take the arithmetic that the store was begun with, or choose and pin it."""
        pinned, batches, note = self._store.encoder(), self._batches, self._progress.note
        chosen, own = dict[str, Any](), None

        def choosing() -> Encoder:
            to_come = self._meter.frames_to_come()
            encoder, found = choose(
                batches.encoder, self._settings, batches.frames(), frames_to_come=to_come, note=note
            )
            chosen.update(found)
            return encoder

        if pinned is None:
            batches.encoder = batches.trying(choosing)
            own = {**batches.encoder.provenance, **chosen}
            pinned = self._store.begin(own)
            note(describe_arithmetic(pinned))
        if pinned is not own:  # it was begun before, or by another machine meanwhile
            check_same_encoder(self._store, batches.encoder)
            mode = pinned_mode(pinned, self._settings)
            batches.encoder = batches.trying(lambda: adopt(batches.encoder, mode, batches.frames(), note))
        self._writer.provenance = self._writer.result.encoder = pinned
        self._settled = True
        self._meter.begin()


def pinned_mode(pinned: dict[str, Any], settings: ExtractSettings) -> ComputeMode:
    """The arithmetic of a store; ``extract.compile`` may say otherwise, as that changes the last digit only."""
    mode = ComputeMode.of(pinned)
    if settings.compile == "auto" or mode.engine != "torch":
        return mode
    return replace(mode, compiled=settings.compile == "on")


def describe_arithmetic(pinned: dict[str, Any]) -> str:
    """One line: what was chosen, how near it is to plain fp32, and what was refused."""
    chosen = ComputeMode.of(pinned)
    measured = pinned["measured"]
    floor = measured["cosine_floor"]
    rows = f"{measured['frames']} {'windows' if pinned.get('windows') else 'frames'}"
    least = f"centred cosine to fp32 of {rows} at least {measured['cosine_min']:.4f}"
    told = f"computed in {chosen}: {least}{_rates(measured)}"
    refused = [
        f"{name} ({cosine:.4f})"
        for name, cosine in measured["tried_cosine_min"].items()
        if cosine < floor and name != str(chosen)
    ]
    return told + (f"; refused, below {floor:g}: {', '.join(refused)}" if refused else "")


def _rates(measured: dict[str, Any]) -> str:
    """How fast the engines are, where several were tried."""
    rates = measured["frames_per_s"]
    if not any("openvino" in name for name in rates) or len(rates) < 2:
        return ""
    return f"; frames/s of {', '.join(f'{name}: {rate:,.0f}' for name, rate in rates.items())}"
