"""The same embeddings on every split there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...data.arrays import Float32
from ...data.metrics import Protocols
from ...data.retrieval_figures import SplitFigures, SplitRow
from .baselines import REFERENCE, Row, neighbour_row
from .evaluation import Evaluation
from .protocol import EvaluationSplit, mean_and_sd
from .ranking import Ranked, rank
from .retrieval import recalls, same_group_share

OFFICIAL = ("official1", "official2", "official3")
CLOSED_FORM = "neighbour_lda_mean_sd"  # the best that costs no training on real features (docs/findings.md)


def figures_of_splits(
    evaluation: Evaluation, rows: Sequence[Row], sd_VD: Float32, ranked: Mapping[str, Ranked]
) -> Protocols:
    """R@k and mAP of the learnt rows and the raw features on every split.

    Beside them, on the evaluation's own split and the official ones, is :data:`CLOSED_FORM`, fitted on the gallery of
    each. Its time grows with the width's cube, so it is not on others.

    Args:
        evaluation: whose splits.
        rows: of the evaluation's own split.
        sd_VD: standard deviation over a video's frames, as unit vectors.
        ranked: of the evaluation's own split, by row.
    """
    of_name = {row.name: row for row in rows}
    fixed = [row for row in rows if row.trained or row.name == REFERENCE]
    every = (evaluation.split, *evaluation.others)
    official_sides = {split.train for split in every if split.name in OFFICIAL}
    fitted = {evaluation.split.train: of_name[CLOSED_FORM]}
    found = {}
    for split in every:
        protocol = EvaluationSplit.of(split, evaluation.videos)
        if split.train in official_sides and split.train not in fitted:
            raw_VD = of_name[REFERENCE].embeddings_VE
            fitted[split.train] = neighbour_row(CLOSED_FORM, raw_VD, sd_VD, protocol.train)
        of_split = [*fixed, fitted[split.train]] if split.train in fitted else fixed
        found[split.name] = _figures(evaluation, protocol, of_split, ranked if split is evaluation.split else {})
    official = [found[name] for name in OFFICIAL if name in found]
    if len(official) < len(OFFICIAL):
        return Protocols(splits=found)
    means = {name: mean_and_sd([measured.rows[name] for measured in official]) for name in official[0].rows}
    return Protocols(splits=found, official=means)


def _figures(
    evaluation: Evaluation, protocol: EvaluationSplit, rows: Sequence[Row], known: Mapping[str, Ranked]
) -> SplitFigures:
    """Of one split; ``known`` are rankings that were made already."""
    found = {}
    for row in rows:
        sides = row.sides(protocol)
        whole = known[row.name] if row.name in known else evaluation.repeats.call(rank, sides)
        found[row.name] = SplitRow(
            recalls=recalls(whole),
            nearest_of_same_group=same_group_share(whole, sides),
            without_same_group=recalls(rank(sides, same_group=False)) if sides.leak else None,
            queries_that_the_fit_saw=_share_seen(evaluation, protocol, row) if row.trained else None,
        )
    return SplitFigures(queries=len(protocol.queries), gallery=len(protocol.gallery), rows=found)


def _share_seen(evaluation: Evaluation, protocol: EvaluationSplit, row: Row) -> float | None:
    """Percent of the queries that the row's fit was trained on; None if that is not known."""
    seen = evaluation.seen.get(row.name, evaluation.split.train)
    if not len(protocol.queries) or seen is None:
        return None
    return 100.0 * float(np.mean([evaluation.videos[query].id in seen for query in protocol.queries]))
