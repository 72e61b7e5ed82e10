from .trained import learnt


def test_clips_of_a_video_find_each_other() -> None:
    """Above the untrained network, whose predictor passes frozen features on, as the preset has it."""
    found = learnt("rho_byol", aggregator="mean_sd", steps=600)
    assert found.after > 10 * found.chance
    assert found.after > found.before + 0.04
    assert found.losses[-1] < 0.3 * found.losses[0]


def test_a_predictor_that_begins_with_nothing_learns_to_find_them() -> None:
    found = learnt("rho_byol", aggregator="mean_sd", steps=300, predictor_skip=False)
    assert found.before < 2 * found.chance
    assert found.after > 5 * found.chance
