"""Names, shapes and types alone say which dataset is of which video."""

from pathlib import Path

import numpy as np
import pytest

from mofore.data.errors import FeaturesError
from mofore.stages.import_features.dataset_names import Dataset, FoundVideos, find_videos, only_features

PATH = Path("a.h5")


def datasets(*names: str, shape: tuple[int, ...] = (9, 4), kind: str = "f4") -> list[Dataset]:
    return [Dataset(name, shape, np.dtype(kind)) for name in names]


def ids(found: FoundVideos) -> dict[str, str]:
    return {video: one.path for video, one in found.videos.items()}


def test_a_group_or_a_dataset_is_a_video() -> None:
    of_groups = find_videos(PATH, datasets("v_1/c3d", "v_2/c3d"), None, by_group=True)
    assert ids(of_groups) == {"v_1": "v_1/c3d", "v_2": "v_2/c3d"}
    deeper = find_videos(PATH, datasets("Run/v_1/x/c3d", "Hop/v_2/x/c3d"), None, by_group=True)
    assert list(ids(deeper)) == ["Run/v_1", "Hop/v_2"]
    at_top = find_videos(PATH, datasets("a", "b"), None, by_group=True)
    assert list(ids(at_top)) == ["a", "b"]
    nested = find_videos(PATH, datasets("Run/a", "Run/b", "Hop/c"), None, by_group=True)
    assert list(ids(nested)) == ["Run/a", "Run/b", "Hop/c"]
    own_names = find_videos(PATH, datasets("a/rgb", "b/flow"), None, by_group=True)
    assert list(ids(own_names)) == ["a", "b"]
    one = find_videos(PATH, datasets("a/rgb"), None, by_group=True)
    assert list(ids(one)) == ["a"]


def test_keys_of_an_archive_are_ids() -> None:
    assert list(ids(find_videos(PATH, datasets("Run/1", "Hop/1"), None, by_group=False))) == ["Run/1", "Hop/1"]


def test_what_is_no_array_of_floats_is_not_used() -> None:
    others = [*datasets("a/times", shape=(9,)), *datasets("a/n", kind="i4"), *datasets("a/s", shape=(), kind="S3")]
    found = find_videos(PATH, [*datasets("a/x", "b/x"), *others], None, by_group=True)
    assert found.unused == ("a/times", "a/n", "a/s")
    deep = datasets("a/map", "b/map", shape=(9, 2, 3))
    assert list(ids(find_videos(PATH, [*deep, *datasets("a/x", "b/x")], None, by_group=True)).values()) == [
        "a/x",
        "b/x",
    ]


def test_several_in_a_group_are_named_and_one_is_chosen() -> None:
    several = datasets("a/rgb", "a/flow", "b/rgb", "b/flow")
    with pytest.raises(FeaturesError) as refused:
        find_videos(PATH, several, None, by_group=True)
    assert "the group a (and 1 more groups) holds several" in str(refused.value)
    assert "a/rgb (9, 4), a/flow (9, 4)" in str(refused.value)
    assert "--dataset rgb" in str(refused.value)
    assert ids(find_videos(PATH, several, "flow", by_group=True)) == {"a": "a/flow", "b": "b/flow"}
    assert len(find_videos(PATH, several, "*", by_group=True).videos) == 4
    with pytest.raises(FeaturesError, match=r"--dataset depth: no group of 'a\.h5' has one of that name; it holds a/"):
        find_videos(PATH, several, "depth", by_group=True)


def test_an_empty_list_in_the_place_of_features_is_a_video_without_frames() -> None:
    found = find_videos(PATH, [*datasets("a/x"), *datasets("b/x", "b/y", shape=(0,))], None, by_group=True)
    assert ids(found) == {"a": "a/x", "b": "b/x"}


def test_a_file_of_one_video() -> None:
    times = datasets("times", shape=(9,))
    assert only_features(PATH, [*times, *datasets("x")], None).path == "x"
    assert only_features(PATH, datasets("x", "y"), "y").path == "y"
    with pytest.raises(
        FeaturesError, match=r"several arrays that may be the features: x \(9, 4\), y \(9, 4\)\. Choose"
    ):
        only_features(PATH, datasets("x", "y"), None)
    with pytest.raises(FeaturesError, match=r"holds no array \(T, D\) of floats; it holds times \(9,\) float32"):
        only_features(PATH, times, None)
    with pytest.raises(FeaturesError, match="import the file itself"):
        only_features(PATH, [*datasets("features"), *datasets("lengths", "ids", shape=(3,))], None)


def test_messages_are_short_whatever_the_file_holds() -> None:
    many = [*datasets(*(f"{'long' * 500}{number}" for number in range(3000)), kind="i4")]
    with pytest.raises(FeaturesError) as refused:
        find_videos(PATH, many, None, by_group=True)
    assert len(str(refused.value)) < 1500
    assert "and 2,995 more" in str(refused.value)
