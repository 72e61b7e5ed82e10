import json
from dataclasses import replace
from pathlib import Path

import pytest

from mofore.data.figures import Interval, Intervals, PairedTest, Verdict
from mofore.data.metrics import Metrics
from mofore.stages.report.answer import answer, is_learnt


@pytest.fixture(scope="module")
def metrics(finished: Path) -> Metrics:
    return Metrics.from_json(json.loads((finished / "metrics.json").read_text()))


def outcome(difference: float, verdict: Verdict) -> PairedTest:
    interval = Interval(difference - 1, difference + 1)
    return PairedTest(
        difference=difference,
        intervals=Intervals(interval=interval, interval_by_group=None),
        p=0.01,
        verdict=verdict,
        n=9,
    )


def with_verdicts(metrics: Metrics, mean_ap: PairedTest, r_at_1: PairedTest) -> Metrics:
    row = metrics.retrieval["mofore"]
    assert row.against_best_trivial is not None
    row = replace(row, against_best_trivial=replace(row.against_best_trivial, r_at_1=r_at_1, mean_ap=mean_ap))
    return replace(metrics, retrieval={**metrics.retrieval, "mofore": row})


@pytest.mark.parametrize(
    ("difference", "verdict", "tone", "words"),
    [
        (3.0, "better", "good", "Training helped: mofore retrieves better than"),
        (-3.0, "worse", "bad", "Training did not help: mofore retrieves worse than"),
        (0.2, "no difference", "even", "Training made no measurable difference"),
    ],
)
def test_the_answer_is_what_the_test_says(
    metrics: Metrics, difference: float, verdict: Verdict, tone: str, words: str
) -> None:
    same = outcome(difference, verdict)
    found = answer(with_verdicts(metrics, same, same))
    assert found.tone == tone
    assert found.sentence.startswith(words)
    assert metrics.protocol.best_trivial is not None
    assert metrics.protocol.best_trivial in found.sentence
    assert f"{difference:+.1f} points, 95 % {difference - 1:+.1f} to {difference + 1:+.1f}" in found.sentence
    assert not any("R@1" in detail for detail in found.details)


def test_another_verdict_of_the_nearest_is_not_kept_back(metrics: Metrics) -> None:
    found = answer(with_verdicts(metrics, outcome(3.0, "better"), outcome(-2.0, "worse")))
    assert found.tone == "good"
    assert any("R@1" in detail and "worse (-2.0 points" in detail for detail in found.details)


def test_without_retrieval_nothing_is_claimed(metrics: Metrics) -> None:
    found = answer(replace(metrics, protocol=replace(metrics.protocol, best_trivial=None)))
    assert found.tone == "unknown"
    assert "cannot be said" in found.sentence


def test_the_forecast_is_held_against_the_best_without_a_network(metrics: Metrics) -> None:
    whole = metrics.forecast.skill.whole
    assert whole is not None
    assert whole.against_best is not None
    told = [detail for detail in answer(metrics).details if detail.startswith("Forecasting")]
    assert whole.against_best.best in told[0]


def test_rows_of_a_fit_are_learnt_and_bars_are_not() -> None:
    assert all(map(is_learnt, ("mofore", "predict", "persistence", "fit:1a2b", "mofore+mp")))
    assert not any(map(is_learnt, ("raw_mean_pool", "untrained", "neighbour_lda", "raw_mean_pool+mp")))
