from .trained import learnt


def test_clips_of_a_video_find_each_other() -> None:
    found = learnt("rho_byol")
    assert found.after > 5 * found.chance
    assert found.losses[-1] < 0.6 * found.losses[0]
