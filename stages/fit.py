"""Fit: train student, predictor and teacher on cached features by forecasting (arXiv 2606.14765).

The store is loaded once, or read from its files where it is larger than memory; a step is index arithmetic, one
forward and backward pass of small networks, an optimiser step and the teacher's update. Checkpoints hold everything a
step depends on, so a run that was killed goes on as if it had not been. Labels never come here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..cache.atomic import write_json
from ..cache.checkpoint import load_checkpoint, remove_numbered, save_checkpoint
from ..cache.store import FrameTable
from ..data.errors import StageError
from ..data.progress import Progress, Silent
from ..data.settings import FitSettings
from ..data.short_videos import ShortVideos
from .device import pick_device
from .epochs import Sampler
from .forecaster import Forecaster, make_forecaster
from .frame_memory import FrameMemory
from .lookalikes import Lookalikes
from .ranks import Ranks
from .residency import has_room_for_sums
from .team import Alone, Team
from .training import BEST, LOG, LOOKS, Training
from .watch import Watch

MODEL, DESCRIPTION = "model.safetensors", "model.json"
OUTPUTS = (MODEL, DESCRIPTION, LOG, LOOKS)
SUMS_REPAY = 2.0  # prefix sums are made when the run reads this many times the store's frames


@dataclass(frozen=True, slots=True)
class FitResult:
    """What was trained: steps in all, steps of this run, videos used, held out and left out, the last figures."""

    steps: int
    steps_run: int
    videos: int
    held_out: int
    too_short: int
    kept_step: int
    last: dict[str, float]


@dataclass(frozen=True, slots=True)
class FitJob:
    """What a fit is made of.

    Attributes:
        settings: of the fit.
        table: frames of the training videos.
        folder: for the model, the log and checkpoints.
        groups: recording that each video was cut from, or None; what is held out, is held out by whole groups.
    """

    settings: FitSettings
    table: FrameTable
    folder: Path
    groups: tuple[str | None, ...] = ()

    def memory(self, device: torch.device) -> tuple[FrameMemory, Tensor, Tensor]:
        """The frames on ``device``, and positions of the held-out and the training videos.

        Raises:
            StageError: if there are too few training videos.
        """
        settings, memory = self.settings, FrameMemory.of(self.table, device)
        usable_V = memory.usable_V(settings.gap_least, settings.unit).cpu()
        held_V, trained_V = _hold_out(usable_V, self.table.ids, self.groups, settings.validation)
        if len(trained_V) < 2:
            raise StageError(self._too_few(memory, len(trained_V), len(held_V)))
        return memory, held_V, trained_V

    def _too_few(self, memory: FrameMemory, trained: int, held: int) -> str:
        """Why there is nothing to train on, and what would help."""
        settings, videos = self.settings, len(memory.frames_V)
        short = ShortVideos.of(memory.extent_V(settings.unit).tolist(), settings)
        if videos < 2:
            way_out = "more videos on the training side (data.split, data.train_fraction)"
        elif trained + held >= 2:
            way_out = "a smaller fit.validation"
        else:
            way_out = f"shorter clips and gaps: {short.advice}"
        return (
            f"at least 2 training videos are needed that can hold two clips of {settings.span:g} {settings.unit} with "
            f"a gap of {settings.gap_least:g} between, and are not held out; of {videos:,} there are {trained:,} "
            f"({held:,} held out). What would help: {way_out}"
        )


def run(
    settings: FitSettings,
    table: FrameTable,
    folder: Path,
    *,
    progress: Progress,
    groups: Sequence[str | None] = (),
    team: Team | None = None,
) -> FitResult:
    """Train on the videos of ``table`` and publish the model into ``folder``; resumes from its checkpoint.

    Args:
        settings: of the fit.
        table: frames of the training videos.
        folder: for the model, the log and checkpoints.
        progress: who is told.
        groups: recording that each video was cut from, or None; what is held out, is held out by whole groups.
        team: the processes that share the run; None: this one alone.

    Raises:
        StageError: if there are too few videos, the loss is no longer finite, the embeddings collapse, the team
            cannot share a batch evenly, or one of it is lost.
    """
    job, team = FitJob(settings, table, folder, tuple(groups)), team or Alone()
    del table  # a team reads a copy that all of it share
    _refuse_uneven(job, team.size)
    with team.at_work(job, assist, progress=progress) as (job, ranks):
        training, result = _train(job, ranks, progress)
    _publish(training.forecaster, job, result, team.size)
    return result


def assist(job: FitJob, ranks: Ranks) -> None:
    """Train as one of several processes, of which the first tells, looks and writes.

    Raises:
        RankLost: if another process is lost.
    """
    _train(job, ranks, Silent())


def _train(job: FitJob, ranks: Ranks, progress: Progress) -> tuple[Training, FitResult]:
    settings = job.settings
    memory, held_V, trained_V = job.memory(pick_device(settings.device))
    short = ShortVideos.of(memory.extent_V(settings.unit).tolist(), settings)
    if not short.few:
        progress.note(short.told("training videos"))
    forecaster = make_forecaster(memory.width, settings).to(memory.device)
    watch = Watch(settings, memory, held_V, trained_V, job.table.ids)
    sampler = make_sampler(settings, memory, trained_V, ranks=ranks)
    training = Training(settings, sampler, forecaster, watch, job.folder, ranks)
    steps_run, kept = training.train(progress), settings.steps
    if settings.keep == "best" and training.best is not None:
        training.use_best()
        kept = int(training.best["step"])
    unused = len(memory.frames_V) - len(trained_V) - len(held_V)
    return training, FitResult(settings.steps, steps_run, len(trained_V), len(held_V), unused, kept, training.last)


def _refuse_uneven(job: FitJob, size: int) -> None:
    """Find out before anything is started that a batch cannot be shared."""
    if size > 1:
        memory, _, trained_V = job.memory(torch.device("cpu"))
        Ranks(0, size).share(Sampler(job.settings, memory, trained_V).contexts_per_batch)


def make_sampler(
    settings: FitSettings, memory: FrameMemory, trained_V: Tensor, *, ranks: Ranks | None = None
) -> Sampler:
    """The sampler of a run, with prefix sums and look-alikes where they are wanted."""
    ranks, lookalikes = ranks or Ranks(), None
    if settings.neighbours or settings.negatives == "lookalike":
        lookalikes = ranks.first(lambda: Lookalikes.of(memory, trained_V, settings.neighbours))
    read = 2.0 * settings.steps * settings.batch_size * settings.clip_length
    repaid = settings.aggregator == "mean" and settings.dense and read > SUMS_REPAY * len(memory.frames)
    if repaid and ranks.first(lambda: has_room_for_sums(memory, settings.memory_gb)):
        memory = _with_prefix_sums(memory, ranks)
    return Sampler(settings, memory, trained_V, lookalikes)


def forget_checkpoint(folder: Path) -> None:
    """Delete what a run would resume from: the run is recorded as finished, or is to begin anew."""
    remove_numbered(folder)
    (folder / BEST).unlink(missing_ok=True)


def load_forecaster(folder: Path) -> tuple[Forecaster, FitSettings]:
    """The trained networks of a fit folder, on the CPU, in evaluation mode.

    Raises:
        StoreError: if the model file is damaged or missing.
    """
    tensors, meta = load_checkpoint(folder / MODEL)
    settings = FitSettings(**meta["settings"])
    forecaster = Forecaster(meta["width"], settings)
    forecaster.load_state_dict(tensors)
    return forecaster.eval(), settings


def _with_prefix_sums(memory: FrameMemory, ranks: Ranks) -> FrameMemory:
    """On a processor the sums are there once for all processes; each GPU has memory of its own."""
    if ranks.size == 1 or memory.device.type != "cpu":
        return memory.with_prefix_sums()
    return replace(memory, prefix_MD=ranks.common(*memory.prefix_shape, fill=memory.sum_into))


def _hold_out(
    usable_V: Tensor, ids: Sequence[str], groups: Sequence[str | None], share: float
) -> tuple[Tensor, Tensor]:
    """Held-out and training videos: whole groups, chosen by the hash of their names until the share is reached."""
    if share <= 0 or not len(usable_V):
        return usable_V[:0], usable_V
    names = [(groups[row] if groups else None) or ids[row] for row in usable_V.tolist()]
    wanted, held, count = share * len(names), set[str](), 0
    for name in sorted(set(names), key=lambda text: hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()):
        size = names.count(name)
        if held and count + size > wanted:
            break
        held.add(name)
        count += size
    chosen_V = torch.tensor([name in held for name in names])
    return usable_V[chosen_V], usable_V[~chosen_V]


def _publish(forecaster: Forecaster, job: FitJob, result: FitResult, processes: int) -> None:
    table, folder = job.table, job.folder
    meta = {"settings": job.settings.identity(), "width": table.features_ND.shape[1]}
    save_checkpoint(folder / MODEL, forecaster.state_dict(), meta)
    described = {
        **meta,
        "method": "MoFore, arXiv 2606.14765",
        "parameters": sum(parameter.numel() for parameter in forecaster.parameters()),
        "training": {
            "videos": result.videos,
            "held_out": result.held_out,
            "too_short": result.too_short,
            "frames": len(table.features_ND),
        },
        "processes": processes,
        "kept_step": result.kept_step,
        "last_step": result.last,
        "torch": torch.__version__,
    }
    write_json(folder / DESCRIPTION, described)
