"""How sure a figure is: bootstrap intervals of means, and of paired differences.

Clips that are cut from one recording are not independent, so that intervals over videos are too narrow; where the
recordings are known there is an interval over these as well (a cluster bootstrap), and a difference counts only if
both agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...data.arrays import Float64, Int64
from ...data.figures import Interval, Intervals, PairedTest, Verdict

LEVEL = 95.0  # percent
SIGNIFICANT = 0.05
BLOCK = 250  # resamples drawn at a time
ROUNDING = 1e-9  # of sums of fractions (of expectations over ties): less is nothing


@dataclass(frozen=True, slots=True)
class Resampling:
    """Draws with replacement of Q queries, or of whole groups of them.

    Attributes:
        count: resamples.
        seed: of the draws; the same draws serve every figure, so that differences are paired.
        group_Q: group of each query; None = every query is one.
    """

    count: int
    seed: int
    group_Q: Int64 | None = None

    def means(self, values_Q: Float64) -> Float64:
        """The mean of each resample (R,); values that are nan are left out beforehand."""
        known_Q = ~np.isnan(values_Q)
        of_Q = np.arange(len(values_Q)) if self.group_Q is None else self.group_Q
        _, unit_Q = np.unique(of_Q[known_Q], return_inverse=True)
        sums_U = np.asarray(np.bincount(unit_Q, values_Q[known_Q]), np.float64)
        sizes_U = np.asarray(np.bincount(unit_Q), np.float64)
        return self._ratio(sums_U, sizes_U)

    def interval(self, values_Q: Float64) -> Interval | None:
        """Percentile interval of the mean; None of nothing."""
        if np.isnan(values_Q).all():
            return None
        low, high = np.percentile(self.means(values_Q), [50 - LEVEL / 2, 50 + LEVEL / 2])
        return Interval(float(low), float(high))

    def _ratio(self, sums_U: Float64, sizes_U: Float64) -> Float64:
        rng, units = np.random.default_rng(self.seed), len(sums_U)
        means = []
        for begin in range(0, self.count, BLOCK):
            drawn = rng.integers(0, units, (min(BLOCK, self.count - begin), units))
            means.append(sums_U[drawn].sum(axis=1) / sizes_U[drawn].sum(axis=1))
        return np.concatenate(means)


def intervals(values_Q: Float64, videos: Resampling, groups: Resampling | None, *, scale: float) -> Intervals:
    """Intervals of the mean of ``values_Q`` times ``scale``, over videos and over groups."""
    return Intervals(
        interval=_scaled(videos.interval(values_Q), scale),
        interval_by_group=_scaled(groups.interval(values_Q), scale) if groups else None,
    )


def paired(
    values_Q: Float64, other_Q: Float64, videos: Resampling, groups: Resampling | None, *, scale: float
) -> PairedTest:
    """The mean difference, its intervals, a p-value and a verdict.

    The p-value is of the paired randomisation test (signs of the differences flipped at random, of whole groups where
    they are known). The verdict is "better" or "worse" where every interval leaves out 0 and p is below 0.05, else "no
    difference".
    """
    difference_Q = values_Q - other_Q
    if np.isnan(difference_Q).all():
        nothing = Intervals(interval=None, interval_by_group=None)
        return PairedTest(difference=None, intervals=nothing, p=None, verdict=None, n=0)
    found = intervals(difference_Q, videos, groups, scale=scale)
    p = _randomisation(difference_Q, groups or videos)
    return PairedTest(
        difference=scale * float(np.nanmean(difference_Q)),
        intervals=found,
        p=p,
        verdict=_verdict(found, p),
        n=int((~np.isnan(difference_Q)).sum()),
    )


def _verdict(found: Intervals, p: float) -> Verdict:
    known = [interval for interval in (found.interval, found.interval_by_group) if interval is not None]
    if p < SIGNIFICANT and all(low > ROUNDING for low, _ in known):
        return "better"
    return "worse" if p < SIGNIFICANT and all(high < -ROUNDING for _, high in known) else "no difference"


def _randomisation(difference_Q: Float64, resampling: Resampling) -> float:
    known_Q = ~np.isnan(difference_Q)
    of_Q = np.arange(len(difference_Q)) if resampling.group_Q is None else resampling.group_Q
    sums_U = np.bincount(np.unique(of_Q[known_Q], return_inverse=True)[1], difference_Q[known_Q])
    rounding = 1e-12 * max(1.0, float(np.abs(sums_U).sum()))  # fractions of ties do not add up to the bit
    rng, observed, reached = np.random.default_rng(resampling.seed), abs(float(sums_U.sum())), 1
    for begin in range(0, resampling.count, BLOCK):
        signs = rng.choice([-1.0, 1.0], (min(BLOCK, resampling.count - begin), len(sums_U)))
        reached += int((np.abs(signs @ sums_U) >= observed - rounding).sum())
    return reached / (resampling.count + 1)


def _scaled(interval: Interval | None, scale: float) -> Interval | None:
    return None if interval is None else Interval(scale * interval.low, scale * interval.high)
