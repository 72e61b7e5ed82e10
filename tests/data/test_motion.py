import numpy as np
import pytest

from mofore.data.motion import MOTIONS, REVERSED, Start, appearance, draw, poses

START = Start(x=0.1, y=-0.1, phase=0.3, cycles=1.7)


def test_there_are_at_least_eight_motions_and_all_can_be_drawn() -> None:
    assert len(set(MOTIONS)) >= 8
    for motion in MOTIONS:
        clip = draw(motion, appearance(1), START, 4)
        assert clip.shape == (4, 96, 128, 3)
        assert len(np.unique(clip, axis=0)) == 4, f"{motion} does not move"


@pytest.mark.parametrize(("backward", "forward"), REVERSED.items())
def test_reversed_motions_have_the_same_frames_in_the_opposite_order(backward: str, forward: str) -> None:
    look = appearance(2)
    assert np.array_equal(draw(backward, look, START, 6), draw(forward, look, START, 6)[::-1])


def test_appearance_depends_on_the_group_alone() -> None:
    assert np.array_equal(appearance(3).background, appearance(3).background)
    assert not np.array_equal(appearance(3).background, appearance(4).background)


def test_an_unknown_motion_is_named() -> None:
    with pytest.raises(ValueError, match="'Wobble'"):
        poses("Wobble", START, 3)
