"""Why ``metrics.json`` has nothing to show of something, and what would change it, in one line each."""

from __future__ import annotations

from ...data.metrics import Metrics
from ...data.wording import as_overrides, counted

MOST_CLASSES = 5  # that are named


def why_without_classes(metrics: Metrics) -> str:
    """Why nothing can be said that needs classes on both sides of the split; empty where it can."""
    protocol = metrics.protocol
    if protocol.classes == 0:
        return (
            "Retrieval and classes: no video has a class. R@k, mAP, k-NN, probes, clusters and tables by class need "
            "them (data.layout, data.table). Near-duplicates need none: mofore duplicates"
        )
    if protocol.evaluated_on != "test videos":
        return (
            f"Retrieval and classes: split {protocol.split} has no test video to ask with (data.split). "
            "The figures above are of training videos. Near-duplicates need no split: mofore duplicates"
        )
    sides = {"test": protocol.queries, "training": protocol.gallery}
    lacking = [f"no {side} video" for side, videos in sides.items() if not videos]
    if lacking:
        return (
            f"Retrieval and classes: {' and '.join(lacking)} of split {protocol.split} has a class. R@k, mAP, k-NN "
            "and probes need classes on both sides (data.layout, data.table, data.split). Near-duplicates need none: "
            "mofore duplicates"
        )
    return ""


def why_without_retrieval(metrics: Metrics) -> str:
    """Why figures of retrieval would say nothing, although there are classes on both sides; empty where they say."""
    protocol = metrics.protocol
    if protocol.classes == 1:
        return (
            "Retrieval: one class: 100 % is what anything gets, so R@k, mAP, k-NN and probes are left out; they need "
            "two classes or more (data.layout, data.table). Near-duplicates need none: mofore duplicates"
        )
    if any(row.recalls.queries for row in metrics.retrieval.values()):
        return ""
    queries = protocol.queries
    are = f"the {queries:,} test videos are" if queries > 1 else "the test video is"
    return (
        f"Retrieval: {are} of classes that the gallery lacks ({_lacking(metrics)}), so nothing can be found: they need "
        f"training videos of these classes (data.split, data.lists; the split is {protocol.split})"
    )


def unmatched(metrics: Metrics) -> str:
    """How many queries are left out of the retrieval, and of which classes, in brackets; empty where none is."""
    left_out = next(iter(metrics.retrieval.values())).recalls.queries_without_a_match
    if not left_out:
        return ""
    return f" (and {left_out:,} left out, of classes that the gallery lacks: {_lacking(metrics)})"


def why_left_out(metrics: Metrics) -> str:
    """What is not measured where videos have several classes; empty where all is."""
    found = metrics.left_out
    if found is None:
        return ""
    have = counted(found.videos, "video has", "videos have")
    names = ", ".join(found.figures).replace("_", " ")
    return f"Not measured, since {have} several classes: {names}"


def why_without_forecast(metrics: Metrics) -> str:
    """Why no forecast was measured."""
    found = metrics.forecast.why_empty
    side, unit = metrics.protocol.evaluated_on.removesuffix(" videos"), metrics.forecast.unit
    if found is None:
        return f"Forecast: not measured, since fewer than two {side} videos hold two clips with a gap between"
    short = found.short
    if found.videos < 2 or short is None:
        return f"Forecast: not measured, since it takes two {side} videos and there {_are(found.videos)} (data.split)"
    least = 2 * short.clip + short.gap
    holds = "only one holds" if short.long_enough else "none holds"
    said = (
        f"Forecast: not measured, since of {found.videos:,} {side} videos {holds} two clips of {short.clip:g} "
        f"{unit} and a gap of {short.gap:g}, that is {least:g}; the median one has {short.median:g}"
    )
    if not short.settings:
        return said
    return f"{said}. {as_overrides('fit', short.settings)} would let {short.suits:,}"


def _lacking(metrics: Metrics) -> str:
    """The classes of queries without a match, each with its queries if there are several."""
    counts = {}
    for name, row in metrics.per_class.items():
        told, unanswered = row.queries_without_a_match, row.queries if row.r_at_1["mofore"] is None else 0
        counts[name] = unanswered if told is None else told
    found = [f"{name}: {count:,}" for name, count in counts.items() if count]
    if len(found) == 1:
        found = [found[0].rpartition(":")[0]]
    more = f" and {len(found) - MOST_CLASSES:,} more" if len(found) > MOST_CLASSES else ""
    return ", ".join(found[:MOST_CLASSES]) + more


def _are(count: int) -> str:
    return "is one" if count == 1 else "are none"
