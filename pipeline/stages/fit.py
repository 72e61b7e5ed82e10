"""Fit: a store to a model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...cache.ledger import StageRecord
from ...data.errors import StageError
from ...data.wording import counted
from ...stages import versions
from ..inputs import INPUTS
from ..snapshot import Snapshot, features_fingerprint
from ..stage import Made, Plan, Shortcut, Stage, Work
from .frames import load

if TYPE_CHECKING:
    from ...stages.fit.stage import FitResult


def run_fit(work: Work) -> Made:
    """Train on the training videos whose features are there; a run that was cut off goes on."""
    from ...stages.distributed.launch import pick_team
    from ...stages.fit import stage as fit

    snapshot, settings = work.snapshot, work.snapshot.config.fit
    if work.asked.force:
        fit.forget_checkpoint(work.folder)
    team = pick_team(settings.processes, settings.device)
    settings = replace(settings, processes=team.size)
    ids = snapshot.train_ids()
    if not ids:
        raise StageError(f"split {snapshot.split.name} has no training video whose features are there: see data.split")
    groups = {video.id: video.group for video in snapshot.videos(ids)}
    result = fit.run(
        settings,
        load(work, ids, settings),
        work.folder,
        progress=work.progress,
        groups=[groups[video_id] for video_id in ids],
        team=team,
    )
    return Made(_summary(result, len(ids)), fit.OUTPUTS)


def _summary(result: FitResult, videos: int) -> str:
    left = [(result.held_out, "held out"), (result.too_short, "too short")]
    told = ", ".join(f"{count:,} {what}" for count, what in left if count)
    used = counted(videos, "training video")
    if told:
        used = f"{result.videos:,} of {used} ({told})"
    return f"{counted(result.steps_run, 'step')} on {used}, {result.told}"


def _waits(snapshot: Snapshot, above: Plan) -> tuple[str, ...]:
    """A fit reads training videos alone: that others are to be extracted does not matter to it."""
    extract = above["extract"]
    if extract.action == "skip":
        return ()
    pending = {todo.video.id for todo in snapshot.todo} | snapshot.backward_videos()
    return ("extract",) if pending & snapshot.split.train or (extract.action == "run" and not snapshot.stored) else ()


def _present(snapshot: Snapshot, _record: StageRecord) -> str:
    videos = counted(len(snapshot.train_ids()), "training video")
    return f"{counted(_steps(snapshot), 'step')} on {videos}"


def _steps(snapshot: Snapshot) -> int:
    """Steps of a fit on all training videos, extracted or not yet; on fewer, where some are too short or held out."""
    to_come = {todo.video.id for todo in snapshot.todo} & snapshot.split.train
    return snapshot.config.fit.counted(len(to_come.union(snapshot.train_ids()))).steps


def _forget_checkpoint(work: Work) -> None:
    from ...stages.fit.stage import forget_checkpoint

    forget_checkpoint(work.folder)


FIT = Stage(
    name="fit",
    version=versions.FIT,
    what="Student, predictor and teacher on the cached features -> fit/<key>/.",
    needs=("extract",),
    config=lambda snapshot: {**snapshot.config.fit.identity(), "data.split": snapshot.split.name},
    inputs=lambda snapshot, _plan: features_fingerprint(snapshot.features_of(snapshot.train_ids())),
    run=run_fit,
    files=(
        "model.safetensors",
        "model.json",
        "log.jsonl",
        "validation.jsonl",
        "best.safetensors",
        "resume*.safetensors",
        "tensorboard/events.out.tfevents.*",
        INPUTS,
    ),
    unit="steps",
    amount=_steps,
    videos=Snapshot.train_ids,
    summary=_present,
    waits=_waits,
    resumes=True,
    finish=_forget_checkpoint,
    shortcuts=(
        Shortcut("--nproc", "fit.processes", int, 1, None, "Processes that share it, as --set fit.processes=N."),
    ),
)
