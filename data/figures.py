"""Figures that ``metrics.json`` is made of: frozen, and written as JSON by their fields (:mod:`.record`).

Percentages are 0 to 100. None means that there was nothing to measure, unless it says otherwise.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from .record import ABSENT, Absent, Record, flat, optional, or_empty, record

Verdict = Literal["better", "worse", "no difference"]


class Interval(NamedTuple):
    """A 95 % percentile interval, or another range; a list of two in JSON."""

    low: float
    high: float


@record
class Intervals(Record):
    """How sure a mean is, in the unit of what it is of.

    Attributes:
        interval: over queries.
        interval_by_group: over recordings, whose clips are not independent; None where these are not known.
    """

    interval: Interval | None
    interval_by_group: Interval | None

    @property
    def widest(self) -> Interval | None:
        """The interval over recordings where these are known; else over queries."""
        return self.interval_by_group or self.interval


@record
class PairedTest(Record):
    """A mean difference over queries that two embeddings share.

    Attributes:
        difference: mean, in points where percentages are compared.
        intervals: of the difference.
        p: of the paired randomisation test, 0 to 1.
        verdict: "better" or "worse" where every interval leaves out 0 and p is below 0.05, else "no difference".
        n: queries that both have a figure of.
    """

    difference: float | None
    intervals: Intervals = flat()
    p: float | None
    verdict: Verdict | None
    n: int


@record
class Spread(Record):
    """Mean and standard deviation.

    Attributes:
        mean: in the unit of what it is of.
        sd: sample standard deviation.
    """

    mean: float
    sd: float


@record
class Distribution(Record):
    """A sample.

    Attributes:
        mean: of the sample; cosines are not centred.
        sd: standard deviation.
        n: how many.
        paper: the value that the paper prints; None where it prints none.
    """

    mean: float | None
    sd: float | None
    n: int
    paper: float | None


@record
class NamedPair(Record):
    """A pair of videos that the paper names.

    Attributes:
        videos: their names.
        cosine: of their embeddings.
        paper: what the paper prints.
    """

    videos: tuple[str, ...]
    cosine: float
    paper: float


@record
class ForecastErrors(Record):
    """A trivial forecast.

    Attributes:
        mse: squared error of unit vectors, mean over the width.
        cosine: of forecast and future.
    """

    mse: float
    cosine: float


@record
class TrivialForecast(Record):
    """A trivial forecast that beats persistence at times.

    Attributes:
        mse: squared error, as of the others; these forecasts are no unit vectors.
        cosine: of forecast and future.
        skill: 1 - mse / mse of persistence; None where that makes no error.
        factors: that were fitted; None over all gaps, each of which has its own, and where nothing is fitted.
    """

    mse: float
    cosine: float
    skill: float | None
    factors: tuple[float, ...] | None = optional(default=None)


@record
class ForecastTest(Record):
    """The forecast held against the best trivial one, pair by pair.

    Attributes:
        best: name of the trivial forecast with the least error of these pairs.
        skill: difference of the skills, by the same persistence; resampled over videos, and over recordings.
    """

    best: str
    skill: PairedTest


@record
class ForecastAtGap(Record):
    """The forecast of one gap, or of all together.

    Attributes:
        n: pairs of clips.
        mse: squared error of unit vectors, mean over the width E: 2 (1 - cos) / E.
        cosine: of forecast and future.
        mse_sd: standard deviation of the squared errors.
        skill: 1 - mse / mse of persistence; None where that makes no error (a collapsed space).
        r2: 1 - mse / mse of climatology; None where that makes no error.
        persistence: of forecasting that nothing changes.
        climatology: of forecasting the mean of the training videos.
        chance: of another video's future.
        damped: of drawing the context towards the mean by a factor fitted on training videos; None in older files, and
            where no training videos are long enough.
        four_scalars: of four fitted factors: of the context, all that is seen of the video, the trend, the clip before.
        recording: of the mean of the other videos of the recording; None where recordings are not known.
        against_best: of all gaps together; None of one of them, and in older files.
    """

    n: int
    mse: float
    cosine: float
    mse_sd: float
    skill: float | None
    r2: float | None
    persistence: ForecastErrors
    climatology: ForecastErrors
    chance: ForecastErrors
    damped: TrivialForecast | None = optional(default=None)
    four_scalars: TrivialForecast | None = optional(default=None)
    recording: TrivialForecast | None = optional(default=None)
    against_best: ForecastTest | None = optional(default=None)

    def skills(self) -> dict[str, float]:
        """Skill by trivial forecast, of those that are measured; 0 of persistence, by which it is defined."""
        kinds = {"damped": self.damped, "four_scalars": self.four_scalars, "recording": self.recording}
        known = {name: kind.skill for name, kind in kinds.items() if kind is not None}
        return {"persistence": 0.0, **{name: skill for name, skill in known.items() if skill is not None}}


@record
class ForecastSkill(Record):
    """How well the future is forecast.

    Attributes:
        gaps: by the gap between context and future ("0", "2.5"); without those that fewer than two videos hold.
        whole: over all gaps ("all", empty for None); None where no gap is measured.
    """

    gaps: dict[str, ForecastAtGap]
    whole: ForecastAtGap | None = or_empty("all")


@record
class TooShort(Record):
    """Videos that are too short for a forecast to be measured; lengths in the unit of the gaps.

    Attributes:
        median: how long they are.
        clip: what a clip spans.
        gap: the smallest.
        long_enough: videos that hold two clips and that gap.
        settings: of the fit, with which videos are long enough for the largest gap; by name, empty where there is none.
        suits: videos that then are.
    """

    median: float
    clip: float
    gap: float
    long_enough: int
    settings: dict[str, float]
    suits: int


@record
class WhyNoForecast(Record):
    """Why no gap is measured.

    Attributes:
        videos: that there are.
        short: how long they are; None of no video.
    """

    videos: int
    short: TooShort | None = flat(default=None)


@record
class GroupProbe(Record):
    """How much of the recording is in the embedding.

    Attributes:
        accuracy: percent of videos whose nearest other one of their class is of the same recording.
        chance: percent that a random one would give.
        n: videos that count.
    """

    accuracy: float | None
    chance: float | None
    n: int


@record
class Health(Record):
    """Has a space of unit embeddings collapsed? Not centred.

    Attributes:
        effective_rank: RankMe: 1 is collapse, the width the most.
        effective_rank_centered: the same after centring.
        dimensions: E.
        sd_mean: standard deviation of a dimension, mean over them.
        sd_min: of the dimension that has the least.
        anisotropy: mean cosine of all pairs; 0 where directions are even, 1 is collapse; None of one video.
        unrelated_cosine: mean cosine of pairs of different classes; None where there is no such pair.
        uniformity: log mean exp(-2 d^2) over these pairs; 0 is collapse; None where there is none.
        alignment: mean squared distance of two views of a video; None with fewer than two views, and absent of what is
            not embedded by views.
        group_probe: on all videos; None where it is not measured: of this embedding, or without recordings.
    """

    effective_rank: float
    effective_rank_centered: float
    dimensions: float
    sd_mean: float
    sd_min: float
    anisotropy: float | None
    unrelated_cosine: float | None = optional(default=None)
    uniformity: float | None = optional(default=None)
    alignment: float | Absent | None = optional(default=ABSENT)
    group_probe: GroupProbe | None = optional(default=None)


@record
class OrderSensitivity(Record):
    """Cosines of a clip with itself, its frames in another order.

    Attributes:
        reversed: backwards.
        shuffled: in a drawn order.
        half_speed: its first half, each frame twice.
        unrelated: with a clip of another video, for comparison.
    """

    reversed: Distribution
    shuffled: Distribution
    half_speed: Distribution
    unrelated: Distribution
