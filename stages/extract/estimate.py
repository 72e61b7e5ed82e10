"""Estimate: how long extraction would take here, from a few batches of the user's own videos."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ...data.cores import usable_cores
from ...data.errors import StageError
from ...data.settings import ExtractSettings
from ...data.types import Video
from ..backbone.encoder import Encoder, load_encoder
from ..backbone.network import ComputeMode
from ..backbone.precision import choose
from ..decode.device_preprocess import FromPlanes
from ..decode.pool import DecodePool, PoolSettings, VideoFinished, VideoFrames, VideoStarted
from ..decode.source import Reading
from ..decode.windows import Windowing
from ..machine.allocator import keep_freed_memory
from ..machine.device import pick_places
from .batches import rows_of_batch

SAMPLE = 16  # videos looked into, spread over the whole set
READ_S = 3.0  # most time spent on reading them
FORWARD_S = 1.0  # about the time of a forward pass that is measured


@dataclass(frozen=True, slots=True)
class Estimate:
    """What extraction would cost."""

    devices: tuple[torch.device, ...]  # what it would run on
    frames: int  # of all videos, from what the containers of a few promise for each byte
    frames_per_s: float  # forward pass and reading together, without compiling
    arithmetic: ComputeMode  # what the forward pass was measured in
    measured_frames: int  # so many frames, or windows of a clip backbone, were in the measured batch
    store_bytes: int  # size of the features
    notes: tuple[str, ...] = ()  # what the user should know of how the backbone was made

    @property
    def seconds(self) -> float:
        """Time that extraction would take."""
        return self.frames / self.frames_per_s


@dataclass(slots=True)
class _Sample:
    """What was read of a few videos: frames (n, 3, H, W), their cost, and what the containers promise."""

    pixels: list[Tensor]
    prepare_s: float = 0.0  # of these frames, on the device
    read_s: float = 0.0
    frames: int = 0
    expected_frames: int = 0
    expected_bytes: int = 0

    def expect(self, frames: int, video: Video) -> None:
        """A video has so many frames."""
        self.expected_frames += frames
        self.expected_bytes += video.size


def run(settings: ExtractSettings, root: Path, videos: Sequence[Video], weights: Path | None) -> Estimate:
    """Estimate the extraction of ``videos``.

    Args:
        settings: of the stage ``extract``.
        root: folder of the videos.
        videos: all of them.
        weights: file of local weights, if any.

    Raises:
        BackboneError: if the backbone or its weights cannot be used.
        StageError: if the weights cannot be had, or no frame be read.
    """
    keep_freed_memory()
    places = pick_places(settings.device, settings.processes)[: len(videos)]
    devices = tuple(dict.fromkeys(place.device for place in places))
    encoder = load_encoder(settings, weights, devices[0])
    rows, windows = rows_of_batch(encoder, settings.batch_size), encoder.windows
    sample = _read(settings, root, videos, encoder, rows * (windows.length if windows else 1))
    if not sample.pixels:
        raise StageError(f"no frame could be read from {min(SAMPLE, len(videos))} of the videos")
    frames_NCHW = torch.cat(sample.pixels).contiguous(memory_format=torch.channels_last)
    frames_BCHW = _rows(frames_NCHW, encoder.windows)[:rows]
    frames_BCHW = frames_BCHW[: _affordable(encoder, frames_BCHW)]
    encoder, chosen = choose(
        encoder, replace(settings, compile="off"), frames_BCHW, frames_to_come=0, note=lambda _text: None
    )
    hop = windows.hop if windows else 1  # frames of a row
    forward_s = 1 / chosen["measured"]["frames_per_s"][str(encoder.arithmetic)] / hop
    forward_s += sample.prepare_s / sum(map(len, sample.pixels))
    read_s = sample.read_s / sample.frames / (settings.decoders or len(usable_cores()))
    # A processor does the one after the other; beside a GPU's work the processor's costs nothing.
    frame_s = forward_s + read_s if encoder.device.type == "cpu" else max(forward_s / len(devices), read_s)
    total_bytes = sum(video.size for video in videos)
    frames = round(sample.expected_frames * total_bytes / max(1, sample.expected_bytes))
    width = encoder.encode(frames_BCHW[:1]).shape[1]
    store_bytes = 2 * frames * width // hop
    return Estimate(devices, frames, 1 / frame_s, encoder.arithmetic, len(frames_BCHW), store_bytes, encoder.notes)


def _read(settings: ExtractSettings, root: Path, videos: Sequence[Video], encoder: Encoder, batch: int) -> _Sample:
    """Frames of a few videos, each from its start; in a worker, for a decoder may crash."""
    sample, waiting, begin = _Sample([]), batch, time.monotonic()
    spread = videos[:: -(-len(videos) // SAMPLE)]
    on_gpu = encoder.device.type == "cuda"
    reading = Reading(encoder.preprocess, settings.sampling(), settings.image_fps, planes=on_gpu)
    silent: dict[int, Video] = {}  # whose containers promise nothing: what came of them counts, if they end in time
    came: dict[int, int] = {}
    with DecodePool(root, spread, reading, PoolSettings(1, settings.stall_seconds)) as pool:
        for event in pool:
            if isinstance(event, VideoStarted) and event.start.expected_frames:
                sample.expect(event.start.expected_frames, event.video)
            elif isinstance(event, VideoStarted):
                silent[event.key] = event.video
                came[event.key] = 0
            elif isinstance(event, VideoFinished) and event.key in silent:
                sample.expect(came[event.key], silent[event.key])
            elif isinstance(event, VideoFrames):
                came[event.key] = came.get(event.key, 0) + len(event.pixels)
                sample.frames += len(event.pixels)
                sample.read_s += event.decode_s + event.preprocess_s
                if waiting > 0:
                    sample.pixels.append(_prepared(event, encoder, waiting, sample))
                    waiting -= len(event.pixels)
            if time.monotonic() - begin > READ_S and sample.pixels:
                break
    return sample


def _rows(frames_NCHW: Tensor, windows: Windowing | None) -> Tensor:
    """What the network takes: frames (N, C, H, W); or windows of them (N / T, T, C, H, W), at least one."""
    if windows is None:
        return frames_NCHW
    missing = max(0, windows.length - len(frames_NCHW))
    frames_NCHW = torch.cat([frames_NCHW, frames_NCHW[-1:].expand(missing, -1, -1, -1)])
    whole = len(frames_NCHW) // windows.length
    return frames_NCHW[: whole * windows.length].reshape(whole, windows.length, *frames_NCHW.shape[1:])


def _prepared(event: VideoFrames, encoder: Encoder, most: int, sample: _Sample) -> Tensor:
    """Frames (n, 3, H, W) on the device, by the road of extraction, and their cost there."""
    pixels = event.pixels[:most].clone().to(encoder.device)
    if event.layout is None:
        return pixels.permute(0, 3, 1, 2)
    road = FromPlanes.of(event.layout, encoder.preprocess, encoder.device)
    road(pixels)  # the first call chooses kernels
    torch.cuda.synchronize(encoder.device)
    begin = time.perf_counter()
    frames_NCHW = road(pixels)
    torch.cuda.synchronize(encoder.device)
    sample.prepare_s += time.perf_counter() - begin
    return frames_NCHW


def _affordable(encoder: Encoder, frames_BCHW: Tensor) -> int:
    """How many frames the plain forward pass takes in about :data:`FORWARD_S`; the first pass warms up."""
    for _ in range(2):
        begin = time.perf_counter()
        encoder.encode(frames_BCHW[:1])
        frame_s = time.perf_counter() - begin
    return max(1, min(len(frames_BCHW), int(FORWARD_S / frame_s)))
