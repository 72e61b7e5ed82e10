"""``metrics.json`` as tables of text: title, columns, rows. Nothing is printed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...data.wording import counted
from .metric_reasons import unmatched, why_left_out, why_without_classes, why_without_forecast, why_without_retrieval
from .table_layout import NOTHING, TableText


def metric_tables(metrics: dict[str, Any]) -> list[TableText]:
    """All tables that have something to show, and lines that say why others have not.

    Without classes, what needs none comes first, and one line says what they would change.
    """
    if without := why_without_classes(metrics):
        tables = [*_of_videos(metrics), _line(without)]
    elif without := why_without_retrieval(metrics):
        tables = [_line(without), *_without_retrieval(metrics), *_of_videos(metrics)]
    else:
        of_classes = [_retrieval(metrics), _classes(metrics), _line(why_left_out(metrics)), _protocols(metrics)]
        tables = [*of_classes, *_of_videos(metrics)]
    return [(title, columns, rows) for title, columns, rows in tables if rows or (title and not columns)]


def _without_retrieval(metrics: dict[str, Any]) -> list[TableText]:
    """What the classes still say where figures of retrieval would say nothing."""
    if metrics["protocol"]["classes"] == 1:
        return [_protocols(metrics, recalls=False)]
    return [_classes(metrics, accuracies=False), _protocols(metrics)]


def _of_videos(metrics: dict[str, Any]) -> list[TableText]:
    """What can be said without classes."""
    return [_health(metrics), _forecast(metrics), _table2(metrics), _order(metrics)]


def _line(text: str) -> TableText:
    return text, [], []


def _retrieval(metrics: dict[str, Any]) -> TableText:
    protocol, rows = metrics["protocol"], metrics["retrieval"]
    centred = "centred with the gallery's mean" if protocol["centered"] else "not centred"
    queries = f"{counted(next(iter(rows.values()))['queries'], 'query', 'queries')}{unmatched(metrics)}"
    where = f"{queries}, {protocol['gallery']:,} in the gallery, split {protocol['split']}"
    texts = [_retrieval_row(name, row, protocol["tested_against"]) for name, row in rows.items()]
    columns = ["embedding", "R@1", "95 %", "R@5", "R@10", "R@20", "R@50", "mAP", "95 %", "mAP against raw"]
    over = _over(next(iter(rows.values()))["intervals"]["mAP"])
    return f"Retrieval, % ({where}; {centred}, exact; 95 %: over {over}{_ties(rows)})", columns, texts


def _ties(rows: dict[str, Any]) -> str:
    """How many queries have equally similar videos of several classes where it matters, if any have."""
    tied = {name: row.get("queries_with_ties", 0) for name, row in rows.items()}
    most = max(tied, key=lambda name: tied[name])
    if not tied[most]:
        return ""
    have = counted(tied[most], "query has", "queries have")
    return f"; up to {have} equally near videos of several classes ({most}): expectations"


def _retrieval_row(name: str, row: dict[str, Any], reference: str) -> list[str]:
    spans = {metric: interval_text(widest(row["intervals"][metric])) for metric in ("R@1", "mAP")}
    recalls = [percent(row[f"R@{k}"]) for k in (5, 10, 20, 50)]
    tested = row[f"against_{reference}"]
    verdict = difference_text(tested["mAP"]) if tested else ""
    return [name, percent(row["R@1"]), spans["R@1"], *recalls, percent(row["mAP"]), spans["mAP"], verdict]


def _classes(metrics: dict[str, Any], *, accuracies: bool = True) -> TableText:
    shots = sorted({n for row in metrics["retrieval"].values() for n in row["few_shot"]}, key=int)
    columns = ["embedding", "1-NN", "20-NN", "probe", "95 %", *(f"{n}-shot" for n in shots), "NMI", "silhouette"]
    texts = []
    for name, row in metrics["retrieval"].items():
        cluster, probed = metrics["clustering"][name], row.get("probe", {})
        texts.append(
            [
                name,
                percent(row["knn_1"] if accuracies else None),
                percent(row["knn_20"] if accuracies else None),
                percent(probed.get("accuracy") if accuracies else None),
                interval_text(widest(probed) if accuracies else None),
                *(percent(row["few_shot"].get(n, {}).get("mean")) for n in shots),
                number(cluster["nmi"], 2),
                number(cluster["silhouette"], 2),
            ]
        )
    title = "Classes from frozen embeddings, accuracy in %" if accuracies else "Clusters of the test videos' classes"
    if accuracies and unmatched(metrics):
        title += " (1-NN, 20-NN, probe: of all queries; a class that the gallery lacks counts as wrong)"
    return title, columns, texts if any({*text[1:]} - {"-"} for text in texts) else []


def _protocols(metrics: dict[str, Any], *, recalls: bool = True) -> TableText:
    columns = ["split", "embedding", "R@1", "mAP", "queries", "nearest of own recording", "R@1 without", "fit saw"]
    texts = []
    for split, measured in metrics["protocols"].items():
        if split == "official":
            continue
        for name, row in measured["rows"].items():
            alone = row["without_same_group"]
            nothing_of_own = row["nearest_of_same_group"] is not None  # recordings are known, and on one side each
            without = alone["R@1"] if alone else row["R@1"] if nothing_of_own else None
            texts.append(
                [
                    split,
                    name,
                    percent(row["R@1"] if recalls else None),
                    percent(row["mAP"] if recalls else None),
                    f"{row['queries']:,}",
                    percent(row["nearest_of_same_group"]),
                    percent(without if recalls else None),
                    percent(row.get("queries_that_the_fit_saw")),
                ]
            )
    for name, row in metrics["protocols"].get("official", {}).items() if recalls else ():
        saw = row.get("queries_that_the_fit_saw")
        means = [_spread(row.get("R@1")), _spread(row.get("mAP")), "", "", "", percent(saw["mean"]) if saw else "-"]
        texts.append(["official 1-3", name, *means])
    title = "The same embeddings on every split, % (fit saw: queries that this fit was trained on)"
    told = [columns.index(name) for name in ("R@1", "nearest of own recording")]
    return title, columns, texts if any(text[n] not in NOTHING for text in texts for n in told) else []


def _health(metrics: dict[str, Any]) -> TableText:
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
    texts = []
    for name, row in metrics["health"].items():
        group = row.get("group_probe", {})
        texts.append(
            [
                name,
                number(row["effective_rank"], 1),
                f"{row['dimensions']:.0f}",
                number(row.get("alignment"), 3),
                number(row.get("uniformity"), 2),
                number(row["anisotropy"], 3),
                number(metrics["retrieval"][name]["hubness"], 2),
                percent(group.get("accuracy")),
                percent(group.get("chance")),
            ]
        )
    measured = any(row["hubness"] is not None for row in metrics["retrieval"].values())
    hubness = "; hubness of the gallery, centred" if measured and metrics["protocol"]["centered"] else ""
    title = f"Health of the spaces (eff. rank and anisotropy near 1: collapse; not centred{hubness})"
    return title, columns, texts


def _forecast(metrics: dict[str, Any]) -> TableText:
    if not metrics["forecast"]["gaps"]:
        return _line(why_without_forecast(metrics))
    trivial = ("persistence", "climatology", "chance")
    texts = [
        [
            f"g = {gap}",
            figure(row["mse"]),
            *(figure(row[kind]["mse"]) for kind in trivial),
            number(row["cosine"], 3),
            number(row["r2"], 3),
            figure(row["skill"]),
            f"{row['n']:,}",
        ]
        for gap, row in metrics["forecast"]["gaps"].items()
    ]
    title = "Forecast (MSE of unit vectors, mean over the width; skill: against persistence, R2: against climatology)"
    return title, [f"gap, {metrics['forecast']['unit']}", "MSE", *trivial, "cosine", "R2", "skill", "n"], texts


def _table2(metrics: dict[str, Any]) -> TableText:
    rows = {name: row for name, row in metrics["table2"].items() if name != "named_pairs" and row["n"]}
    if not metrics["protocol"]["classes"] and "different_class" in rows:  # the pairs are then any, not the paper's
        rows = {**rows, "different_class": {**rows["different_class"], "paper": None}}
    names = {} if metrics["protocol"]["classes"] else {"different_class": "different videos"}
    texts = [
        [names.get(name, name), number(row["mean"], 4), number(row["sd"], 4), f"{row['n']:,}", number(row["paper"], 4)]
        for name, row in rows.items()
    ]
    return "Table 2 as distributions (the paper prints single pairs)", ["row", "mean", "sd", "n", "paper"], texts


def _order(metrics: dict[str, Any]) -> TableText:
    kinds = ("reversed", "shuffled", "half_speed", "unrelated")
    texts = [[name, *(number(row[kind]["mean"], 4) for kind in kinds)] for name, row in metrics["order"].items()]
    return "Cosine of a clip with itself in another order (1: blind to order)", ["embedding", *kinds], texts


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


def difference_text(tested: dict[str, Any]) -> str:
    """A paired difference with its verdict: ``+1.2 better``."""
    if tested["verdict"] is None:
        return "-"
    return f"{tested['difference']:+.1f} {tested['verdict']}"


def widest(intervals: Mapping[str, Any]) -> list[float] | None:
    """The interval over recordings where these are known, since their clips are not independent; else over videos."""
    found: list[float] | None = intervals.get("interval_by_group") or intervals.get("interval")
    return found


def _over(intervals: Mapping[str, Any]) -> str:
    return "recordings" if intervals.get("interval_by_group") else "videos"


def interval_text(interval: list[float] | None) -> str:
    """Both ends of an interval in percent, ``81.0-88.1``; a dash where there is none."""
    return "-" if interval is None else f"{interval[0]:.1f}-{interval[1]:.1f}"


def percent(value: float | None) -> str:
    """A value in percent with one digit after the point; a dash where there is none."""
    return "-" if value is None else f"{value:.1f}"


def number(value: float | None, digits: int) -> str:
    """A value with so many digits after the point; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def figure(value: float | None) -> str:
    """Three digits, however large or small."""
    return "-" if value is None else f"{value:.3g}"


def _spread(row: dict[str, float] | None) -> str:
    return "-" if row is None else f"{row['mean']:.1f} ± {row['sd']:.1f}"
