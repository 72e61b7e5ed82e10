"""How well the future is forecast, by gap, beside the forecasts that cost nothing.

All errors are between unit vectors, where the mean over E of the squared error is 2 (1 - cos) / E: two
unrelated vectors of 512 dimensions score 0.0039, so an error says nothing without its floor.

- persistence: the future is like the context (teacher's embedding of the context clip);
- climatology: the mean target of the training videos, not normalised;
- damped persistence and four scalars: :mod:`.trivial_forecasts`;
- recording: the mean target of the other videos of the same recording, whichever side of the split they are on, so that
  it knows the scene without having seen the video; the climatology where there is no other;
- chance: the future of another video, drawn from all: the next one in the catalog is of the same recording.

skill = 1 - error / error of persistence; R^2 = 1 - error / error of climatology.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.arrays import Int64
from ...data.clips import Windows
from ...data.figures import (
    ForecastAtGap,
    ForecastErrors,
    ForecastSkill,
    ForecastTest,
    TooShort,
    TrivialForecast,
    WhyNoForecast,
)
from ...data.fit_settings import FitSettings
from ...data.short_videos import ShortVideos
from ..frames.memory import FrameTensors, evenly_spread
from ..model.embedding import embed_clips, embed_views, outputs
from ..model.forecaster import ForecastEmbedder, Forecaster
from .resampling import Resampling, paired
from .trivial_forecasts import Scalars, Seen

STARTS = 3  # pairs of a gap in each video
FITTED_ON = 1_000  # training videos at most, evenly spread, that scalars are fitted on
LEAST_ERROR = 1e-12  # of a space that has not collapsed
GAPS = 5  # gaps between fit.gap_min and fit.gap_max


@dataclass(frozen=True, slots=True)
class Errors:
    """Squared errors (mean over E) and cosines of B forecasts of one kind."""

    squared_B: Tensor
    cosine_B: Tensor

    @classmethod
    def of(cls, forecast_BE: Tensor, target_BE: Tensor) -> Errors:
        """Hold forecasts against unit targets."""
        cosine_B = functional.cosine_similarity(forecast_BE, target_BE, dim=1)
        return cls((forecast_BE - target_BE).square().mean(dim=1), cosine_B)

    def summary(self) -> ForecastErrors:
        """Means over all pairs: of the squared error, and of the cosine to the target."""
        return ForecastErrors(mse=float(self.squared_B.mean()), cosine=float(self.cosine_B.mean()))


def climatology(forecaster: Forecaster, memory: FrameTensors, settings: FitSettings, views: int) -> Tensor:
    """Mean unit target (E,) of windows spread over the training videos."""
    return embed_views(forecaster.teacher, memory, settings, views=views).flatten(0, 1).mean(dim=0)


@dataclass(frozen=True, slots=True)
class References:
    """What forecasts are held against, beside persistence and chance.

    Attributes:
        climate_E: see :func:`climatology`.
        scalars: by gap, see :func:`fitted_scalars`.
        recording_VE: see :func:`.trivial_forecasts.recording_means`, of the videos that are measured; None without
            recordings.
        group_V: recording of each video that is measured; None without recordings.
        resamples: of the test against the best of all; 0 for none.
        seed: of these.
    """

    climate_E: Tensor
    scalars: Mapping[float, Scalars] = field(default_factory=dict)
    recording_VE: Tensor | None = None
    group_V: Int64 | None = None
    resamples: int = 0
    seed: int = 0


def fitted_scalars(
    teacher: nn.Module, train: FrameTensors, settings: FitSettings, climate_E: Tensor
) -> dict[float, Scalars]:
    """Scalars by gap, of the training videos; without gaps that fewer than two of them hold."""
    count = min(FITTED_ON, len(train.frames_V))
    chosen = train.some(torch.linspace(0, max(len(train.frames_V) - 1, 0), count).round().long())
    found = {}
    for gap in probe_gaps(settings):
        item_B, pairs = evenly_spread(chosen, settings, gap=gap, starts=STARTS)
        if len(item_B) >= 2 * STARTS:
            seen = Seen.of(teacher, chosen, item_B, pairs.context, settings)
            target_BE = embed_clips(teacher, chosen, item_B, pairs.future, settings)
            found[gap] = Scalars.fit(seen, target_BE, climate_E)
    return found


def forecast_metrics(
    forecaster: Forecaster, memory: FrameTensors, settings: FitSettings, against: References, *, starts: int = STARTS
) -> ForecastSkill:
    """Error, cosine, R^2 and skill on the videos of ``memory``, for each gap and over all of them.

    Args:
        forecaster: student, predictor and teacher.
        memory: the videos.
        settings: of the fit.
        against: the trivial forecasts.
        starts: pairs of a gap in each video.

    Returns:
        By gap, and over all; a gap for which fewer than two videos are long enough is left out.
    """
    kinds: dict[str, list[Errors]] = {}
    by_gap: dict[str, ForecastAtGap] = {}
    items: list[Tensor] = []
    for gap in probe_gaps(settings):
        item_B, pairs = evenly_spread(memory, settings, gap=gap, starts=starts)
        if len(item_B) < 2 * starts:
            continue
        items.append(item_B)
        clips = _Clips(memory, item_B, settings)
        foreseen = ForecastEmbedder(forecaster, float(pairs.gap_B[0]))
        forecast_BE = clips.embedded(foreseen, pairs.context, as_said=settings.sees_history)
        last_BE, target_BE = (clips.embedded(forecaster.teacher, of) for of in (pairs.context, pairs.future))
        errors = {
            "forecast": Errors.of(forecast_BE, target_BE),
            "persistence": Errors.of(last_BE, target_BE),
            "climatology": Errors.of(against.climate_E.expand_as(target_BE), target_BE),
            "chance": Errors.of(derangement(target_BE, starts), target_BE),
        }
        scalars = against.scalars.get(gap)
        if scalars:
            seen = Seen.of(forecaster.teacher, memory, item_B, pairs.context, settings)
            errors["damped"] = Errors.of(scalars.damped(seen, against.climate_E), target_BE)
            errors["four_scalars"] = Errors.of(scalars.combined(seen, against.climate_E), target_BE)
        if against.recording_VE is not None:
            errors["recording"] = Errors.of(against.recording_VE[item_B], target_BE)
        by_gap[f"{gap:g}"] = _row(errors, scalars)
        for kind, values in errors.items():
            kinds.setdefault(kind, []).append(values)
    if not kinds:
        return ForecastSkill(gaps={}, whole=None)
    pooled = {
        kind: Errors(torch.cat([e.squared_B for e in parts]), torch.cat([e.cosine_B for e in parts]))
        for kind, parts in kinds.items()
    }
    whole = {kind: errors for kind, errors in pooled.items() if len(kinds[kind]) == len(by_gap)}
    found = _row(whole)
    if against.resamples:
        found = replace(found, against_best=_against_best(whole, torch.cat(items).cpu().numpy(), against))
    return ForecastSkill(gaps=by_gap, whole=found)


def why_empty(memory: FrameTensors, settings: FitSettings) -> WhyNoForecast:
    """Why no gap is measured on the videos of ``memory``: how long they are, and settings that would suit them."""
    extents = memory.pair_extent_V(settings.unit).tolist()
    if not extents:
        return WhyNoForecast(videos=0)
    gap, short = probe_gaps(settings)[0], ShortVideos.of(extents, settings)
    lengths = TooShort(
        median=short.median,
        clip=settings.span,
        gap=gap,
        long_enough=sum(extent >= 2 * settings.span + gap for extent in extents),
        settings=short.changes,
        suits=short.suits,
    )
    return WhyNoForecast(videos=len(extents), short=lengths)


def probe_gaps(settings: FitSettings) -> list[float]:
    """Up to :data:`GAPS` evenly spaced gaps of those that are trained, both ends included, in ``fit.unit``."""
    if settings.predictor == "horizons":
        return list(settings.horizon_gaps)
    if settings.gap_distribution == "fixed":
        return [settings.gap_max]
    span = settings.gap_max - settings.gap_min
    gaps = {settings.gap_min + span * step / (GAPS - 1) for step in range(GAPS)}
    return sorted({float(int(gap)) for gap in gaps} if settings.unit == "frames" else gaps)


def neighbour_similarity(forecaster: Forecaster, memory: FrameTensors, settings: FitSettings) -> Tensor:
    """Cosines (B,) of the teacher's embeddings of adjoining clips, the paper's temporal consistency."""
    item_B, pairs = evenly_spread(memory, settings, gap=0, starts=STARTS)
    if not len(item_B):
        return torch.empty(0)
    context_BE = embed_clips(forecaster.teacher, memory, item_B, pairs.context, settings)
    future_BE = embed_clips(forecaster.teacher, memory, item_B, pairs.future, settings)
    return (context_BE * future_BE).sum(dim=1)


@dataclass(frozen=True, slots=True)
class _Clips:
    """B clips of some videos, to be embedded by one network after another."""

    memory: FrameTensors
    item_B: Tensor
    settings: FitSettings

    def embedded(self, network: nn.Module, windows: Windows, *, as_said: bool = False) -> Tensor:
        """Unit embeddings (B, E); or ``as_said``, by a network that forecasts unit vectors by their (shorter) mean."""
        embed = outputs if as_said else embed_clips
        return embed(network, self.memory, self.item_B, windows, self.settings)


def derangement(rows_BE: Tensor, each: int) -> Tensor:
    """The rows of another video in place of each video's, ``each`` of them: drawn, since neighbours are siblings.

    One closed round through all videos in a seeded order, so that none stands for itself (but where it is alone).
    """
    order_V = torch.randperm(len(rows_BE) // each, generator=torch.Generator().manual_seed(0))
    stranger_V = torch.empty_like(order_V)
    stranger_V[order_V] = order_V.roll(1)
    return rows_BE.view(len(order_V), each, -1)[stranger_V.to(rows_BE.device)].view_as(rows_BE)


def _row(errors: Mapping[str, Errors], scalars: Scalars | None = None) -> ForecastAtGap:
    squared_B, forecast = errors["forecast"].squared_B, errors["forecast"].summary()
    persistence, climate = errors["persistence"].summary(), errors["climatology"].summary()
    return ForecastAtGap(
        n=len(squared_B),
        mse=forecast.mse,
        cosine=forecast.cosine,
        mse_sd=float(squared_B.std(correction=0)),
        skill=_gain(forecast.mse, persistence.mse),
        r2=_gain(forecast.mse, climate.mse),
        persistence=persistence,
        climatology=climate,
        chance=errors["chance"].summary(),
        damped=_trivial(errors, "damped", (scalars.damping,) if scalars else None),
        four_scalars=_trivial(errors, "four_scalars", scalars.four if scalars else None),
        recording=_trivial(errors, "recording", None),
    )


def _against_best(errors: Mapping[str, Errors], item_B: Int64, against: References) -> ForecastTest | None:
    """In units of skill: of the squared errors' differences, over the error of persistence."""
    persistence = float(errors["persistence"].squared_B.mean())
    if persistence <= LEAST_ERROR:
        return None
    squared = {kind: of.squared_B.cpu().double().numpy() for kind, of in errors.items()}
    best = min((kind for kind in squared if kind != "forecast"), key=lambda kind: float(squared[kind].mean()))
    videos = Resampling(against.resamples, against.seed, item_B)
    groups = None if against.group_V is None else replace(videos, group_Q=against.group_V[item_B])
    tested = paired(-squared["forecast"], -squared[best], videos, groups, scale=1 / persistence)
    return ForecastTest(best=best, skill=tested)


def _trivial(errors: Mapping[str, Errors], kind: str, factors: tuple[float, ...] | None) -> TrivialForecast | None:
    if kind not in errors:
        return None
    found, persistence = errors[kind].summary(), errors["persistence"].summary()
    return TrivialForecast(mse=found.mse, cosine=found.cosine, skill=_gain(found.mse, persistence.mse), factors=factors)


def _gain(error: float, reference: float) -> float | None:
    """1 - error / reference; undefined where the reference makes no error (a collapsed space)."""
    return 1.0 - error / reference if reference > LEAST_ERROR else None
