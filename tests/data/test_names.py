import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mofore.data.names import VideoNames, without_suffix

FOLDERS = VideoNames(["Tai Chi/001.mp4", "Tai Chi/002.mp4", "YoYo/001.mp4", "YoYo/v_x.avi", "Café/a b.mkv"])


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("Tai Chi/001.mp4", "Tai Chi/001.mp4"),
        ("Tai Chi/001", "Tai Chi/001.mp4"),
        ("tai chi\\001.AVI", "Tai Chi/001.mp4"),
        ("./YoYo//001.webm", "YoYo/001.mp4"),
        ("data/videos/YoYo/001.mp4", "YoYo/001.mp4"),
        ("v_x", "YoYo/v_x.avi"),
        ("V_X.mp4", "YoYo/v_x.avi"),
        (unicodedata.normalize("NFD", "Café/a b.mkv"), "Café/a b.mkv"),
        (" Café/a b ", "Café/a b.mkv"),
    ],
)
def test_a_name_means_the_video_whose_path_ends_alike(name: str, video: str) -> None:
    found = FOLDERS.find([name])
    assert found.ids == {name: video}
    assert not found.by_name_alone


def test_decomposed_paths_are_found_by_composed_names() -> None:
    decomposed = unicodedata.normalize("NFD", "Café/1.mp4")
    assert VideoNames([decomposed]).find(["Café/1.mp4"]).ids == {"Café/1.mp4": decomposed}


def test_a_bare_name_of_several_videos_means_none() -> None:
    found, bare = FOLDERS.find(["001.mp4", "003.mp4"]), ["Tai Chi/001.mp4", "YoYo/001.mp4"]
    assert (found.ids, found.ambiguous, found.absent) == ({}, {"001.mp4": tuple(bare)}, ("003.mp4",))


def test_in_another_folder_a_name_counts_if_nothing_else_has_it() -> None:
    found = FOLDERS.find(["train/v_x.mp4", "Bowling/001.mp4"])
    assert found.ids == {"train/v_x.mp4": "YoYo/v_x.avi"}
    assert found.by_name_alone == ("train/v_x.mp4",)
    assert found.absent == ("Bowling/001.mp4",)
    two = FOLDERS.find(["train/v_x.mp4", "test/v_x.mp4"])
    assert (two.ids, two.absent) == ({}, ("train/v_x.mp4", "test/v_x.mp4"))
    apart = VideoNames(["dig/day1/take 1.mp4", "cut/day1/take 1.mp4"]).find(["rake/day1/take 1.mp4"])
    assert (apart.ids, apart.ambiguous, apart.absent) == ({}, {}, ("rake/day1/take 1.mp4",))
    assert VideoNames(["YoYo/7.mp4"]).find(["Tai Chi/7.mp4"]).absent == ("Tai Chi/7.mp4",)  # a number is no name


def test_case_folder_and_suffix_tell_apart_what_is_there_twice() -> None:
    names = VideoNames(["A/x.mp4", "a/x.mp4", "b/y.avi", "b/y.mp4", "z.mp4", "c/z.mp4"])
    asked = ["A/x", "a/x", "b/y.avi", "b/y.mp4", "b/y", "z"]
    found = names.find(asked)
    assert found.ids == {
        "A/x": "A/x.mp4", "a/x": "a/x.mp4", "b/y.avi": "b/y.avi", "b/y.mp4": "b/y.mp4", "z": "z.mp4",
    }  # fmt: skip
    assert found.ambiguous == {"b/y": ("b/y.avi", "b/y.mp4")}


def test_only_suffixes_of_videos_are_suffixes() -> None:
    assert [without_suffix(name) for name in ("a.mp4", "v1.5", "a.b.AVI", ".mp4")] == ["a", "v1.5", "a.b", ".mp4"]


@given(
    st.sets(
        st.lists(
            st.sampled_from(["A", "a", "Tai Chi", "x.mp4", "x.avi", "x", "1", "é", "v.1.mkv"]), min_size=1, max_size=4
        ).map("/".join),
        min_size=1,
        max_size=12,
    )
)
def test_every_video_is_found_by_its_own_path(ids: set[str]) -> None:
    found = VideoNames(ids).find(ids)
    assert dict(found.ids) == {video_id: video_id for video_id in ids}
    assert not found.by_name_alone
