from dataclasses import dataclass

import numpy as np

from mofore.stages.evaluate.repeats import Repeats


@dataclass
class Given:
    numbers: np.ndarray
    more: np.ndarray | None = None


def test_the_same_content_is_computed_once_and_other_content_anew() -> None:
    calls: list[float] = []

    def total(given: Given, seed: int) -> float:
        calls.append(seed)
        return float(given.numbers.sum())

    repeats = Repeats()
    assert repeats.call(total, Given(np.arange(4)), 0) == repeats.call(total, Given(np.arange(4)), 0) == 6
    assert calls == [0]
    others = [
        (Given(np.arange(4) + 1), 0),
        (Given(np.arange(4)), 1),
        (Given(np.arange(4).reshape(2, 2)), 0),
        (Given(np.arange(4.0)), 0),
        (Given(np.arange(4), np.arange(4)), 0),
    ]
    for given, seed in others:
        repeats.call(total, given, seed)
    assert len(calls) == 1 + len(others)
    assert repeats.call(np.sum, np.arange(4)) == 6, "another function has results of its own"
