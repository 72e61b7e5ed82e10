"""``metrics.json`` as tables of text: title, columns, rows. Nothing is printed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...data.figures import ForecastAtGap, Health, Interval, PairedTest, Spread
from ...data.further_figures import Score, VMeasure
from ...data.metrics import Metrics
from ...data.record import Absent
from ...data.retrieval_figures import OfficialRow, RetrievalFigures, SplitRow
from ...data.wording import counted, figure, number, percent
from .metric_reasons import unmatched, why_left_out, why_without_classes, why_without_forecast, why_without_retrieval
from .table_layout import NOTHING, TableText


def metric_tables(metrics: Metrics) -> list[TableText]:
    """All tables that have something to show, and lines that say why others have not.

    Without classes, what needs none comes first, and one line says what they would change.
    """
    if without := why_without_classes(metrics):
        tables = [*_of_videos(metrics), _line(without)]
    elif without := why_without_retrieval(metrics):
        tables = [_line(without), *_without_retrieval(metrics), *_of_videos(metrics)]
    else:
        of_classes = [_retrieval(metrics), _classes(metrics), _mveb(metrics)]
        of_classes += [_line(why_left_out(metrics)), _protocols(metrics)]
        tables = [*of_classes, *_of_videos(metrics)]
    return [(title, columns, rows) for title, columns, rows in tables if rows or (title and not columns)]


def _without_retrieval(metrics: Metrics) -> list[TableText]:
    """What the classes still say where figures of retrieval would say nothing."""
    if metrics.protocol.classes == 1:
        return [_protocols(metrics, recalls=False)]
    return [_classes(metrics, accuracies=False), _protocols(metrics)]


def _of_videos(metrics: Metrics) -> list[TableText]:
    """What can be said without classes."""
    return [_health(metrics), _forecast(metrics), _table2(metrics), _order(metrics), *_harder(metrics)]


def _line(text: str) -> TableText:
    return text, [], []


def _retrieval(metrics: Metrics) -> TableText:
    protocol, rows = metrics.protocol, metrics.retrieval
    first = next(iter(rows.values()))
    centred = "centred with the gallery's mean" if protocol.centered else "not centred"
    queries = f"{counted(first.recalls.queries, 'query', 'queries')}{unmatched(metrics)}"
    where = f"{queries}, {protocol.gallery:,} in the gallery, split {protocol.split}"
    texts = [_retrieval_row(name, row) for name, row in rows.items()]
    columns = ["embedding", "R@1", "95 %", "R@5", "R@10", "R@20", "R@50", "mAP", "95 %", "mAP against raw"]
    columns += ["R@1 against best trivial", "mAP against best trivial"]
    over = "recordings" if first.intervals.mean_ap.interval_by_group else "videos"
    best = f"; best trivial: {protocol.best_trivial}" if protocol.best_trivial else ""
    best += "; *: transductive" if any(row.transductive for row in rows.values()) else ""
    return f"Retrieval, % ({where}; {centred}, exact; 95 %: over {over}{_ties(rows)}{best})", columns, texts


def _ties(rows: Mapping[str, RetrievalFigures]) -> str:
    """How many queries have equally similar videos of several classes where it matters, if any have."""
    tied = {name: row.recalls.queries_with_ties or 0 for name, row in rows.items()}
    most = max(tied, key=lambda name: tied[name])
    if not tied[most]:
        return ""
    have = counted(tied[most], "query has", "queries have")
    return f"; up to {have} equally near videos of several classes ({most}): expectations"


def _retrieval_row(name: str, row: RetrievalFigures) -> list[str]:
    found, tested, best = row.recalls, row.against_reference, row.against_best_trivial
    return [
        f"{name}*" if row.transductive else name,
        percent(found.r_at_1),
        interval_text(row.intervals.r_at_1.widest),
        *(percent(rate) for rate in (found.r_at_5, found.r_at_10, found.r_at_20, found.r_at_50)),
        percent(found.mean_ap),
        interval_text(row.intervals.mean_ap.widest),
        difference_text(tested.mean_ap) if tested else "",
        difference_text(best.r_at_1) if best else "",
        difference_text(best.mean_ap) if best else "",
    ]


def _classes(metrics: Metrics, *, accuracies: bool = True) -> TableText:
    shots = sorted({n for row in metrics.retrieval.values() for n in row.few_shot}, key=int)
    columns = ["embedding", "1-NN", "20-NN", "probe", "95 %", *(f"{n}-shot" for n in shots), "NMI", "silhouette"]
    texts = []
    for name, row in metrics.retrieval.items():
        if name not in metrics.clustering:  # the vectors of another row, ranked otherwise
            continue
        cluster, probed = metrics.clustering[name], row.probe if accuracies else None
        texts.append(
            [
                name,
                percent(row.knn_1 if accuracies else None),
                percent(row.knn_20 if accuracies else None),
                percent(probed.accuracy if probed else None),
                interval_text(probed.intervals.widest if probed else None),
                *(percent(row.few_shot[n].mean if n in row.few_shot else None) for n in shots),
                number(cluster.nmi, 2),
                number(cluster.silhouette, 2),
            ]
        )
    title = "Classes from frozen embeddings, accuracy in %" if accuracies else "Clusters of the test videos' classes"
    if accuracies and unmatched(metrics):
        title += " (1-NN, 20-NN, probe: of all queries; a class that the gallery lacks counts as wrong)"
    return title, columns, texts if any({*text[1:]} - {"-"} for text in texts) else []


def _protocols(metrics: Metrics, *, recalls: bool = True) -> TableText:
    columns = ["split", "embedding", "R@1", "mAP", "queries", "nearest of own recording", "R@1 without", "fit saw"]
    texts = [
        [split, name, *_split_row(row, recalls=recalls)]
        for split, measured in metrics.protocols.splits.items()
        for name, row in measured.rows.items()
    ]
    if recalls:
        official = metrics.protocols.official or {}
        texts.extend(["official 1-3", name, *_official_row(row)] for name, row in official.items())
    title = "The same embeddings on every split, % (fit saw: queries that this fit was trained on)"
    told = [columns.index(name) for name in ("R@1", "nearest of own recording")]
    return title, columns, texts if any(text[n] not in NOTHING for text in texts for n in told) else []


def _split_row(row: SplitRow, *, recalls: bool) -> list[str]:
    alone, whole = row.without_same_group, row.recalls
    nothing_of_own = row.nearest_of_same_group is not None  # recordings are known, and on one side each
    without = alone.r_at_1 if alone else whole.r_at_1 if nothing_of_own else None
    return [
        percent(whole.r_at_1 if recalls else None),
        percent(whole.mean_ap if recalls else None),
        f"{whole.queries:,}",
        percent(row.nearest_of_same_group),
        percent(without if recalls else None),
        percent(row.queries_that_the_fit_saw),
    ]


def _official_row(row: OfficialRow) -> list[str]:
    saw = row.queries_that_the_fit_saw
    return [_spread(row.r_at_1), _spread(row.mean_ap), "", "", "", percent(saw.mean if saw else None)]


def _health(metrics: Metrics) -> TableText:
    columns = [
        "embedding",
        "eff. rank",
        "of",
        "alignment",
        "uniformity",
        "anisotropy",
        "hubness",
        "group probe",
        "chance",
    ]
    hubness = {name: row.hubness for name, row in metrics.retrieval.items()}
    texts = [[name, *_health_row(row, hubness[name])] for name, row in metrics.health.items()]
    measured = any(skew is not None for skew in hubness.values())
    of_gallery = "; hubness of the gallery, centred" if measured and metrics.protocol.centered else ""
    title = f"Health of the spaces (eff. rank and anisotropy near 1: collapse; not centred{of_gallery})"
    return title, columns, texts


def _health_row(row: Health, hubness: float | None) -> list[str]:
    group = row.group_probe
    return [
        number(row.effective_rank, 1),
        f"{row.dimensions:.0f}",
        number(None if isinstance(row.alignment, Absent) else row.alignment, 3),
        number(row.uniformity, 2),
        number(row.anisotropy, 3),
        number(hubness, 2),
        percent(group.accuracy if group else None),
        percent(group.chance if group else None),
    ]


def _forecast(metrics: Metrics) -> TableText:
    gaps, whole, unit = metrics.forecast.skill.gaps, metrics.forecast.skill.whole, metrics.forecast.unit
    if not gaps:
        return _line(why_without_forecast(metrics))
    measured = {f"g = {gap}": row for gap, row in gaps.items()} | ({"all": whole} if whole else {})
    texts = [
        [
            gap,
            figure(row.mse),
            *(figure(trivial.mse) for trivial in (row.persistence, row.climatology, row.chance)),
            number(row.cosine, 3),
            number(row.r2, 3),
            figure(row.skill),
            *(number(row.skills().get(name), 3) for name in ("damped", "four_scalars", "recording")),
            _skill_verdict(row),
            f"{row.n:,}",
        ]
        for gap, row in measured.items()
    ]
    title = "Forecast (MSE of unit vectors, mean over the width; skill: against persistence, R2: against climatology)"
    columns = [f"gap, {unit}", "MSE", "persistence", "climatology", "chance", "cosine", "R2", "skill"]
    columns += [
        "skill of damped persistence",
        "skill of four scalars",
        "skill of recording's mean",
        "against best trivial",
        "n",
    ]
    if whole and whole.against_best:
        title = f"{title[:-1]}; best trivial: {whole.against_best.best})"
    return title, columns, texts


def _skill_verdict(row: ForecastAtGap) -> str:
    found = row.against_best
    if found is None or found.skill.difference is None:
        return ""
    return f"{found.skill.difference:+.3f} {found.skill.verdict}"


def _table2(metrics: Metrics) -> TableText:
    rows = metrics.table2.rows()
    if not metrics.protocol.classes:  # the pairs are then any, not the paper's
        any_pairs = replace(metrics.table2.different_class, paper=None)
        rows = {"different videos" if n == "different_class" else n: row for n, row in rows.items()}
        rows["different videos"] = any_pairs
    texts = [
        [name, number(row.mean, 4), number(row.sd, 4), f"{row.n:,}", number(row.paper, 4)]
        for name, row in rows.items()
        if row.n
    ]
    return "Table 2 as distributions (the paper prints single pairs)", ["row", "mean", "sd", "n", "paper"], texts


def _order(metrics: Metrics) -> TableText:
    columns = ["embedding", "reversed", "shuffled", "half_speed", "unrelated"]
    texts = [
        [name, *(number(kind.mean, 4) for kind in (row.reversed, row.shuffled, row.half_speed, row.unrelated))]
        for name, row in metrics.order.items()
    ]
    return "Cosine of a clip with itself in another order (1: blind to order)", columns, texts


def _mveb(metrics: Metrics) -> TableText:
    columns = ["embedding", "accuracy", "sd", "95 %", "V-measure", "sd", "by chance"]
    texts = [[name, *_score(row.classification), *_v_measure(row.clustering)] for name, row in metrics.mveb.items()]
    few = next((row.classification for row in metrics.mveb.values()), None)
    chance = f": chance {percent(few.chance)}" if few else ""
    return f"MVEB's protocol, % (8 examples a class, 10 draws{chance}; not centred)", columns, texts


def _v_measure(found: VMeasure | None) -> list[str]:
    if found is None:
        return ["-", "-", "-"]
    return [percent(found.v_measure), percent(found.sd), percent(found.chance)]


def _harder(metrics: Metrics) -> list[TableText]:
    """Views that are harder than retrieval, and pairs of opposite classes."""
    found = metrics.harder
    if found is None:
        return []
    columns = ["embedding", "attentive probe", "95 %", "of the mean", "arrow of time", "95 %", "reversal", "95 %"]
    texts = []
    for name in dict.fromkeys([*found.attentive_probe, *found.arrow_of_time, *found.reversal]):
        probed = found.attentive_probe.get(name)
        scores = (probed.score if probed else None, found.arrow_of_time.get(name), found.reversal.get(name))
        attentive, arrow, turned = (_score(score)[::2] for score in scores)
        texts.append([name, *attentive, percent(probed.mean if probed else None), *arrow, *turned])
    chance = next((f"; probe's chance {percent(probed.score.chance)}" for probed in found.attentive_probe.values()), "")
    title = f"Harder views, % (chance of arrow of time and reversal: 50{chance})"
    return [(title, columns, texts), _chirality(metrics)]


def _chirality(metrics: Metrics) -> TableText:
    found = metrics.harder.chirality if metrics.harder else {}
    columns = ["classes", "embedding", "accuracy", "95 %", "chance", "n"]
    texts = [
        [pair, name, *_score(score)[::2], percent(score.chance), f"{score.n:,}"]
        for name, row in found.items()
        for pair, score in row.pairs.items()
    ]
    means = [["mean", name, percent(row.accuracy), "", percent(row.chance), ""] for name, row in found.items()]
    return "Temporally opposite classes, linear probe, %", columns, texts + means if texts else []


def price_table(prices: Sequence[Mapping[str, Any]]) -> TableText:
    """What indexes cost and miss, of ``price.json``."""
    texts = [
        [
            f"{price['space']}, {price['level']}",
            price["factory"],
            f"{price['vectors']:,}",
            *(number(share, 3) for share in price["agreement"].values()),
            number(price["build_s"], 2),
            f"{price['bytes_per_vector']:,.0f}",
            f"{price['single_qps']:,.0f}",
            f"{price['many_qps']:,.0f}",
        ]
        for price in prices
    ]
    title = "Indexes (agreement with exact search at 1, 10, 50; queries a second one at a time, and many at once)"
    return title, ["index", "kind", "vectors", "@1", "@10", "@50", "build s", "B each", "1 by 1", "many"], texts


def _score(score: Score | None) -> list[str]:
    """Accuracy, its standard deviation and its interval."""
    if score is None:
        return ["-", "-", "-"]
    return [percent(score.accuracy), percent(score.sd), interval_text(score.intervals.widest)]


def difference_text(tested: PairedTest) -> str:
    """A paired difference with its verdict: ``+1.2 better``."""
    return "-" if tested.verdict is None else f"{tested.difference:+.1f} {tested.verdict}"


def interval_text(interval: Interval | None) -> str:
    """Both ends of an interval in percent, ``81.0-88.1``; a dash where there is none."""
    return "-" if interval is None else f"{interval.low:.1f}-{interval.high:.1f}"


def _spread(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.mean:z.1f} ± {spread.sd:.1f}"
