"""The number of threads follows what is fastest, and changes when that changes."""

import pytest

from mofore.stages.fit.thread_count import HOLDS_S, TRIED, ThreadCount


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def work(threads: ThreadCount, clock: Clock, seconds: dict[int, float], pieces: int) -> list[int]:
    taken = []
    for _ in range(pieces):
        threads.begin()
        clock.now += seconds[threads.count]
        taken.append(threads.count)
        threads.end()
    return taken


@pytest.mark.parametrize(("most", "choices"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_powers_of_two_and_all_are_tried(most: int, choices: list[int]) -> None:
    clock = Clock()
    threads = ThreadCount(most, clock)
    taken = work(threads, clock, {n: 1.0 / n for n in range(1, 9)}, TRIED * len(choices) + 5)
    assert taken == [n for n in choices for _ in range(TRIED)] + [most] * 5


def test_a_piece_that_is_disturbed_decides_nothing() -> None:
    clock = Clock()
    threads = ThreadCount(2, clock)
    work(threads, clock, {1: 0.002, 2: 0.001}, TRIED + 3)
    clock_before = clock.now
    threads.begin()
    clock.now = clock_before + 5.0
    threads.end()
    assert work(threads, clock, {1: 0.002, 2: 0.001}, TRIED)[-1] == 2


def test_it_follows_a_machine_that_becomes_busy_and_idle_again() -> None:
    clock = Clock()
    threads = ThreadCount(2, clock)
    idle, busy = {1: 0.002, 2: 0.001}, {1: 0.003, 2: 0.07}
    assert work(threads, clock, idle, 2 * TRIED + 1)[-1] == 2
    clock.now += HOLDS_S
    assert work(threads, clock, busy, 2 * TRIED + 1)[-1] == 1
    assert set(work(threads, clock, busy, 100)) == {1}, "what was chosen holds for a while"
    clock.now += HOLDS_S
    assert work(threads, clock, idle, 2 * TRIED + 1)[-1] == 2
