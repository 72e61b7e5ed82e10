"""Arrays are seen as (T, D), whatever the order of their axes, or refused."""

import numpy as np
import pytest

from mofore.data.errors import FeaturesError
from mofore.stages.import_features.arrays import Joined, Part, find_axes
from mofore.stages.import_features.options import Reading, parse_streams

T, D = 7, 4
FEATURES = np.random.default_rng(0).standard_normal((T, D)).astype(np.float32)
LAST, CROPS = Reading(axis="time-last"), Reading(average_crops=True)


def parts(*shapes: tuple[int, ...]) -> list[Part]:
    return [Part(f"'{number}'", shape, np.dtype("f4"), lambda: FEATURES) for number, shape in enumerate(shapes)]


@pytest.mark.parametrize(
    ("array", "reading"),
    [
        (FEATURES, Reading()),
        (FEATURES.T, LAST),
        (FEATURES[:, None], Reading()),
        (FEATURES[None], Reading()),
        (FEATURES[:, :, None, None], Reading()),
        (FEATURES[None, :, :, None], Reading()),
        (FEATURES.T[None], LAST),
        (FEATURES.T[:, None], LAST),
        (np.stack([FEATURES - 1, FEATURES, FEATURES + 1], axis=1), CROPS),
    ],
)
def test_an_array_is_seen_as_frames_by_features(array: np.ndarray, reading: Reading) -> None:
    (axes,) = find_axes(parts(array.shape), reading)
    seen = axes.seen(array)
    assert (axes.shape(array.shape), seen.shape) == ((T, D), (T, D))
    for rows in (slice(2, 5), slice(0, T), slice(6, 7)):
        assert np.allclose(seen[rows], FEATURES[rows], atol=1e-6)
        assert seen[rows].dtype == np.float32


def test_means_of_half_precision_are_not_rounded() -> None:
    crops = np.stack([FEATURES.astype("f2")] * 10, axis=1)
    (axes,) = find_axes(parts(crops.shape), CROPS)
    assert axes.seen(crops)[:].dtype == np.float32
    assert axes.seen(crops)[:] == pytest.approx(FEATURES.astype("f2").astype("f4"), abs=1e-6)


@pytest.mark.parametrize(
    ("shapes", "reading", "said"),
    [
        ([(9, 10, 4), (5, 10, 4)], Reading(), "--average-crops"),
        ([(1, 10, 4)], Reading(), "one frame of 10 crops (say so with --average-crops), or 10 frames"),
        ([(9, 10, 4), (1, 10, 4)], Reading(), "'0' has shape (9, 10, 4)"),
        ([(1, 9, 4), (8, 1, 4)], Reading(), "two dimensions"),
        ([(9, 4)], CROPS, "without an axis of crops"),
        ([(9, 10, 4), (9, 4)], CROPS, "'1' has shape (9, 4), but '0' has shape (9, 10, 4)"),
        ([(9, 10, 4), (8, 9, 4)], CROPS, "with as many crops in every video"),
        ([(10, 32, 4), (10, 32, 4)], CROPS, "if the crops come first"),
        ([(9, 10, 4)], Reading(axis="time-last", average_crops=True), "leave `--axis time-last` away"),
        ([(9, 10, 4)], LAST, "two dimensions"),
        ([(9,)], Reading(), "has shape (9,): frames by features are needed"),
        ([(2, 3, 4, 5)], Reading(), "two dimensions"),
    ],
)
def test_axes_that_nothing_explains_are_refused(shapes: list[tuple[int, ...]], reading: Reading, said: str) -> None:
    with pytest.raises(FeaturesError) as refused:
        find_axes(parts(*shapes), reading)
    assert said in str(refused.value)


def test_one_frame_of_crops_among_others_is_averaged() -> None:
    axes = find_axes(parts((9, 10, 4), (1, 10, 4)), CROPS)
    assert [one.shape(shape) for one, shape in zip(axes, [(9, 10, 4), (1, 10, 4)], strict=True)] == [(9, 4), (1, 4)]


def test_streams_stand_side_by_side() -> None:
    both = Joined([FEATURES, FEATURES.astype("f8") * 2])
    assert both.shape == (T, 2 * D)
    assert np.array_equal(both[slice(1, 3)], np.concatenate([FEATURES[1:3], FEATURES[1:3] * 2], axis=1))


def test_options_say_themselves() -> None:
    reading = Reading(("rgb", "flow"), "time-last", average_crops=True, dataset="x y")
    assert reading.arguments() == (
        *("--streams", "rgb,flow", "--axis", "time-last", "--average-crops", "--dataset", "x y"),
    )
    assert Reading().arguments() == ()
    assert parse_streams(" rgb, _flow") == ("rgb", "flow")
    for wrong in ("", "rgb,", "rgb,rgb"):
        with pytest.raises(FeaturesError, match="each once"):
            parse_streams(wrong)
