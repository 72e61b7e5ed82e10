"""Small runs of objectives on drawn motions, and how well each does its own task on looks that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from mofore.cache.shard import row_offsets
from mofore.cache.store import FrameTable
from mofore.data.fit_settings import FitSettings
from mofore.data.motion import MOTIONS, Start, poses
from mofore.data.presets import PRESETS
from mofore.stages.distributed.process_group import ProcessGroup
from mofore.stages.fit.objective_learner import ObjectiveLearner
from mofore.stages.fit.training import Training
from mofore.stages.fit.validation import Validator
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.frames.sampler import Sampler, make_sampler
from mofore.stages.model.forecaster import make_forecaster
from mofore.stages.objectives.catalog import all_options, objective_class
from mofore.stages.objectives.sampler import ClipSampler

LOOKS, UNSEEN, CLIPS, FRAMES, WIDTH = 8, 2, 2, 48, 64
SMALL = {"batch_size": 32, "steps": 150, "clip_length": 6, "gap_max": 6, "hidden_width": 32, "lr": 3e-3}
SMALL |= {"validations": 0, "tensorboard": "off", "neighbours": 0, "checkpoint_seconds": 1e9, "precision": "fp32"}


@cache
def motions(looks: range) -> FrameTable:
    """Frames of all motions with those looks: fixed random features (N, WIDTH) of pose and appearance together."""
    weights_9W = np.random.default_rng(0).standard_normal((9, WIDTH))
    features, ids = [], []
    for look in looks:
        appearance_4 = 0.7 * np.random.default_rng([look]).standard_normal(4)
        for number, motion in enumerate(MOTIONS):
            for clip in range(CLIPS):
                here = np.random.default_rng([look, number, clip])
                start = Start(*here.uniform(-0.2, 0.2, 2), phase=here.uniform(), cycles=here.uniform(1.6, 2.4))
                pose = poses(motion, start, FRAMES)
                turned = (np.sin(pose.angle_T), np.cos(pose.angle_T))
                seen_T5 = np.stack([2 * pose.x_T, 4 * pose.y_T, *turned, 2 * pose.scale_T - 2], axis=1)
                seen_T9 = np.concatenate([seen_T5, np.tile(appearance_4, (FRAMES, 1))], axis=1)
                noise = 0.02 * here.standard_normal((FRAMES, WIDTH))
                features.append(np.tanh(seen_T9 @ weights_9W / 2) + noise)
                ids.append(f"v_{motion}_g{look:02d}_c{clip:02d}")
    times = np.tile(np.arange(FRAMES) / 25, len(ids))
    return FrameTable(np.concatenate(features).astype(np.float16), times, row_offsets([FRAMES] * len(ids)), tuple(ids))


@dataclass(frozen=True, slots=True)
class Learnt:
    """How well a task is done on unseen looks: before and after training, and by guessing."""

    before: float
    after: float
    chance: float
    losses: tuple[float, ...]


def settings_of(name: str, **changes: Any) -> FitSettings:
    """Settings of a small run of an objective."""
    own = {**PRESETS["plain"], **SMALL, **objective_class(name).defaults, **changes, "objective": name}
    options = own.pop("options", {})
    return FitSettings(**own, options=all_options(name, options))


def learnt(name: str, **changes: Any) -> Learnt:
    """Train an objective on some looks and measure its task on others."""
    settings = settings_of(name, **changes)
    with TemporaryDirectory() as folder:
        training = training_of(settings, motions(range(1, LOOKS + 1)), Path(folder))
        unseen = FrameTensors.of(motions(range(LOOKS + 1, LOOKS + UNSEEN + 1)), torch.device("cpu"))
        before, _ = measured(training, unseen)
        with torch.no_grad():
            losses = [float(training.take_step(batch)[0]) for batch in training._batches()]
        after, chance = measured(training, unseen)
    return Learnt(before, after, chance, tuple(losses))


def training_of(settings: FitSettings, made: FrameTable, folder: Path) -> Training:
    """A run over all videos of a table, before its first step."""
    memory = FrameTensors.of(made, torch.device("cpu"))
    everyone = torch.arange(len(made.ids))
    sampler = make_sampler(settings, memory, everyone)
    validator = Validator(settings, memory, everyone[:0], everyone, made.ids)
    forecaster = make_forecaster(memory.width, settings)
    return Training(settings, sampler, forecaster, validator, folder, ProcessGroup())


@torch.no_grad()
def measured(training: Training, memory: FrameTensors, batches: int = 8) -> tuple[float, float]:
    """The pretext figure on other videos, and chance there; means over batches."""
    learner = training.learner
    assert isinstance(learner, ObjectiveLearner)
    settings = replace(learner.settings, seed=1)
    sampler = ClipSampler(Sampler(settings, memory, torch.arange(len(memory.frames_V))), learner.objective)
    place, found, chances = learner.objective.figures.index("pretext"), [], []
    for batch in sampler.batches(0, batches):
        step = learner.at(batch)
        found.append(float(learner.objective.loss(step)[place]))
        chances.append(learner.objective.chance(step))
    return sum(found) / len(found), sum(chances) / len(chances)
