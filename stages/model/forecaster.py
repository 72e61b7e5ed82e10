"""The networks of MoFore: student (aggregator and projection), predictor, and the teacher's moving average.

Equations of arXiv 2606.14765: (5) embeddings, (6) teacher, (7) and (8) predictor.

Differences: the backbone is frozen and a temporal mean has no parameters, so eq. (6) would have nothing to
average; a trainable projection follows the aggregator, and the teacher averages that.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.errors import StageError
from ...data.fit_settings import FitSettings
from ..frames.memory import Clips
from .aggregators import make_aggregator, time_positions
from .history import HistoryPredictor, Seen
from .input_map import InputMap

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}
GAP_FEATURES = 16  # width of what a gap-conditioned predictor sees of the gap
GAP_UNIT_S = {"frames": 0.04, "seconds": 1.0}  # a frame counts as 1/25 s, so that both units make like positions


class Residual(nn.Module):
    """x + f(x), where the last layer of f begins at zero: the identity until it learns."""

    def __init__(self, inner: nn.Sequential) -> None:
        super().__init__()
        self.inner = _begun_at_zero(inner, True)

    def forward(self, x_BE: Tensor) -> Tensor:
        """Add what is learnt."""
        out_BE: Tensor = x_BE + self.inner(x_BE)
        return out_BE


class Embedder(nn.Module):
    """Aggregator, then a projection: clips -> embeddings (B, E), eq. (5); not normalised.

    Raises:
        StageError: if ``projection`` is residual or none and the embedding is not as wide as what it is to begin as.
    """

    def __init__(self, width: int, settings: FitSettings) -> None:
        super().__init__()
        self.inputs = settings.inputs
        self.aggregator = make_aggregator(width, settings)
        self.input_map: InputMap | None = None
        if settings.input_map != "none":
            self.input_map = InputMap(width, self.aggregator.width // width, settings.mapped_width(width))
        self.seen = self.input_map.width if self.input_map else self.aggregator.width
        self.width = settings.embedding_width or self.seen
        self.projection = self._projection(settings)

    def forward(self, clips: Clips, kept_BE: Tensor | None = None) -> Tensor:
        """Embed clips; those given pooled are mapped and projected alone. ``kept_BE`` is of :class:`Batch`."""
        embeddings_BE: Tensor = self.projection(self.pooled(clips, kept_BE))
        return embeddings_BE

    def pooled(self, clips: Clips, kept_BE: Tensor | None = None) -> Tensor:
        """What the projection sees (B, ``seen``): clips aggregated, mapped, and dropped of what is not kept."""
        pooled_BD = clips.features if clips.times_s_BL is None else self._aggregated(clips.features, clips.times_s_BL)
        if self.input_map is not None:
            pooled_BD = self.input_map(pooled_BD)
        return pooled_BD if kept_BE is None else pooled_BD * kept_BE

    def _aggregated(self, clips_BLD: Tensor, times_s_BL: Tensor) -> Tensor:
        if self.inputs == "centered":
            clips_BLD = clips_BLD - clips_BLD.mean(dim=1, keepdim=True)
        elif self.inputs == "differenced":
            clips_BLD, times_s_BL = clips_BLD.diff(dim=1), times_s_BL[:, 1:]
        pooled_BD: Tensor = self.aggregator(clips_BLD, times_s_BL)
        return pooled_BD

    def _projection(self, settings: FitSettings) -> nn.Module:
        pooled = self.seen
        if settings.projection == "linear":
            return nn.Linear(pooled, self.width)
        if settings.projection == "mlp":
            return _mlp(pooled, self.width, settings)
        if self.width != pooled:
            raise StageError(
                f'fit.projection = "{settings.projection}" begins as the identity on {pooled} dimensions, but '
                f"fit.embedding_width = {self.width}: set it to {pooled} or 0"
            )
        if settings.projection == "none":
            return nn.Sequential()
        return Residual(_mlp(pooled, self.width, settings))


class Predictor(nn.Module):
    """W2 sigma(W1 z), eqs. (7), (8): blind to the gap as in the paper."""

    def __init__(self, width: int, settings: FitSettings) -> None:
        super().__init__()
        layers = _mlp(width, width, settings)
        self.layers: nn.Module = Residual(layers) if settings.predictor_skip else layers

    def forward(self, embedding_BE: Tensor, gap_BH: Tensor) -> Tensor:
        """Forecasts (B x H, E): of every gap the same."""
        forecast_BE: Tensor = self.layers(embedding_BE)
        return forecast_BE.repeat_interleave(gap_BH.shape[1], dim=0)


class GapPredictor(nn.Module):
    """A predictor that sees the gap beside the embedding, as sines and cosines of its seconds. Ours."""

    def __init__(self, width: int, settings: FitSettings) -> None:
        super().__init__()
        self.unit_s, self.skip = GAP_UNIT_S[settings.unit], settings.predictor_skip
        self.layers = _begun_at_zero(_mlp(width + GAP_FEATURES, width, settings), self.skip)

    def forward(self, embedding_BE: Tensor, gap_BH: Tensor) -> Tensor:
        """Forecasts (B x H, E)."""
        seen_RG = time_positions(self.unit_s * gap_BH, GAP_FEATURES).flatten(0, 1)
        spread_RE = embedding_BE.repeat_interleave(gap_BH.shape[1], dim=0)
        forecast_RE: Tensor = self.layers(torch.cat([spread_RE, seen_RG], dim=1))
        return forecast_RE + spread_RE if self.skip else forecast_RE


class HorizonPredictor(nn.Module):
    """Several futures at once (the paper's future work): shared first layer, an output for each horizon. Ours."""

    gap_H: Tensor

    def __init__(self, width: int, settings: FitSettings) -> None:
        super().__init__()
        self.register_buffer("gap_H", torch.tensor(settings.horizon_gaps), persistent=False)
        self.width, self.skip = width, settings.predictor_skip
        self.layers = _begun_at_zero(_mlp(width, width * len(self.gap_H), settings), self.skip)

    def forward(self, embedding_BE: Tensor, gap_BH: Tensor) -> Tensor:
        """Forecasts (B x H, E), each by the output whose horizon is nearest to the gap."""
        all_BHE: Tensor = self.layers(embedding_BE).view(len(embedding_BE), -1, self.width)
        if self.skip:
            all_BHE = all_BHE + embedding_BE[:, None]
        head_BH = (gap_BH[..., None] - self.gap_H).abs().argmin(dim=-1)
        chosen_BHE = all_BHE.gather(1, head_BH[..., None].expand(-1, -1, self.width))
        return chosen_BHE.flatten(0, 1)


class NoPredictor(Predictor):
    """The embedding itself: the control in which nothing but the teacher's lag keeps the space from collapsing."""

    def __init__(self, width: int, settings: FitSettings) -> None:
        super().__init__(width, settings)
        self.layers = nn.Sequential()


PREDICTORS: dict[str, type[Predictor | GapPredictor | HorizonPredictor | HistoryPredictor]] = {
    "mlp": Predictor,
    "none": NoPredictor,
    "gap": GapPredictor,
    "horizons": HorizonPredictor,
    "history": HistoryPredictor,
}


class Forecaster(nn.Module):
    """Student, predictor and teacher of one run.

    The teacher starts as a copy of the student and takes no gradient; eq. (6) moves it. ``features`` is D.
    """

    def __init__(self, width: int, settings: FitSettings) -> None:
        super().__init__()
        self.features = width
        self.student = Embedder(width, settings)
        self.predictor = PREDICTORS[settings.predictor](self.student.width, settings)
        self.teacher = Embedder(width, settings).requires_grad_(False)
        self.teacher.load_state_dict(self.student.state_dict())

    @property
    def width(self) -> int:
        """E, the width of embeddings and forecasts."""
        return self.student.width

    def use_map(self, input_map: InputMap) -> None:
        """Give student and teacher a fitted map."""
        for embedder in (self.student, self.teacher):
            assert embedder.input_map is not None
            embedder.input_map.load_state_dict(input_map.state_dict())

    def forecast(self, context: Clips, gap_BH: Tensor, kept_BE: Tensor | None = None) -> Tensor:
        """Predicted future embeddings (B x H, E) of context clips, eqs. (7), (8); ``kept_BE`` is of :class:`Batch`."""
        given = (self._seen(context),) if isinstance(self.predictor, HistoryPredictor) else ()
        forecast_RE: Tensor = self.predictor(self.student(context, kept_BE), *given, gap_BH)
        return forecast_RE

    def _seen(self, context: Clips) -> Seen | None:
        """Embeddings, ages and weights of what was seen by the end of contexts."""
        seen = context.seen
        return None if seen is None else (self.student.projection(seen.frames_BTD), seen.age_BT, seen.weight_BT)

    @torch.no_grad()
    def recall(self, batches: Iterable[tuple[Clips, Clips, Tensor]]) -> None:
        """Let a predictor that sees the history learn in closed form from pairs: contexts, futures and gaps (B, 1)."""
        assert isinstance(self.predictor, HistoryPredictor)
        made = [(self.student(c), self._seen(c), gap_B1, self.target(future)) for c, future, gap_B1 in batches]
        contexts, seen, gaps, targets = zip(*made, strict=True)
        frames_BTE, age_BT, weight_BT = (torch.cat(parts) for parts in zip(*seen, strict=True))
        self.predictor.recall(torch.cat(contexts), (frames_BTE, age_BT, weight_BT), torch.cat(gaps), torch.cat(targets))

    @torch.no_grad()
    def target(self, future: Clips) -> Tensor:
        """The teacher's embeddings of future clips; unit vectors where the predictor forecasts such."""
        target_RE: Tensor = self.teacher(future)
        return functional.normalize(target_RE, dim=1) if isinstance(self.predictor, HistoryPredictor) else target_RE


class ForecastEmbedder(nn.Module):
    """Student and predictor as one embedder: the forecast of one fixed gap."""

    def __init__(self, forecaster: Forecaster, gap: float) -> None:
        super().__init__()
        self.forecaster, self.gap = forecaster, gap

    def forward(self, clips: Clips) -> Tensor:
        """The forecasts (B, E) of B context clips, each for the same gap; not normalised."""
        gap_B1 = torch.full((len(clips), 1), self.gap, device=clips.features.device)
        return self.forecaster.forecast(clips, gap_B1)


def _begun_at_zero(layers: nn.Sequential, wanted: bool) -> nn.Sequential:
    """The same layers, the last one's parameters set to zero if that is ``wanted``."""
    last = layers[-1]
    assert isinstance(last, nn.Linear)
    if wanted:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return layers


def make_forecaster(width: int, settings: FitSettings) -> Forecaster:
    """A forecaster with weights drawn from ``fit.seed``, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return Forecaster(width, settings)


def _mlp(inputs: int, outputs: int, settings: FitSettings) -> nn.Sequential:
    """Two layers, W2 sigma(W1 z), eqs. (7), (8)."""
    activation = ACTIVATIONS[settings.activation]()
    return nn.Sequential(
        nn.Linear(inputs, settings.hidden_width), activation, nn.Linear(settings.hidden_width, outputs)
    )
