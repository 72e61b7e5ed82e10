"""The metrics of a fit, each beside the trivial baselines that it must beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from ...data.arrays import Float32, Float64
from ...data.figures import Distribution, ForecastAtGap, Health, OrderSensitivity
from ...data.fit_settings import FitSettings
from ...data.further_figures import Harder, Mveb
from ...data.index_settings import IndexSettings
from ...data.metrics import SCHEMA, Forecast, LeftOut, Metrics, Protocol, Queries, QueryFigures, Table2
from ...data.retrieval_figures import (
    Clusters,
    Probe,
    RetrievalFigures,
    SureRecalls,
)
from ...data.settings import EvaluateSettings
from ..model.embedding import FramesMean, Views, embedder_of, sd_pool
from ..model.forecaster import Forecaster
from .baselines import REFERENCE, Row, RowSources, rows_to_compare, untrained, with_mutual_proximity
from .classification import few_shot, knn_accuracy
from .clustering import clustering
from .embedding_health import alignment, group_probe, health
from .evaluation import Evaluation
from .forecast_skill import References, fitted_scalars, forecast_metrics, neighbour_similarity, why_empty
from .harder import HarderInputs, harder
from .linear_probe import Probed, probe
from .mveb import mveb
from .order_sensitivity import order_sensitivity
from .paper_table import PAPER, different_pairs, distribution, named_pairs, same_class_pairs, similarity_rows
from .protocol import EvaluationSplit
from .ranking import Ranked, rank
from .resampling import Resampling, intervals
from .retrieval import (
    confusions,
    hubness,
    per_class,
    purity_by_distance,
    recalls,
)
from .splits import figures_of_splits
from .trivial_forecasts import recording_means
from .verdicts import PERSISTENCE, against, best_trivial

SHOWN = ("mofore", REFERENCE)  # of what is told by class and by distance
PROBED = ("mofore", "predict", PERSISTENCE, REFERENCE, "untrained")
OF_ONE_CLASS = ("few_shot", "probe", "confusions", "clustering", "group_probe")  # need one class a video

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """``metrics.json``, and ``queries.json``: what each query met, for paired comparisons."""

    metrics: Metrics
    queries: Queries


def embedders(forecaster: Forecaster, fit: FitSettings, settings: IndexSettings) -> dict[str, nn.Module]:
    """What all videos are embedded by for the metrics, by the names of their rows."""
    source = settings.embed_from
    return {
        "mofore": embedder_of(forecaster, source, fit),
        "untrained": untrained(forecaster, fit, source),
        REFERENCE: FramesMean(),
        **({} if source == "teacher" else {PERSISTENCE: forecaster.teacher}),
    }


RANKING, FORECASTS, PROBES, CLUSTERS = "nearest neighbours", "forecasts", "intervals and probes", "clusters"
SPLITS, HEALTH, HARDER = "every split", "health of the spaces", "harder views"
PARTS = (RANKING, FORECASTS, PROBES, CLUSTERS, SPLITS, HEALTH, HARDER)  # of the metrics, in order


def evaluate(
    evaluation: Evaluation,
    views: Mapping[str, Views],
    spaces: Mapping[str, Float32],
    *,
    at: Callable[[str], None] = lambda _part: None,
) -> Evaluated:
    """Measure everything.

    Args:
        evaluation: what to measure.
        views: of all videos, by each of :func:`embedders`.
        spaces: unit embeddings (V, E) of the indexed spaces, "mofore" and "frames" among them.
        at: told which of :data:`PARTS` begins.
    """

    def part(name: str, make: Callable[[], T]) -> T:
        at(name)
        return make()

    at(RANKING)
    sd_VD = sd_pool(evaluation.memory)
    rows = _rows(evaluation, views, spaces, sd_VD)
    vectors = [row for row in rows if not row.mutual]
    protocol = EvaluationSplit.of(evaluation.split, evaluation.videos)
    ranked = by_row(rows, lambda row: evaluation.repeats.call(rank, row.sides(protocol)))
    best = best_trivial(rows, ranked)
    shown, sides = {name: ranked[name] for name in SHOWN}, protocol.sides(rows[0].embeddings_VE, centered=False)
    forecast = part(FORECASTS, lambda: _forecast(evaluation, views, protocol))
    metrics = Metrics(
        schema=SCHEMA,
        retrieval=part(PROBES, lambda: _retrieval(evaluation, rows, ranked, protocol, best)),
        per_class=per_class(shown, sides, protocol.classes),
        confusions={}
        if protocol.several
        else {name: confusions(of_name, sides, protocol.classes) for name, of_name in shown.items()},
        purity_by_distance={name: purity_by_distance(of_name) for name, of_name in shown.items()},
        clustering=part(CLUSTERS, lambda: by_row(vectors, lambda row: _clustering(evaluation, row, protocol))),
        left_out=_left_out(protocol, evaluation.settings),
        protocols=part(SPLITS, lambda: figures_of_splits(evaluation, vectors, sd_VD, ranked)),
        table2=_table2(evaluation, views, spaces["mofore"], forecast),
        forecast=forecast,
        health=part(HEALTH, lambda: _health(evaluation, vectors, views, protocol)),
        order=_order(evaluation),
        mveb=_mveb(evaluation, vectors, protocol),
        harder=part(HARDER, lambda: _harder(evaluation, vectors, protocol)),
        protocol=_protocol(evaluation, protocol, rows, best),
    )
    return Evaluated(metrics, _queries(evaluation, ranked, protocol))


def _rows(
    evaluation: Evaluation, views: Mapping[str, Views], spaces: Mapping[str, Float32], sd_VD: Float32
) -> list[Row]:
    given = RowSources(
        persistence_VE=views[PERSISTENCE].pooled() if PERSISTENCE in views else spaces["mofore"],
        untrained_VE=views["untrained"].pooled(),
        sd_VD=sd_VD,
    )
    rows = rows_to_compare(spaces, given, evaluation.rows("train"), evaluation.embedding, evaluation.settings.seed)
    return with_mutual_proximity(rows) if evaluation.settings.mutual_proximity else rows


def by_row(rows: Sequence[Row], measure: Callable[[Row], T]) -> dict[str, T]:
    """``measure`` of each row by its name; a row with the embeddings of an earlier one shares all of its figures."""
    known: dict[tuple[int, bool, bool], T] = {}
    found = {}
    for row in rows:
        same = (id(row.embeddings_VE), row.centered, row.mutual)
        found[row.name] = known[same] if same in known else known.setdefault(same, measure(row))
    return found


def _retrieval(
    evaluation: Evaluation,
    rows: Sequence[Row],
    ranked: Mapping[str, Ranked],
    protocol: EvaluationSplit,
    best: str | None,
) -> dict[str, RetrievalFigures]:
    """Retrieval and classification from test to training videos, with intervals and tests."""
    videos, groups = _resamplings(evaluation.settings, protocol)
    probed = () if protocol.several else PROBED
    seed, reference, repeats = evaluation.settings.seed, ranked[REFERENCE], evaluation.repeats

    def measure(row: Row) -> RetrievalFigures:
        sides, of_row = row.sides(protocol), ranked[row.name]
        return RetrievalFigures(
            recalls=recalls(of_row),
            knn_1=knn_accuracy(of_row, sides, 1),
            knn_20=knn_accuracy(of_row, sides),
            hubness=hubness(of_row, sides),
            intervals=SureRecalls(
                r_at_1=intervals(of_row.hits(1), videos, groups, scale=100),
                mean_ap=intervals(of_row.precision_Q, videos, groups, scale=100),
            ),
            few_shot={} if protocol.several or row.mutual else repeats.call(few_shot, sides, seed),
            probe=_probe(repeats.call(probe, sides, seed), videos, groups) if row.name in probed else None,
            against_reference=None if row.name == REFERENCE else against(of_row, reference, videos, groups),
            against_best_trivial=None if best in (None, row.name) else against(of_row, ranked[best], videos, groups),
            transductive=row.transductive,
        )

    return by_row(rows, measure)


def _probe(found: Probed, videos: Resampling, groups: Resampling | None) -> Probe:
    return Probe(
        accuracy=found.accuracy,
        c=found.c,
        accuracy_held_out=found.accuracy_held_out,
        intervals=intervals(found.right_Q, videos, groups, scale=100),
    )


def _left_out(protocol: EvaluationSplit, settings: EvaluateSettings) -> LeftOut | None:
    """Figures that are not measured where a video has several classes."""
    if protocol.member_VC is None:
        return None
    asked = {"mveb": settings.mveb, "attentive_probe": settings.harder, "chirality": bool(settings.chiral_pairs)}
    figures = (*OF_ONE_CLASS, *(name for name, is_asked in asked.items() if is_asked))
    several = int((protocol.member_VC.sum(axis=1) > 1).sum())
    return LeftOut(figures=figures, why="they need one class a video", videos=several)


def _clustering(evaluation: Evaluation, row: Row, protocol: EvaluationSplit) -> Clusters:
    if protocol.several:
        return Clusters(nmi=None, silhouette=None, clusters=None)
    sides = row.sides(protocol)
    return evaluation.repeats.call(clustering, sides.queries_QE, sides.class_Q, evaluation.settings.seed)


def _forecast(evaluation: Evaluation, views: Mapping[str, Views], protocol: EvaluationSplit) -> Forecast:
    """On the videos of the evaluation side."""
    chosen = evaluation.evaluated
    _, memory = evaluation.side(chosen)
    mean_VE, train = views.get(PERSISTENCE, views["mofore"]).mean_VE, evaluation.rows("train")
    climate_E = mean_VE[torch.from_numpy(train if len(train) else chosen)].mean(dim=0)
    _, seen = evaluation.side(train)
    scalars = fitted_scalars(evaluation.forecaster.teacher, seen, evaluation.fit, climate_E)
    group_V = protocol.group_V
    of_recordings = None if group_V is None else recording_means(mean_VE, torch.from_numpy(group_V), climate_E)
    recording_VE = None if of_recordings is None else of_recordings[torch.from_numpy(chosen)]
    settings = evaluation.settings
    groups = None if group_V is None else group_V[chosen]
    against_these = References(climate_E, scalars, recording_VE, groups, settings.resamples, settings.seed)
    skill = forecast_metrics(evaluation.forecaster, memory, evaluation.fit, against_these)
    return Forecast(
        unit=evaluation.fit.unit, skill=skill, why_empty=None if skill.gaps else why_empty(memory, evaluation.fit)
    )


def _table2(evaluation: Evaluation, views: Mapping[str, Views], embeddings_VE: Float32, forecast: Forecast) -> Table2:
    """On the videos of the evaluation side."""
    settings, chosen = evaluation.settings, evaluation.evaluated
    videos, memory = evaluation.side(chosen)
    different_P2 = different_pairs(videos, settings.pairs, settings.seed)
    same_P2 = same_class_pairs(videos, settings.pairs, settings.seed)
    first_VE, last_VE = views["mofore"].first_VE.cpu().numpy(), views["mofore"].last_VE.cpu().numpy()
    # A video of one window has two views that are one.
    long_V = (memory.extent_V(evaluation.fit.unit) > evaluation.fit.span).cpu().numpy()
    several = chosen[long_V & (evaluation.embedding.views > 1)]
    neighbours_B = neighbour_similarity(evaluation.forecaster, memory, evaluation.fit).cpu()
    return Table2(
        forecast_mse=_forecast_mse(forecast.skill.whole),
        **similarity_rows((first_VE[several], last_VE[several]), embeddings_VE[chosen], same_P2, different_P2),
        temporal_consistency=distribution(neighbours_B, PAPER["temporal_consistency"]),
        named_pairs=named_pairs(evaluation.videos, (first_VE, last_VE), embeddings_VE),
    )


def _forecast_mse(whole: ForecastAtGap | None) -> Distribution:
    paper = PAPER["forecast_mse"]
    if whole is None:
        return Distribution(mean=None, sd=None, n=0, paper=paper)
    return Distribution(mean=whole.mse, sd=whole.mse_sd, n=whole.n, paper=paper)


def _health(
    evaluation: Evaluation, rows: Sequence[Row], views: Mapping[str, Views], protocol: EvaluationSplit
) -> dict[str, Health]:
    """Figures of each space on the videos of the evaluation side, not centred; the group probe on all videos."""
    settings, chosen = evaluation.settings, evaluation.evaluated
    videos, _ = evaluation.side(chosen)
    pairs_P2 = different_pairs(videos, settings.pairs, settings.seed)

    def measure(row: Row) -> Health:
        found = health(row.embeddings_VE[chosen], pairs_P2)
        if row.name in views:
            mean_VE = views[row.name].mean_VE.cpu().numpy()
            found = replace(found, alignment=alignment(mean_VE[chosen], evaluation.embedding.views))
        if row.name in PROBED and protocol.group_V is not None and not protocol.several:
            probed = group_probe(row.embeddings_VE, protocol.class_V, protocol.group_V)
            found = replace(found, group_probe=probed)
        return found

    return by_row(rows, measure)


def _order(evaluation: Evaluation) -> dict[str, OrderSensitivity]:
    """What happens to embeddings when the frames of a clip change places, trained and untrained."""
    settings, fit = evaluation.settings, evaluation.fit
    _, memory = evaluation.side(evaluation.evaluated)
    networks = embedders(evaluation.forecaster, fit, evaluation.embedding)
    return {name: order_sensitivity(networks[name], memory, fit, settings.seed) for name in ("mofore", "untrained")}


def _mveb(evaluation: Evaluation, rows: Sequence[Row], protocol: EvaluationSplit) -> dict[str, Mveb]:
    """MVEB's figures, of embeddings that are not centred, as a model of `mteb` gives them."""
    if not evaluation.settings.mveb or protocol.several:
        return {}
    videos, groups = _resamplings(evaluation.settings, protocol)
    chosen = [replace(row, centered=False) for row in rows if row.name in PROBED]
    return by_row(chosen, lambda row: mveb(protocol.sides(row.embeddings_VE, centered=False), videos, groups))


def _harder(evaluation: Evaluation, rows: Sequence[Row], protocol: EvaluationSplit) -> Harder | None:
    networks = embedders(evaluation.forecaster, evaluation.fit, evaluation.embedding)
    compared = ("mofore", "untrained")
    return harder(
        HarderInputs(
            videos=evaluation.videos,
            memory=evaluation.memory,
            embedders={name: networks[name] for name in compared},
            embeddings={row.name: row.embeddings_VE for row in rows if row.name in (*compared, REFERENCE)},
            fit=evaluation.fit,
            settings=evaluation.settings,
            protocol=protocol,
            sides=(evaluation.rows("train"), evaluation.rows("test")),
        )
    )


def _resamplings(settings: EvaluateSettings, protocol: EvaluationSplit) -> tuple[Resampling, Resampling | None]:
    videos = Resampling(settings.resamples, settings.seed)
    if protocol.group_V is None:
        return videos, None
    return videos, Resampling(settings.resamples, settings.seed, protocol.group_V[protocol.queries])


def _queries(evaluation: Evaluation, ranked: Mapping[str, Ranked], protocol: EvaluationSplit) -> Queries:
    """What each query met, for every row."""
    videos = [evaluation.videos[row] for row in protocol.queries]
    return Queries(
        split=protocol.name,
        ids=tuple(video.id for video in videos),
        labels=tuple(list(video.labels) if video.more_labels else video.label for video in videos),
        groups=tuple(video.group for video in videos),
        rows={
            name: QueryFigures(
                r_at_1=_listed(of_name.hits(1)),
                first_hit=_listed(of_name.first.expected_rank()),
                average_precision=_listed(of_name.precision_Q, whole=False),
            )
            for name, of_name in ranked.items()
        },
    )


def _listed(value_Q: Float64, *, whole: bool = True) -> tuple[float | None, ...]:
    """Values for JSON: None for nan, whole numbers without a point if there may be such."""
    return tuple(
        None if np.isnan(value) else int(value) if whole and value.is_integer() else value for value in value_Q.tolist()
    )


def _protocol(evaluation: Evaluation, protocol: EvaluationSplit, rows: Sequence[Row], best: str | None) -> Protocol:
    settings, embedding = evaluation.settings, evaluation.embedding
    train, test = evaluation.rows("train"), evaluation.rows("test")
    return Protocol(
        split=evaluation.split.name,
        gallery=len(protocol.gallery),
        queries=len(protocol.queries),
        unlabelled=len(train) + len(test) - len(protocol.gallery) - len(protocol.queries),
        unassigned=len(evaluation.videos) - len(train) - len(test),
        classes=len(protocol.classes),
        similarity="cosine",
        centered=embedding.center,
        centered_with="mean of the training videos" if embedding.center else None,
        views=embedding.views,
        exact=True,
        unit_of_retrieval="percent of queries",
        rows={row.name: row.what for row in rows},
        evaluated_on="test videos" if len(test) else "training videos",
        intervals=f"95 % percentile bootstrap, {settings.resamples} resamples of videos, and of recordings",
        tested_against=REFERENCE,
        best_trivial=best,
        seed=settings.seed,
        fit_seed=evaluation.fit.seed,
        fit_videos="training videos",
    )
