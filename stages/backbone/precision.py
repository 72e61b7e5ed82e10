"""How a frozen backbone is computed: precision, folded batch norms, compilation, engine; and the choice among them.

Nothing here changes what the features mean, only their last digits and how fast they come. So the choice is
made on real frames: the centred cosine of every frame's feature to the plain fp32 one (:func:`parity`) decides what is
allowed. Among that the arithmetic that the processor was built for is taken, unless the clock says that it is slower
every single time: a busy machine makes timings so unsteady that a threshold on them would choose by chance.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from ...data.errors import BackboneError, ConfigError
from ...data.settings import ExtractSettings
from ..machine.device import has_bfloat16
from . import openvino_engine
from .network import PLAIN, ComputeMode

if TYPE_CHECKING:
    from .encoder import Encoder

FOLD_FLOOR = 0.99999  # cosine that folding batch norms must keep; it is exact but for rounding
REPAYS_S = 300.0  # `auto` compiles a job whose forward passes would take longer than this
STATIC = 1e-6  # share of the features' square lengths that frames of a moving picture differ by, at least
PASSES = 3  # timed passes of each candidate
# `auto` tries OpenVINO for a job whose forward passes would take longer than this: importing it, converting, compiling
# and timing take 3 to 6 s in each process, and it saves up to a third
CONVERTING_REPAYS_S = 30.0
COMPILING_GAINS = 1.25  # times the pace of eager torch, at most, by compiling (docs/performance.md: 1.05 to 1.22)

UNCOMPILABLE = (RuntimeError, OSError)  # no C++ compiler, an operator it can't take: all that torch raises of it


def parity(exact_BD: Tensor, rounded_BD: Tensor) -> Tensor:
    """How near features are to exact ones, (B,): cosines after the exact features' mean over the batch is taken off.

    All features of a backbone share most of their direction, so that plain cosines hide errors behind what is common;
    what tells frames apart is the rest. An error e turns a vector of length r by a cosine of 1 - e^2 / (2 r^2), and r
    is the frame's own distance from the mean, or the batch's root mean square if that is larger: a frame that happens
    to lie at the mean has no direction that could be turned. Where all frames are the same, nothing tells them apart,
    and plain cosines count.
    """
    centred_BD = exact_BD - exact_BD.mean(dim=0)
    length_B = centred_BD.square().sum(dim=1)
    if float(length_B.mean()) <= STATIC * float(exact_BD.square().sum(dim=1).mean()):
        return cosine_similarity(exact_BD, rounded_BD, dim=1)
    error_B = (rounded_BD - exact_BD).square().sum(dim=1)
    return 1 - error_B / (2 * length_B.clamp(min=float(length_B.mean())))


@dataclass(frozen=True, slots=True)
class Trial:
    """An arithmetic tried on real frames."""

    encoder: Encoder  # in that arithmetic
    cosine_min: float  # lowest cosine of a frame's feature to the plain fp32 one, both centred (:func:`parity`)
    cosine_mean: float  # the mean
    seconds: list[float] = field(default_factory=list)  # of each timed pass over the frames


class Trials:
    """Tries arithmetics of one backbone on the same frames."""

    def __init__(self, encoder: Encoder, frames_BCHW: Tensor) -> None:
        self._frames_BCHW = frames_BCHW
        self._plain_BD = encoder.encode(frames_BCHW)
        self._encoder = encoder
        self.made: dict[ComputeMode, Trial] = {}
        self._add(PLAIN, encoder, self._plain_BD)

    def try_(self, arithmetic: ComputeMode) -> Trial:
        """Compute the features in one way; what torch or a compiler raises is the caller's."""
        encoder = self._encoder.at(arithmetic, self._frames_BCHW)
        return self._add(arithmetic, encoder, encoder.encode(self._frames_BCHW))

    def _add(self, arithmetic: ComputeMode, encoder: Encoder, features_BD: Tensor) -> Trial:
        cosine_B = parity(self._plain_BD, features_BD)
        least, mean = cosine_B.min().nan_to_num(-1.0), cosine_B.mean().nan_to_num(-1.0)  # no cosine passes no floor
        self.made[arithmetic] = Trial(encoder, float(least), float(mean))
        return self.made[arithmetic]

    def is_ever_faster(self, new: Trial, old: Trial) -> bool:
        """Whether ``new`` beats ``old`` at least once in :data:`PASSES` passes, taken in turn."""
        self.take_turns(new, old)
        return any(new_s < old_s for new_s, old_s in zip(new.seconds[-PASSES:], old.seconds[-PASSES:], strict=True))

    def gain(self, new: Trial, old: Trial) -> float:
        """How many times the pace of ``old`` that of ``new`` is: the fastest of :data:`PASSES` passes, in turn."""
        self.take_turns(new, old)
        return min(old.seconds[-PASSES:]) / min(new.seconds[-PASSES:])

    def take_turns(self, new: Trial, old: Trial) -> None:
        """Time :data:`PASSES` passes of each."""
        for _ in range(PASSES):
            for trial in (old, new):
                trial.seconds.append(self._time(trial.encoder))

    def rate(self, trial: Trial) -> float:
        """Frames per second of the fastest pass."""
        if not trial.seconds:
            trial.seconds.append(self._time(trial.encoder))
        return len(self._frames_BCHW) / min(trial.seconds)

    def _time(self, encoder: Encoder) -> float:
        begin = time.perf_counter()
        encoder.encode(self._frames_BCHW)
        return time.perf_counter() - begin


def choose(
    encoder: Encoder,
    settings: ExtractSettings,
    frames_BCHW: Tensor,
    *,
    frames_to_come: int,
    note: Callable[[str], None],
) -> tuple[Encoder, dict[str, Any]]:
    """Settle on an arithmetic by trying it on a first batch of real frames.

    Batch norms are folded wherever the features stay the same. ``extract.precision = auto`` takes bf16 where
    the processor has it (on GPUs without it fp16) and every frame's cosine stays at ``extract.parity_floor`` or above.
    ``extract.compile = auto`` compiles if the forward passes would take more than :data:`REPAYS_S`. On a processor
    ``extract.engine = auto`` times OpenVINO too, if it is installed and they would take more than
    :data:`CONVERTING_REPAYS_S`; compiling is left out where that gains more than compiling ever does.

    Args:
        encoder: as loaded.
        settings: of the stage.
        frames_BCHW: preprocessed uint8 frames, as many as later batches have.
        frames_to_come: an estimate, for what compiling would repay.
        note: told what could not be done.

    Returns:
        The encoder in the arithmetic chosen, and what was measured, for the store's provenance.

    Raises:
        BackboneError: if ``extract.engine = openvino`` and it cannot compute this backbone.
        ConfigError: if it is not installed, or not for this device.
    """
    trials = Trials(encoder, frames_BCHW)
    best = _try_folding(trials)
    best = _try_rounding(trials, best, settings)
    forward_s = frames_to_come / trials.rate(best)
    if settings.engine == "openvino":
        best = _try_openvino(trials, best, settings)
    else:
        best = _choose_engine(trials, best, settings, forward_s, note)
    return best.encoder, _measured(trials, best, settings, frames_BCHW)


def adopt(encoder: Encoder, arithmetic: ComputeMode, frames_BCHW: Tensor, note: Callable[[str], None]) -> Encoder:
    """The encoder in an arithmetic that was chosen before, not compiled where that is no longer possible."""
    adopted = encoder.at(arithmetic, frames_BCHW)
    if not arithmetic.compiled:
        return adopted
    try:
        adopted.encode(frames_BCHW)  # compiles
    except UNCOMPILABLE as error:
        note(_not_compiled(error))
        return encoder.at(replace(arithmetic, compiled=False), frames_BCHW)
    return adopted


def _not_compiled(error: Exception) -> str:
    return f"not compiled: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


def _try_folding(trials: Trials) -> Trial:
    plain = trials.made[PLAIN]
    if not any(isinstance(module, nn.BatchNorm2d) for module in plain.encoder.model.modules()):
        return plain
    try:
        folded = trials.try_(ComputeMode(folded=True))
    except (AttributeError, TypeError, RuntimeError):  # a model that looks into its own batch norms
        return plain
    return folded if folded.cosine_min >= FOLD_FLOOR else plain


def _try_rounding(trials: Trials, exact: Trial, settings: ExtractSettings) -> Trial:
    """In bf16; on GPUs that have none (before Ampere) in fp16."""
    device = exact.encoder.device
    has_bf16 = settings.precision == "bf16" or has_bfloat16(device)
    if settings.precision == "fp32" or not (has_bf16 or device.type == "cuda"):
        return exact
    rounded = trials.try_(replace(exact.encoder.arithmetic, precision="bf16" if has_bf16 else "fp16"))
    faster = trials.is_ever_faster(rounded, exact)
    if settings.precision == "bf16" or (rounded.cosine_min >= settings.parity_floor and faster):
        return rounded
    return exact


def _choose_engine(
    trials: Trials, eager: Trial, settings: ExtractSettings, forward_s: float, note: Callable[[str], None]
) -> Trial:
    """The fastest of torch, torch compiled and OpenVINO, of those that are worth a trial."""
    other, gain = None, 1.0
    there = eager.encoder.device.type == "cpu" and openvino_engine.is_installed()
    if settings.engine == "auto" and there and forward_s > CONVERTING_REPAYS_S:
        try:
            other = _try_openvino(trials, eager, settings)
        except (BackboneError, ConfigError) as error:
            note(f"goes on in torch: {error}")
        else:
            gain = trials.gain(other, eager)
    best = eager
    if settings.compile == "on" or (settings.compile == "auto" and forward_s > REPAYS_S and gain < COMPILING_GAINS):
        best = _try_compiling(trials, eager, settings, note)
        gain = trials.gain(other, best) if other and best is not eager else gain
    return other if other and gain > 1.0 else best


def _try_openvino(trials: Trials, eager: Trial, settings: ExtractSettings) -> Trial:
    openvino_engine.check_usable(eager.encoder.device)
    other = trials.try_(replace(eager.encoder.arithmetic, engine="openvino"))
    if not _is_accurate(other, settings):
        raise BackboneError(
            f"OpenVINO gives other features than torch (centred cosine {other.cosine_min:.5f} at least): "
            "--set extract.engine=torch"
        )
    return other


def _is_accurate(trial: Trial, settings: ExtractSettings) -> bool:
    """Whether what should change the last digits alone does."""
    floor = FOLD_FLOOR if trial.encoder.arithmetic.precision == "fp32" else settings.parity_floor
    return settings.precision == "bf16" or trial.cosine_min >= floor


def _try_compiling(trials: Trials, eager: Trial, settings: ExtractSettings, note: Callable[[str], None]) -> Trial:
    try:
        compiled = trials.try_(replace(eager.encoder.arithmetic, compiled=True))
    except UNCOMPILABLE as error:
        note(_not_compiled(error))
        return eager
    faster = trials.is_ever_faster(compiled, eager)
    return compiled if _is_accurate(compiled, settings) and (faster or settings.compile == "on") else eager


def _measured(trials: Trials, best: Trial, settings: ExtractSettings, frames_BCHW: Tensor) -> dict[str, Any]:
    timed = {str(arithmetic): trial for arithmetic, trial in trials.made.items() if trial.seconds}
    measured = {
        "frames": len(frames_BCHW),
        "cosine_min": best.cosine_min,
        "cosine_mean": best.cosine_mean,
        "cosine_floor": settings.parity_floor,
        "tried_cosine_min": {str(arithmetic): trial.cosine_min for arithmetic, trial in trials.made.items()},
        "row_drift": row_drift(best.encoder, frames_BCHW),
        "frames_per_s": {name: round(trials.rate(trial), 1) for name, trial in timed.items()},
    }
    return {**best.encoder.arithmetic.describe(), "measured": measured}


def row_drift(encoder: Encoder, frames_BCHW: Tensor) -> float:
    """Largest change of a feature (as stored, float16) when its frame moves to another row of the batch.

    0 means that features depend neither on the order of videos nor on where a killed run went on.
    """
    here_BD = encoder.encode(frames_BCHW).half()
    moved_BCHW = torch.empty_like(frames_BCHW)  # laid out alike: `roll` on a GPU gives another layout to compile for
    moved_BCHW[1:], moved_BCHW[:1] = frames_BCHW[:-1], frames_BCHW[-1:]
    there_BD = encoder.encode(moved_BCHW).half().roll(-1, 0)
    drift = (here_BD.float() - there_BD.float()).abs().max()
    return float(drift.nan_to_num())  # a feature that is not finite is its video's failure, later
