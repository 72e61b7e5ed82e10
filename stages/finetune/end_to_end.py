"""Backbone and forecaster together, from pixels: student and teacher, eqs. (4)-(8) of arXiv 2606.14765.

The teacher's backbone is a copy of the trained blocks over the same frozen rest. Batch norms (and dropout) stay in
evaluation mode: their statistics are those of the pre-training, as at extraction, and a batch of a few videos would
estimate worse ones; their scales and shifts in trained blocks are trained. Nothing of the frozen part is kept for the
backward pass, since no gradient reaches it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...data.fit_settings import FitSettings
from ..backbone.blocks import Block, checkpoint_modules, trained_copy
from ..backbone.encoder import Encoder
from ..backbone.network import Network
from ..frames.memory import Clips
from ..model.forecaster import Forecaster
from .pixel_batches import Part, PixelClips


class EndToEnd:
    """Student, predictor and teacher, each with its backbone.

    Attributes:
        forecaster: what follows the backbones.
        model: the student's backbone.
        teacher_model: the teacher's backbone.
        groups: trained parameters with their share of the learning rate; the first are of student and predictor.
    """

    def __init__(
        self,
        encoder: Encoder,
        forecaster: Forecaster,
        blocks: list[Block],
        fit: FitSettings,
        *,
        bfloat16: bool,
        checkpointing: bool,
    ) -> None:
        self.forecaster, self.model, self.fit, self.device = forecaster, encoder.model, fit, encoder.device
        self.trained = [name for block in blocks for name in block.names]
        self.teacher_model = trained_copy(encoder.model, set(self.trained))
        heads = [*forecaster.student.parameters(), *forecaster.predictor.parameters()]
        self.groups: list[tuple[list[nn.Parameter], float]] = [(heads, 1.0)]
        named = dict(self.model.named_parameters())
        for block in blocks:
            self.groups.append(([named[name] for name in block.names], block.share))
        for parameters, _ in self.groups:
            for parameter in parameters:
                parameter.requires_grad_(True)
        self._student, self._teacher = (
            Network(model, encoder.method, encoder.preprocess, torch.float32)
            for model in (self.model, self.teacher_model)
        )
        if checkpointing:
            checkpoint_modules(self.model, blocks)
        self.bfloat16 = bfloat16

    def forecast(self, part: Part) -> Tensor:
        """Forecasts (B x H, E), with a graph where gradients are enabled."""
        return self.forecaster.forecast(self._embedded(self._student, part.context), part.gap_BH)

    @torch.no_grad()
    def target(self, part: Part) -> Tensor:
        """The teacher's embeddings (B x H, E) of the targets."""
        return self.forecaster.target(self._embedded(self._teacher, part.target))

    @torch.no_grad()
    def features(self, clips: PixelClips) -> Tensor:
        """The student's features (F, D) of the different frames, float32."""
        return self._features(self._student, clips)

    @torch.no_grad()
    def move_teacher(self, toward: float) -> None:
        """Xi <- m xi + (1 - m) theta, eq. (6), backbone included; ``toward`` is 1 - m."""
        teacher, student = self._averaged()
        for theirs, own in zip(teacher, student, strict=True):
            theirs.lerp_(own, toward)

    @torch.no_grad()
    def teacher_drift(self) -> float:
        """Distance of teacher and student over the student's norm."""
        teacher, student = self._averaged()
        apart = sum(float((one - other).square().sum()) for one, other in zip(teacher, student, strict=True))
        return float((apart / max(sum(float(one.square().sum()) for one in student), 1e-24)) ** 0.5)

    def state(self) -> dict[str, Tensor]:
        """Every tensor that is trained, and the teacher's."""
        own, theirs = (dict(model.named_parameters()) for model in (self.model, self.teacher_model))
        return {
            **{f"forecaster.{name}": tensor for name, tensor in self.forecaster.state_dict().items()},
            **{f"student.{name}": own[name].detach() for name in self.trained},
            **{f"teacher.{name}": theirs[name].detach() for name in self.trained},
        }

    def _averaged(self) -> tuple[list[Tensor], list[Tensor]]:
        """The teacher's tensors, and the student's that they follow."""
        own, theirs = (dict(model.named_parameters()) for model in (self.model, self.teacher_model))
        teacher = [theirs[name].detach() for name in self.trained]
        student = [own[name].detach() for name in self.trained]
        teacher += [parameter.detach() for parameter in self.forecaster.teacher.parameters()]
        student += [parameter.detach() for parameter in self.forecaster.student.parameters()]
        return teacher, student

    def _embedded(self, network: nn.Module, clips: PixelClips) -> Clips:
        features_BLD = self._features(network, clips)[clips.place_BL]
        if self.fit.aggregator != "mean":
            return Clips(features_BLD, clips.times_s_BL)
        return Clips(_mean_of_different(features_BLD, clips.rows_BL))

    def _features(self, network: nn.Module, clips: PixelClips) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            features_FD: Tensor = network(clips.frames_FCHW)
        return features_FD.float()


def _mean_of_different(features_BLD: Tensor, rows_BL: Tensor) -> Tensor:
    """The means (B, D) of clips, each frame counted once, as :meth:`..frames.memory.FrameTensors.means`."""
    new_BL = torch.ones_like(rows_BL, dtype=torch.float32)
    new_BL[:, 1:] = (rows_BL[:, 1:] > rows_BL[:, :-1]).float()
    return torch.einsum("bl,bld->bd", new_BL / new_BL.sum(dim=1, keepdim=True), features_BLD)
