"""What is handed out to machines that may be lost."""

import pytest

from mofore.data.types import Video
from mofore.stages.extract.units import DEATHS, Unit, Units


def videos(count: int) -> list[Video]:
    return [Video(f"{number}", None, None, 1, 0) for number in range(count)]


def all_of(units: Units) -> list[Unit]:
    """Everything, each unit by who holds nothing."""
    taken = []
    while (unit := units.take(())) is not None:
        taken.append(unit)
    return taken


def test_all_videos_are_handed_out_once_in_bounded_units() -> None:
    taken = all_of(Units(videos(1000), 2))
    assert sorted(name for unit in taken for name in unit.left) == sorted(map(str, range(1000)))
    assert max(len(unit.left) for unit in taken) == 64


def test_of_a_lost_node_the_rest_comes_back_and_nobody_is_suspected() -> None:
    units = Units(videos(8), 1)
    first = units.take(())
    assert first is not None
    del first.left["0"]  # which is published
    assert units.put_back([first], blamed=False) == []
    again = all_of(units)
    assert sorted(name for unit in again for name in unit.left) == sorted(map(str, range(1, 8)))
    assert not any(unit.suspect or unit.deaths for unit in again)


def test_a_unit_whose_holder_died_is_done_last_and_by_itself() -> None:
    units = Units(videos(8), 1)
    unlucky, other = units.take(()), units.take(())
    assert unlucky is not None
    assert other is not None
    units.put_back([unlucky], blamed=True)
    while (unit := units.take([other])) is not None:
        assert not unit.suspect, "not beside others"
    assert units.waiting()
    assert units.take(()) is unlucky
    assert units.take([unlucky]) is None, "and nothing beside it"


def test_what_is_done_elsewhere_is_struck_off() -> None:
    units = Units(videos(1), 1)
    unit = units.take(())
    assert unit is not None
    units.put_back([unit], blamed=True)
    units.strike(["0"])
    assert not units.waiting()
    assert units.take(()) is None


@pytest.mark.parametrize("bad", [{"3"}, {"0", "63"}, {"5", "6", "7"}])
def test_the_videos_that_kill_are_found_and_given_up_and_all_others_are_done(bad: set[str]) -> None:
    units, done, given_up, deaths = Units(videos(64), 1), set[str](), list[Video](), 0
    while (unit := units.take(())) is not None:
        if bad & unit.left.keys():
            deaths += 1
            given_up += units.put_back([unit], blamed=True)
        else:
            done |= unit.left.keys()
    assert sorted(video.id for video in given_up) == sorted(bad)
    assert done == {video.id for video in videos(64)} - bad
    assert not units.waiting()
    assert deaths <= (DEATHS * 5 + 1) * len(bad)  # one beside others, then units of 16, 8, 4, 2 and 1
