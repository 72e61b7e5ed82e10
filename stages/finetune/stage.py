"""Finetune: train the last blocks of the backbone from pixels, beginning at the cached solution (optional).

The same pairs, teacher and objective as a fit's, but eqs. (4)-(6) of arXiv 2606.14765 as they are printed: the encoder
is trained, and the teacher averages it too. The result is a file of weights, that is, another encoder: extraction with
it goes into a store of its own, and the rest of the road follows. One process, one device. Labels never come here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...cache.atomic import write_json
from ...cache.checkpoint import save_checkpoint
from ...cache.store import FrameTable
from ...data.errors import ConfigError, StageError
from ...data.fit_settings import FitSettings
from ...data.progress import Progress
from ...data.settings import ExtractSettings, FinetuneSettings
from ...data.types import Video
from ...data.wording import counted
from ..backbone.blocks import Block, last_blocks
from ..backbone.encoder import Encoder, load_encoder
from ..backbone.tuned_weights import ENCODER, describe_encoder
from ..decode.source import Reading
from ..decode.wanted import read_wanted
from ..decode.worker import Reader
from ..frames.memory import FrameTensors
from ..frames.sampler import make_sampler
from ..machine.device import has_bfloat16, pick_device
from ..model.loop import LOG
from ..model.saved import load_forecaster
from .end_to_end import EndToEnd
from .pixel_batches import PixelSource
from .tuning import Tuning

WEIGHTS, DESCRIPTION = "backbone.safetensors", "finetune.json"
OUTPUTS = (WEIGHTS, DESCRIPTION, LOG)


@dataclass(frozen=True, slots=True)
class FinetuneInputs:
    """What is tuned, and on what."""

    extract: ExtractSettings  # settings that the store was made with
    weights: Path | None  # file of the encoder's local weights, if any
    weights_sha256: str  # digest of the weights that the store was made with
    fit_folder: Path  # of the fit to begin from
    root: Path  # folder of the videos
    videos: tuple[Video, ...]  # training videos
    table: FrameTable  # their frames, in the same order
    provenance: dict[str, Any]  # store and fit, by name


@dataclass(frozen=True, slots=True)
class FinetuneResult:
    """What was tuned: steps of this run, videos, why some were left out, first and last figures, frames a second."""

    steps_run: int
    videos: int
    failed: dict[str, str]
    first: dict[str, float]
    last: dict[str, float]
    frames_per_s: float

    def summary(self) -> str:
        """One line for the console: steps, videos, how loss and cosine changed, and the rate."""
        failed = f", {len(self.failed)} could not be read" if self.failed else ""
        changes = ", ".join(f"{name} {self.first[name]:.3f} -> {self.last[name]:.3f}" for name in ("loss", "cosine"))
        made = f"{counted(self.steps_run, 'step')} on {counted(self.videos, 'video')}{failed}"
        return f"{made}, {changes}, {self.frames_per_s:,.0f} context frames/s"


def run(
    settings: FinetuneSettings, inputs: FinetuneInputs, folder: Path, *, progress: Progress, read: Reader = read_wanted
) -> FinetuneResult:
    """Tune and publish the backbone's weights into ``folder``; resumes from its checkpoint.

    Args:
        settings: of the stage.
        inputs: what is tuned, and on what.
        folder: for the weights, their description, the log and checkpoints.
        progress: who is told.
        read: reads frames of one video in a worker process.

    Raises:
        BackboneError: if the backbone has not so many blocks, or cannot be loaded.
        StageError: if the stored features are not the backbone's, or the loss is no longer finite.
        TooManyFailures: if too many videos cannot be read.
    """
    device = pick_device(settings.device)
    encoder = load_encoder(inputs.extract, inputs.weights, device)
    if encoder.provenance["weights_sha256"] != inputs.weights_sha256:
        raise StageError(
            f"the weights of {encoder.provenance['backbone']} are not those that the store was made with (did the hub "
            "replace them?): give the old ones with extract.weights"
        )
    for note in encoder.notes:
        progress.note(note)
    forecaster, fit = load_forecaster(inputs.fit_folder)
    if fit.objective != FitSettings.objective:
        raise StageError(
            f"fit.objective = {fit.objective!r}: end-to-end fine-tuning goes on with the paper's objective alone; fit "
            f"with fit.objective = {FitSettings.objective!r} first"
        )
    forecaster.train().to(device)
    blocks = last_blocks(encoder, settings.blocks, decay=settings.layer_decay)
    bfloat16 = settings.precision == "bf16" or (settings.precision == "auto" and has_bfloat16(device))
    networks = EndToEnd(encoder, forecaster, blocks, fit, bfloat16=bfloat16, checkpointing=settings.recompute)
    source = _source(settings, fit, inputs, encoder, progress, read)
    tuning = Tuning(settings, fit, source, networks, folder)
    begin = time.monotonic()
    steps_run = tuning.train(progress)
    rate = tuning.frames / max(time.monotonic() - begin, 1e-9)
    for video_id, reason in source.failed.items():
        progress.note(f"left out: '{video_id}': {reason}")
    if not tuning.last:
        raise StageError(f"no video could be read: {next(iter(source.failed.items()))}")
    _publish(inputs, encoder, tuning, _rates(settings, blocks))
    return FinetuneResult(steps_run, tuning.videos, source.failed, tuning.first, tuning.last, rate)


def _source(
    settings: FinetuneSettings,
    fit: FitSettings,
    inputs: FinetuneInputs,
    encoder: Encoder,
    progress: Progress,
    read: Reader,
) -> PixelSource:
    """The pairs of a fit of these settings, but for its number of steps, batch size and seed."""
    if fit.sees_history:
        raise StageError(
            'fit.predictor = "history": end-to-end fine-tuning reads the pixels of clips alone, not of all that came '
            'before them; fit with another predictor (fit.preset = "default") first'
        )
    try:
        sampled = replace(fit, steps=settings.steps, batch_size=settings.batch_size, seed=settings.seed)
    except ConfigError as error:
        raise ConfigError(f"finetune.batch_size = {settings.batch_size}: {error}") from error
    memory = FrameTensors.of(inputs.table, torch.device("cpu"))
    usable_V = memory.usable_V(fit.gap_least, fit.unit)
    if len(usable_V) < 2:
        raise StageError(
            f"{counted(len(usable_V), 'training video is', 'training videos are')} long enough for two clips with a "
            "gap between (fit.clip_length, fit.gap_min); at least 2 are needed: shorter clips or gaps, or more videos"
        )
    return PixelSource(
        make_sampler(sampled, memory, usable_V),
        inputs.videos,
        inputs.root,
        Reading(
            encoder.preprocess,
            inputs.extract.sampling(),
            inputs.extract.image_fps,
            planes=encoder.device.type == "cuda",
            keep_damaged=inputs.extract.damaged == "keep",
        ),
        encoder.device,
        settings.frames,
        settings.accumulation,
        settings.decoders,
        tick=progress.pulse,
        read=read,
    )


def _rates(settings: FinetuneSettings, blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """The table of learning rates, the last block first."""
    return [{"first": block.names[0], "tensors": len(block.names), "lr": settings.lr * block.share} for block in blocks]


def _publish(inputs: FinetuneInputs, encoder: Encoder, tuning: Tuning, rates: list[dict[str, Any]]) -> None:
    """The weights under the names that the backbone's library gives them, and how they were made."""
    settings, folder = tuning.settings, tuning.loop.folder
    chosen = tuning.networks.teacher_model if settings.publish == "teacher" else tuning.networks.model
    described = {
        "method": "MoFore end to end, arXiv 2606.14765",
        "backbone": encoder.provenance["backbone"],
        "image_size": inputs.extract.image_size,
        "preprocess": encoder.provenance["preprocess"],
        "quick_gelu": encoder.provenance["quick_gelu"],
        "weights_before": {name: encoder.provenance[name] for name in ("weights", "weights_sha256", "seed")},
        **inputs.provenance,
        "settings": settings.identity(),
        "rates": rates,
        "batch_norm": "statistics frozen, scales and shifts of trained blocks trained",
        "precision": "bf16" if tuning.networks.bfloat16 else "fp32",
        "videos": tuning.videos,
        "left_out": tuning.source.failed,
        "steps_passed_over": tuning.passed_over,
        "agreement": tuning.agreement,
        "first_step": tuning.first,
        "last_step": tuning.last,
        "teacher_drift": tuning.networks.teacher_drift(),
        "torch": torch.__version__,
    }
    meta = {
        "backbone": described["backbone"],
        "settings": settings.identity(),
        ENCODER: describe_encoder(encoder.provenance),
        **inputs.provenance,
    }
    save_checkpoint(folder / WEIGHTS, chosen.state_dict(), meta)
    write_json(folder / DESCRIPTION, described)
