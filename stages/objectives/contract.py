"""What an objective is: what it samples, what it adds to the networks, its loss, and what it embeds with.

An objective is one module of this package, named as ``fit.objective`` names it, with one subclass of
:class:`Objective`. Its options are a dataclass in the same module; users set them as ``fit.options.NAME``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...data.errors import ConfigError
from ...data.fit_settings import FitSettings
from ...data.section import Settings
from ..frames.memory import Clips
from ..model.forecaster import Forecaster
from .draw import Draw, Drawn

ALONE: Mapping[str, Any] = {"neighbours": 0, "predictor": "none"}  # no forecast, of no neighbour's future
WITHOUT_TEACHER: Mapping[str, Any] = {**ALONE, "momentum": 0.0}  # the teacher, which embeds, is the student
OF_CHANGES: Mapping[str, Any] = {**WITHOUT_TEACHER, "aggregator": "conv", "inputs": "differenced"}  # not of looks


@dataclass(frozen=True, kw_only=True)
class Options(Settings):
    """The options of an objective that has none."""

    section = "fit.options"


@dataclass(frozen=True, slots=True)
class ClipBatch:
    """What one step sees: K clips of L frames for each of B videos.

    Attributes:
        clips: B x K of them, those of one video one after another.
        number: K.
        video_B: position of each video in the memory.
        labels: what was drawn beside them, each (B, ...), such as the class that a pretext task is about.
    """

    clips: Clips
    number: int
    video_B: Tensor
    labels: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.video_B)

    @property
    def frames(self) -> Tensor:
        """Frame features (B, K, L, D); for objectives that see frames."""
        return self.clips.features.view(len(self), self.number, *self.clips.features.shape[1:])

    @property
    def means(self) -> Tensor:
        """Mean features (B, K, D) of the clips."""
        features = self.clips.features
        means_RD = features if self.clips.times_s_BL is None else features.mean(dim=1)
        return means_RD.view(len(self), self.number, -1)

    def clip(self, number: int) -> Clips:
        """The B clips of that number."""
        times = self.clips.times_s_BL
        chosen = slice(number, None, self.number)
        return Clips(self.clips.features[chosen], None if times is None else times[chosen])


@dataclass(frozen=True, slots=True)
class Step:
    """What a loss is computed from.

    Attributes:
        networks: student, predictor and teacher.
        heads: what the objective added.
        batch: of clips.
        number: of the step, from 0.
        generator: source of chance of this step, the same when the run is resumed; on the CPU.
    """

    networks: Forecaster
    heads: nn.Module
    batch: ClipBatch
    number: int
    generator: torch.Generator

    def student(self) -> Tensor:
        """The student's embeddings (B, K, E) of all clips."""
        z_RE: Tensor = self.networks.student(self.batch.clips)
        return z_RE.view(len(self.batch), self.batch.number, -1)

    def teacher(self) -> Tensor:
        """The teacher's embeddings (B, K, E) of all clips; no gradient flows into them."""
        return self.networks.target(self.batch.clips).view(len(self.batch), self.batch.number, -1)

    def noise(self, *shape: int) -> Tensor:
        """Standard normal numbers of this step, on the device of the clips."""
        return torch.randn(shape, generator=self.generator).to(self.batch.clips.features.device)


class Objective(ABC):
    """One way to learn from clips.

    Class attributes, which ``mofore objectives`` shows:

        family: forecast, control, contrast, set, tempo, order, cycle, or sequence.
        source: paper, with equation or section where it has numbers.
        differences: from the source, in a sentence; empty if there are none.
        defaults: of ``fit``, where they differ from the preset's; what users set counts more.
        options: the dataclass of its options.
        figures: names of what :meth:`loss` returns, "loss" first; "pretext" is how well the task is done, in [0, 1]
            for a share of right answers, and up to 1 for a skill, 1 - error / error of a trivial answer.
        sees_frames: whether it needs the frames of a clip, and not their mean alone.
        least_frames: the fewest that a clip must have.
        true_times: whether aggregators may see the true times of frames; false where these would give the answer away.
        written_out: whether it is the paper's (eq. 12), whose gradient is written out and needs no autograd.

    Args:
        settings: of the fit.

    Raises:
        ConfigError: if ``fit.clip_length`` is less than :attr:`least_frames`.
    """

    family: ClassVar[str]
    source: ClassVar[str]
    differences: ClassVar[str] = ""
    defaults: ClassVar[Mapping[str, Any]] = ALONE
    options: ClassVar[type[Settings]] = Options
    figures: ClassVar[tuple[str, ...]] = ("loss", "pretext")
    sees_frames: ClassVar[bool] = False
    least_frames: ClassVar[int] = 1
    true_times: ClassVar[bool] = True
    written_out: ClassVar[bool] = False

    def __init__(self, settings: FitSettings) -> None:
        if settings.clip_length < self.least_frames:
            raise ConfigError(
                f"fit.clip_length = {settings.clip_length}: the objective {settings.objective} needs clips of at least "
                f"{self.least_frames} frames"
            )
        self.settings, self.own = settings, make_options(type(self), settings.options)

    @abstractmethod
    def draw(self, draw: Draw) -> Drawn:
        """Choose the clips of P videos, and what is asked about them."""

    def heads(self, width: int, features: int) -> nn.Module:
        """Layers that serve training alone, for embeddings of ``width`` E and ``features`` D; none by default.

        Parameters are trained beside the student; buffers (a queue, a centre) are kept in checkpoints.
        """
        return nn.Module()

    @abstractmethod
    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Scalars named :attr:`figures`; the gradient is taken of the first."""

    def after(self, step: Step) -> None:  # noqa: B027 - most have nothing to do
        """Called without gradients when student and teacher have moved: to fill a queue, or move a centre."""

    def chance(self, step: Step) -> float:
        """What "pretext" is for someone who guesses: 0 for a skill, the share of the likeliest answer for a choice."""
        return 0.0


class TwoClips(Objective):
    """An objective of two clips anywhere in each video, whose task is to find the video by one of them."""

    def draw(self, draw: Draw) -> Drawn:
        """Two clips anywhere."""
        return Drawn(draw.two())

    def chance(self, step: Step) -> float:
        """One video in so many."""
        return 1.0 / len(step.batch)


def make_options(kind: type[Objective], given: Mapping[str, Any]) -> Any:
    """The options of an objective.

    Raises:
        ConfigError: for one that it does not have, or a value that is not allowed.
    """
    names = [f.name for f in fields(kind.options)]
    for key in given:
        if key not in names:
            have = f"it has {', '.join(names)}" if names else "it has none"
            name = kind.__module__.rpartition(".")[2]
            raise ConfigError(f"fit.options.{key}: the objective {name} has no such option; {have}")
    return kind.options(**given)
