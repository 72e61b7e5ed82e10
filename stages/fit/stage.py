"""Fit: train student, predictor and teacher on cached features by forecasting (arXiv 2606.14765).

The store is loaded once, or read from its files where it is larger than memory; a step is index arithmetic, one
forward and backward pass of small networks, an optimiser step and the teacher's update. Checkpoints hold everything a
step depends on, so a run that was killed goes on as if it had not been. Labels never come here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ...cache.atomic import write_json
from ...cache.checkpoint import remove_numbered, save_checkpoint
from ...cache.store import FrameTable
from ...data.errors import StageError
from ...data.fit_settings import FitSettings
from ...data.progress import Progress, Silent
from ...data.short_videos import ShortVideos
from ..distributed.launch import Alone, Team
from ..distributed.process_group import ProcessGroup
from ..frames.elsewhere import refuse_unseen, seen_from_elsewhere
from ..frames.memory import FrameTensors
from ..frames.sampler import Batch, Sampler, make_sampler
from ..machine.device import pick_device
from ..model.forecaster import Forecaster, make_forecaster
from ..model.input_map import fit_input_map, neighbours_in
from ..model.loop import LOG
from ..model.saved import DESCRIPTION, MODEL
from ..objectives.catalog import make_objective
from .stacked import stack_key, together, train_together
from .training import BEST, VALIDATIONS, Training
from .validation import Validator

RECALLED, MOST_RECALLED = 3, 4096  # pairs of a video, and in all, whose residuals a predictor of the history keeps
OUTPUTS = (MODEL, DESCRIPTION, LOG, VALIDATIONS)


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

    @property
    def told(self) -> str:
        """The last figure of a fit in a word: forecasts have a cosine, other objectives their pretext's share."""
        name = "cosine" if "cosine" in self.last else "pretext"
        return f"{name} {self.last[name]:.3f}"


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

    def memory(self, device: torch.device, known: FrameTensors | None = None) -> tuple[FrameTensors, Tensor, Tensor]:
        """The frames on ``device``, and positions of the held-out and the training videos.

        Args:
            device: where they are to be.
            known: the same table's frames, where they are there already.

        Raises:
            StageError: if there are too few training videos.
        """
        settings = self.settings
        memory = known if known is not None and known.device == device else FrameTensors.of(self.table, device)
        usable_V = memory.usable_V(settings.gap_least, settings.unit).cpu()
        held_V, trained_V = _hold_out(usable_V, self.table.ids, self.groups, settings.holdout)
        if len(trained_V) < 2:
            raise StageError(self._too_few(memory, len(trained_V), len(held_V)))
        return memory, held_V, trained_V

    def _too_few(self, memory: FrameTensors, trained: int, held: int) -> str:
        """Why there is nothing to train on, and what would help."""
        settings, videos = self.settings, len(memory.frames_V)
        short = ShortVideos.of(memory.pair_extent_V(settings.unit).tolist(), settings)
        if videos < 2:
            way_out = "more videos on the training side (data.split, data.train_fraction)"
        elif trained + held >= 2:
            way_out = "a smaller fit.holdout"
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
    team = team or Alone()
    if team.size > 1:  # all compute where the first one does, whatever their machines have
        settings = replace(settings, device=pick_device(settings.device).type)
        table = seen_from_elsewhere(table)
    job = FitJob(settings, table, folder, tuple(groups))
    del table  # a team reads a copy that all of it share
    _refuse_uneven(job, team.size)
    with team.at_work(job, assist, progress=progress) as (job, process_group):
        training, result = _train(job, process_group, progress)
    _publish(training.forecaster, job, result, team.size)
    return result


def assist(job: FitJob, process_group: ProcessGroup) -> None:
    """Train as one of several processes, of which the first tells, looks and writes.

    Raises:
        ProcessLost: if another process is lost.
        StageError: if the features were left in files that this machine does not see.
    """
    refuse_unseen(job.table, "a larger fit.memory_gb sends them instead")
    _train(job, process_group, Silent())


def _train(job: FitJob, process_group: ProcessGroup, progress: Progress) -> tuple[Training, FitResult]:
    training = _prepared(job, process_group, progress)
    steps_run = training.train(progress)
    return training, _result(training, steps_run)


def run_several(
    jobs: Mapping[str, FitJob], *, progress: Progress, finished: Callable[[str, FitResult], None]
) -> dict[str, StageError]:
    """Train several runs on the frames of one table: those that can be stacked together, the others in turn.

    Each leaves in its folder what :func:`run` would, and resumes from what it or :func:`run` left there. A run that
    fails ends alone.

    Args:
        jobs: by names of the runs, all of one table.
        progress: who is told.
        finished: called with the name and the result of each run whose model was just published.

    Returns:
        What ended a run, by its name.
    """
    failed, trainings = dict[str, StageError](), dict[str, Training]()
    like: Training | None = None
    once = _Once(progress)
    for name, job in jobs.items():
        progress.pulse()
        try:
            trainings[name] = _prepared(job, ProcessGroup(), once, like)
        except StageError as error:
            failed[name] = error
            continue
        like = trainings[name]
    for names in together({name: stack_key(training) for name, training in trainings.items()}):
        chosen = [trainings.pop(name) for name in names]  # what is through lets its memory go
        begun = [training.step for training in chosen]
        failed |= train_together(chosen, names, progress)
        for name, training, step in zip(names, chosen, begun, strict=True):
            if name not in failed:
                result = _result(training, training.settings.steps - step)
                _publish(training.forecaster, jobs[name], result, 1)
                finished(name, result)
    return failed


class _Once(Silent):
    """Of what several runs have to say the notes, each said once."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.said = progress, set[str]()

    def note(self, message: str) -> None:
        """A line, unless it was said."""
        if message not in self.said:
            self.said.add(message)
            self.progress.note(message)


def _prepared(job: FitJob, process_group: ProcessGroup, progress: Progress, like: Training | None = None) -> Training:
    """A run that is ready to take its steps; ``like`` is another one on the same frames."""
    memory, held_V, trained_V = job.memory(pick_device(job.settings.device), like.sampler.memory if like else None)
    settings = job.settings.counted(len(trained_V))
    short = ShortVideos.of(memory.pair_extent_V(settings.unit).tolist(), settings)
    if not short.few:
        progress.note(short.told("training videos"))
    forecaster = make_forecaster(memory.width, settings).to(memory.device)
    validator = Validator(settings, memory, held_V, trained_V, job.table.ids, like.validator if like else None)
    known = like.sampler.neighbours if like else None
    if settings.input_map != "none" and like is not None and _has_that_map(like, settings, trained_V):
        assert like.forecaster.teacher.input_map is not None
        forecaster.use_map(like.forecaster.teacher.input_map)
    elif settings.input_map != "none":
        input_map = process_group.first(lambda: fit_input_map(settings, memory, trained_V))
        forecaster.use_map(input_map)
        known = process_group.first(lambda: neighbours_in(input_map, settings, memory, trained_V))
    sampler = make_sampler(settings, memory, trained_V, process_group=process_group, known=known)
    training = Training(settings, sampler, forecaster, validator, job.folder, process_group)
    training.resume(progress)
    return training


def _has_that_map(run: Training, settings: FitSettings, trained_V: Tensor) -> bool:
    """Whether a run on the same frames has the map, and the neighbours in it, that these settings ask for."""
    decide = ("input_map", "aggregator", "neighbours", "negatives")
    alike = all(getattr(run.settings, name) == getattr(settings, name) for name in decide)
    return alike and torch.equal(run.sampler.usable_V, trained_V)


def _result(training: Training, steps_run: int) -> FitResult:
    """What came of a run whose steps are taken; its networks are then those that it keeps."""
    settings, kept = training.settings, training.settings.steps
    if settings.keep == "best" and training.best is not None:
        training.use_best()
        kept = int(training.best["step"])
    if settings.sees_history and training.process_group.writes:
        further = _further(training.sampler, settings.steps)
        training.forecaster.recall((batch.context, batch.target, batch.gap_BH) for batch in further)
    trained = len(training.sampler.usable_V)
    held = training.validator.held_out
    unused = len(training.sampler.memory.frames_V) - trained - held
    return FitResult(settings.steps, steps_run, trained, held, unused, kept, training.last)


def _further(sampler: Sampler, step: int) -> Iterator[Batch]:
    """Batches after the last step's: :data:`RECALLED` pairs of each video, so many as one system can be solved for."""
    pairs = min(RECALLED * len(sampler.usable_V), MOST_RECALLED)
    return sampler.batches(step, step + max(1, pairs // sampler.contexts_per_batch))


def _refuse_uneven(job: FitJob, size: int) -> None:
    """Find out before anything is started that the run, or a batch, cannot be shared."""
    if size > 1:
        if not make_objective(job.settings).written_out:
            raise StageError(
                f"fit.objective = {job.settings.objective!r} runs in one process: fit.processes = 1 is needed"
            )
        memory, _, trained_V = job.memory(torch.device("cpu"))
        ProcessGroup(0, size).share(Sampler(job.settings, memory, trained_V).contexts_per_batch)


def forget_checkpoint(folder: Path) -> None:
    """Delete what a run would resume from: the run is recorded as finished, or is to begin anew."""
    remove_numbered(folder)
    (folder / BEST).unlink(missing_ok=True)


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
