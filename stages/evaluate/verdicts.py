"""What rows are held against: the raw features, and the best that costs no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...data.retrieval_figures import TestedRecalls
from .baselines import Row
from .ranking import Ranked
from .resampling import Resampling, paired

PERSISTENCE = "persistence"  # the teacher's embedding: `mofore` itself, unless another network embeds


def best_trivial(rows: Sequence[Row], ranked: Mapping[str, Ranked]) -> str | None:
    """The row without training that has the highest mAP; None where no query has an item of its class.

    It is chosen on the queries that it is then tested on, which favours it: what beats it beats each of them.
    """
    found = {
        row.name: float(np.nanmean(ranked[row.name].precision_Q))
        for row in rows
        if not row.trained and row.name.partition("+")[0] != PERSISTENCE and ranked[row.name].answerable_Q.any()
    }
    return max(found, key=lambda name: found[name]) if found else None


def against(ranked: Ranked, reference: Ranked, videos: Resampling, groups: Resampling | None) -> TestedRecalls:
    """R@1 and mAP, query by query."""
    return TestedRecalls(
        r_at_1=paired(ranked.hits(1), reference.hits(1), videos, groups, scale=100),
        mean_ap=paired(ranked.precision_Q, reference.precision_Q, videos, groups, scale=100),
    )
