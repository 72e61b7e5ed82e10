"""The same embeddings on every split there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...data.arrays import Float32
from ...data.metrics import Protocols
from ...data.retrieval_figures import SplitFigures, SplitRow
from ...data.types import Split
from .baselines import REFERENCE, Row, neighbour_rows
from .evaluation import Evaluation
from .protocol import EvaluationSplit, mean_and_sd
from .ranking import Ranked, rank
from .retrieval import recalls, same_group_share


def figures_of_splits(
    evaluation: Evaluation, rows: Sequence[Row], sd_VD: Float32, ranked: Mapping[str, Ranked]
) -> Protocols:
    """R@k and mAP of the learnt rows, of the raw features, and of their neighbours' closed forms, on every split.

    What is learnt is of one split; the closed forms are of the gallery of each, as they are fitted in a moment.

    Args:
        evaluation: whose splits.
        rows: of the evaluation's own split.
        sd_VD: standard deviation over a video's frames, as unit vectors.
        ranked: of the evaluation's own split, by row.
    """
    own = [row for row in rows if row.trained or row.name == REFERENCE or row.of_neighbours]
    (raw,) = (row for row in rows if row.name == REFERENCE)
    found = {evaluation.split.name: _figures(evaluation, _of(evaluation, evaluation.split), own, ranked)}
    for split in evaluation.others:
        protocol = _of(evaluation, split)
        fitted = neighbour_rows(raw.embeddings_VE, sd_VD, protocol.train)
        found[split.name] = _figures(evaluation, protocol, [*(row for row in own if not row.of_neighbours), *fitted])
    official = [found[name] for name in sorted(found) if name.startswith("official")]
    if len(official) != 3:
        return Protocols(splits=found)
    means = {name: mean_and_sd([measured.rows[name] for measured in official]) for name in official[0].rows}
    return Protocols(splits=found, official=means)


def _of(evaluation: Evaluation, split: Split) -> EvaluationSplit:
    return EvaluationSplit.of(split, evaluation.videos)


def _figures(
    evaluation: Evaluation, protocol: EvaluationSplit, rows: Sequence[Row], ranked: Mapping[str, Ranked] | None = None
) -> SplitFigures:
    found = {}
    for row in rows:
        sides = row.sides(protocol)
        whole = ranked[row.name] if ranked else evaluation.repeats.call(rank, sides)
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
