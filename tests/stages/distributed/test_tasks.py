"""Tasks of a team, told through its store."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from torch.distributed import HashStore

from mofore.stages.distributed import process_group as groups
from mofore.stages.distributed.order import FAILED, OVER
from mofore.stages.distributed.process_group import ProcessGroup, ProcessLost
from mofore.stages.distributed.tasks import Tasks


def test_all_do_what_the_first_one_says_and_it_waits_for_them() -> None:
    store, done = HashStore(), list[str]()
    first, *others = (Tasks(ProcessGroup(rank, 3, store=store)) for rank in range(3))

    def help_out(tasks: Tasks, name: str) -> None:
        for task in tasks.given():
            time.sleep(0.1)
            done.append(f"{name} {task}")

    with ThreadPoolExecutor(2) as executor:
        helping = [executor.submit(help_out, tasks, name) for tasks, name in zip(others, "bc", strict=True)]
        for task in ("one", "two"):
            first.all_do(task, lambda task=task: done.append(f"a {task}"), lambda: None)  # type: ignore[misc]
            assert sorted(done[-3:]) == [f"{name} {task}" for name in "abc"]
        first.end()
        for each in helping:
            each.result(timeout=30)
    assert len(done) == 6


@pytest.mark.parametrize("key", [FAILED, OVER])
def test_who_waits_for_a_team_that_has_ended_is_told(key: str) -> None:
    store, pulses = HashStore(), list[int]()
    first, other = (Tasks(ProcessGroup(rank, 2, store=store)) for rank in range(2))

    def pulse() -> None:
        pulses.append(1)
        if len(pulses) == 3:
            store.set(key, "why")

    with pytest.raises(ProcessLost, match="has failed or ended"):
        first.all_do("one", lambda: None, pulse)
    assert len(pulses) >= 3
    assert next(other.given()) == "one", "what was said before is still heard"
    with pytest.raises(ProcessLost):
        [*other.given()][1:]  # the next one never comes


def test_a_team_that_is_given_up_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mofore.stages.distributed.tasks.is_abandoned", lambda: True)
    assert not groups.is_abandoned()
    with pytest.raises(ProcessLost):
        next(Tasks(ProcessGroup(1, 2, store=HashStore())).given())
