"""What a run found, on one screen: the answer in a sentence, the headline table, and where the rest is."""

from __future__ import annotations

from ...data.metrics import Metrics
from ...data.wording import counted, number, percent
from .metric_reasons import why_without_classes, why_without_forecast, why_without_retrieval
from .metric_tables import difference_text, interval_text
from .table_layout import TableText

ROW, RAW = "mofore", "raw_mean_pool"
MOST_ROWS = 6


def verdict_text(metrics: Metrics) -> str:
    """How the embedding's mAP stands against the best row without training: ``+0.2 better``; a dash where untested."""
    row = metrics.retrieval.get(ROW)
    tested = row.against_best_trivial if row else None
    return difference_text(tested.mean_ap) if tested else "-"


def summary_tables(metrics: Metrics) -> list[TableText]:
    """The answer and the headline table."""
    answer = answer_text(metrics)
    if not has_retrieval(metrics):
        return [(answer, [], []), *_of_health(metrics)]
    return [(answer, [], []), _headline(metrics)]


def has_retrieval(metrics: Metrics) -> bool:
    """Whether retrieval says anything: there are classes, more than one, and queries with a match."""
    return not why_without_classes(metrics) and not why_without_retrieval(metrics)


def answer_text(metrics: Metrics) -> str:
    """What the training gave, held against the best that costs none, in a sentence or two."""
    why = why_without_classes(metrics) or why_without_retrieval(metrics)
    retrieval = f"{why.rstrip('.')}." if why else _of_retrieval(metrics)
    return f"{retrieval} {_of_forecast(metrics)}"


def _of_retrieval(metrics: Metrics) -> str:
    """Queries answered, and the paired verdict."""
    found, best = metrics.retrieval[ROW], metrics.protocol.best_trivial
    asked, raw = counted(found.recalls.queries, "query", "queries"), metrics.retrieval[RAW].recalls.r_at_1
    said = (
        f"With {ROW}, the nearest video is of the query's class for {percent(found.recalls.r_at_1)} % of {asked}, with "
        f"the raw features for {percent(raw)} %."
    )
    tested = found.against_best_trivial.mean_ap if found.against_best_trivial else None
    if tested is None or tested.verdict is None or best is None:
        return said
    stands = "is not told apart from" if tested.verdict == "no difference" else f"is {tested.verdict} than"
    return (
        f"{said} Its mAP of {percent(found.recalls.mean_ap)} {stands} that of the best row without training ({best}: "
        f"{percent(metrics.retrieval[best].recalls.mean_ap)}; {tested.difference:+.1f} points, paired)."
    )


def _of_forecast(metrics: Metrics) -> str:
    whole = metrics.forecast.skill.whole
    if whole is None or whole.skill is None:
        return f"{why_without_forecast(metrics)}."
    than = "better" if whole.skill > 0 else "worse"
    return f"The forecast is {than} than saying that nothing changes (skill {whole.skill:+.2f})."


def _headline(metrics: Metrics) -> TableText:
    """At most six rows: what is learnt, the raw features, the best trivial row, and those that come next."""
    trivial = sorted(
        (name for name in metrics.retrieval if name not in (ROW, "predict", RAW, "persistence") and "+mp" not in name),
        key=lambda name: metrics.retrieval[name].recalls.mean_ap or 0.0,
        reverse=True,
    )
    best = metrics.protocol.best_trivial
    wanted = [ROW, "predict", RAW, "untrained", *((best,) if best else ()), *trivial]
    names = [name for name in dict.fromkeys(wanted) if name in metrics.retrieval][:MOST_ROWS]
    columns = ["embedding", "R@1", "mAP", "95 %", "probe", "mAP against best trivial"]
    rows = []
    for name in names:
        row = metrics.retrieval[name]
        tested = row.against_best_trivial
        rows.append(
            [
                name,
                percent(row.recalls.r_at_1),
                percent(row.recalls.mean_ap),
                interval_text(row.intervals.mean_ap.widest),
                percent(row.probe.accuracy if row.probe else None),
                "is the best" if name == best else difference_text(tested.mean_ap) if tested else "",
            ]
        )
    protocol = metrics.protocol
    title = f"Retrieval, % ({protocol.gallery:,} in the gallery, split {protocol.split}; 95 %: of mAP)"
    return title, columns, rows


def _of_health(metrics: Metrics) -> list[TableText]:
    """Without classes: how the spaces are filled."""
    columns = ["embedding", "eff. rank", "of", "anisotropy"]
    names = [name for name in (ROW, "predict", RAW, "untrained") if name in metrics.health]
    texts = [
        [
            name,
            number(metrics.health[name].effective_rank, 1),
            f"{metrics.health[name].dimensions:.0f}",
            number(metrics.health[name].anisotropy, 3),
        ]
        for name in names
    ]
    return [("Health of the spaces (eff. rank and anisotropy near 1: collapse)", columns, texts)] if texts else []
