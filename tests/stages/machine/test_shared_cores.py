from dataclasses import dataclass

import pytest

from mofore.stages.machine.shared_cores import CLEAR, LOOK_S, SPARED, ThreadsByPace

pytestmark = pytest.mark.usefixtures("two_threads")


@dataclass
class Machine:
    """A clock that a step moves on, by how many threads take it."""

    seconds: dict[int, float]
    now: float = 0.0
    threads: int = 0

    def use(self, threads: int) -> None:
        self.threads = threads

    def pace(self) -> ThreadsByPace:
        pace = ThreadsByPace(lambda: self.now, self.use)
        self.threads = pace.all
        return pace

    def work(self, pace: ThreadsByPace, seconds: float) -> list[int]:
        """Threads of each step taken meanwhile."""
        end, used = self.now + seconds, []
        while self.now < end:
            used.append(self.threads)
            self.now += self.seconds[min(self.threads, 2)]
            pace.took()
        return used


def test_a_quiet_machine_keeps_all_threads() -> None:
    machine = Machine({1: 0.014, 2: 0.010})
    used = machine.work(machine.pace(), 100.0)
    assert 0 < used.count(1) < 0.002 * len(used)


def test_a_look_that_is_clearly_slower_ends_early() -> None:
    machine = Machine({1: 0.300, 2: 0.010})
    used = machine.work(machine.pace(), 10.0)
    assert used.count(1) == 1 + CLEAR, "the first one wakes the threads"


def test_another_pace_is_looked_into_soon() -> None:
    machine = Machine({1: 0.015, 2: 0.010})
    pace = machine.pace()
    machine.work(pace, LOOK_S + 5.0)
    machine.seconds = {1: 0.030, 2: 0.200}
    machine.work(pace, 4.0)
    assert machine.threads == 1
    machine.seconds = {1: 0.015, 2: 0.010}
    machine.work(pace, SPARED * 9 * 0.030 + 4.0)
    assert machine.threads == 2


def test_one_thread_while_others_hold_the_cores_and_all_again_after() -> None:
    machine = Machine({1: 0.015, 2: 0.010})
    pace = machine.pace()
    machine.work(pace, 20.0)
    machine.seconds = {1: 0.030, 2: 0.200}
    machine.work(pace, 4 * LOOK_S)
    used = machine.work(pace, 200.0)
    assert used.count(1) > 0.95 * len(used)
    machine.seconds = {1: 0.015, 2: 0.010}
    machine.work(pace, 100.0)
    used = machine.work(pace, 200.0)
    assert used.count(2) > 0.95 * len(used)


def test_a_difference_within_the_noise_changes_nothing() -> None:
    machine = Machine({1: 0.0095, 2: 0.010})
    used = machine.work(machine.pace(), 200.0)
    assert used.count(2) > 0.95 * len(used)


def test_slow_steps_are_not_tried_all_the_time() -> None:
    machine = Machine({1: 2.0, 2: 1.0})
    used = machine.work(machine.pace(), 5_000.0)
    assert 0 < used.count(1) < 0.03 * len(used)


def test_sums_are_taken_with_all_threads_and_the_end_restores_them() -> None:
    machine = Machine({1: 0.015, 2: 0.100})
    pace = machine.pace()
    machine.work(pace, 50.0)
    assert machine.threads == 1
    with pace.whole():
        assert machine.threads == 2
    assert machine.threads == 1
    pace.close()
    assert machine.threads == 2
