"""The answer in a sentence: does what was learnt beat what costs no training? It goes by the tests in the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...data.figures import PairedTest
from ...data.metrics import Metrics
from ...data.retrieval_figures import RetrievalFigures
from ...data.wording import percent

ROW = "mofore"
LEARNT = (ROW, "predict", "persistence")  # rows that a fit has made; those of other fits are called fit:KEY
Tone = Literal["good", "bad", "even", "unknown"]
TONES: dict[str | None, Tone] = {"better": "good", "worse": "bad", "no difference": "even", None: "unknown"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A sentence, what it is to be coloured like, and the sentences that go with it."""

    tone: Tone
    sentence: str
    details: tuple[str, ...]


def is_learnt(row: str) -> bool:
    """Whether a row of the retrieval comes from a fit."""
    return row.partition("+")[0] in LEARNT or row.startswith("fit:")


def answer(metrics: Metrics) -> Answer:
    """What the figures say, and no more than the tests allow."""
    best, row = metrics.protocol.best_trivial, metrics.retrieval.get(ROW)
    forecast = _forecast(metrics)
    if best is None or row is None or row.against_best_trivial is None or row.recalls.mean_ap is None:
        known = tuple(filter(None, [forecast]))
        return Answer("unknown", "Whether training helped retrieval cannot be said: nothing could be retrieved.", known)
    tested = row.against_best_trivial.mean_ap
    bar = metrics.retrieval[best].recalls
    figures = f"mAP {row.recalls.mean_ap:.1f} % against {bar.mean_ap or 0.0:.1f} %, {_difference(tested)}"
    rival = f"{best}, the best row that costs no training"
    sentence = {
        "good": f"Training helped: mofore retrieves better than {rival}",
        "bad": f"Training did not help: mofore retrieves worse than {rival}",
        "even": f"Training made no measurable difference: mofore cannot be told apart from {rival}",
        "unknown": f"Whether mofore beats {rival}, could not be tested",
    }[TONES[tested.verdict]]
    details = tuple(filter(None, [_queries(metrics), _nearest(row, best), _raw(row), forecast]))
    return Answer(TONES[tested.verdict], f"{sentence} ({figures}).", details)


def _queries(metrics: Metrics) -> str:
    """How many queries find a video of their class, as the summary in the terminal begins."""
    row, raw = metrics.retrieval[ROW].recalls, metrics.retrieval.get("raw_mean_pool")
    said = f"The nearest video is of the query's class for {percent(row.r_at_1)} % of {row.queries:,} queries"
    return f"{said}, with the raw features for {percent(raw.recalls.r_at_1)} %." if raw else f"{said}."


def _nearest(row: RetrievalFigures, best: str) -> str:
    """The other figure, where its test says something else than that of mAP."""
    tested = row.against_best_trivial
    if tested is None or tested.r_at_1.verdict == tested.mean_ap.verdict or tested.r_at_1.verdict is None:
        return ""
    return f"By the nearest video alone (R@1) the verdict against {best} is: {_verdict(tested.r_at_1)}."


def _raw(row: RetrievalFigures) -> str:
    tested = row.against_reference
    if tested is None or tested.mean_ap.verdict is None:
        return ""
    return f"Against the raw features (raw_mean_pool), by mAP: {_verdict(tested.mean_ap)}."


def _forecast(metrics: Metrics) -> str:
    whole = metrics.forecast.skill.whole
    if whole is None or whole.against_best is None or whole.against_best.skill.difference is None:
        return ""
    found = whole.against_best
    word = {"better": "better than", "worse": "worse than", "no difference": "no better and no worse than"}
    verdict = word.get(found.skill.verdict or "", "not to be compared with")
    skill = "" if whole.skill is None else f"skill {whole.skill:.3f} against persistence; "
    return (
        f"Forecasting: {verdict} {found.best}, the best forecast without a network "
        f"({skill}difference {found.skill.difference:+.3f})."
    )


def _verdict(tested: PairedTest) -> str:
    return f"{tested.verdict} ({_difference(tested)})"


def _difference(tested: PairedTest) -> str:
    if tested.difference is None:
        return "no difference known"
    widest = tested.intervals.widest
    interval = f", 95 % {widest.low:+.1f} to {widest.high:+.1f}" if widest else ""
    return f"{tested.difference:+.1f} points{interval}"
