from pathlib import Path

import pytest

from mofore.data.errors import CatalogError, ConfigError
from mofore.data.settings import DataSettings
from mofore.data.splits import group_split, make_split, random_split
from mofore.data.types import Video


def video(name: str, group: str | None = None) -> Video:
    return Video(name, name.split("/")[0], group, 1, 1)


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """Two list files as the data set has them: CRLF, a class number after training names only."""
    (tmp_path / "trainlist01.txt").write_bytes(
        b"YoYo/v_YoYo_g08_c01.avi 100\r\nHandstandPushups/v_HandStandPushups_g08_c01.avi 37\r\n"
    )
    (tmp_path / "testlist01.txt").write_bytes(b"YoYo/v_YoYo_g01_c01.avi\r\nYoYo/v_YoYo_g01_c02.avi\r\n")
    return tmp_path


def test_official_lists_are_read_through_their_crlf(lists: Path) -> None:
    videos = [video("YoYo/v_YoYo_g08_c01.avi"), video("YoYo/v_YoYo_g01_c02.avi"), video("YoYo/v_YoYo_g99_c01.avi")]
    split = make_split(videos, DataSettings(split="official1"), lists)
    assert split.train == {"YoYo/v_YoYo_g08_c01.avi"}
    assert split.test == {"YoYo/v_YoYo_g01_c02.avi"}
    assert split.role("YoYo/v_YoYo_g99_c01.avi") == "unassigned"


def test_names_without_folder_and_suffix_are_found_in_the_lists(lists: Path) -> None:
    videos = [video(name) for name in ("v_YoYo_g08_c01", "v_handstandpushups_g08_c01", "v_YoYo_g01_c01.avi")]
    split = make_split(videos, DataSettings(split="official1"), lists)
    assert split.train == {"v_YoYo_g08_c01", "v_handstandpushups_g08_c01"}
    assert split.test == {"v_YoYo_g01_c01.avi"}


def test_official_lists_match_copies_of_other_suffix_case_and_folder(lists: Path) -> None:
    videos = [video("flat_v/v_yoyo_g01_c01.mp4"), video("x/HandstandPushups/v_HandstandPushups_g08_c01.webm")]
    split = make_split(videos, DataSettings(split="official1"), lists)
    assert split.test == {"flat_v/v_yoyo_g01_c01.mp4"}
    assert split.train == {"x/HandstandPushups/v_HandstandPushups_g08_c01.webm"}


def test_lists_of_another_data_set_are_refused(lists: Path) -> None:
    with pytest.raises(CatalogError, match=r"none of the 1 videos .* 'cats/a.avi'"):
        make_split([video("cats/a.avi")], DataSettings(split="official1"), lists)


def test_a_missing_list_is_named(lists: Path) -> None:
    with pytest.raises(CatalogError, match=r"trainlist02.txt.*No such file"):
        make_split([video("YoYo/v_YoYo_g08_c01.avi")], DataSettings(split="official2"), lists)


def test_an_official_split_without_lists_says_where_to_name_them() -> None:
    with pytest.raises(ConfigError, match=r"data\.lists"):
        make_split([video("a/b.avi")], DataSettings(split="official1"), None)


def test_groups_are_never_on_both_sides() -> None:
    videos = [video(f"{c}/v_{c}_g{g:02d}_c{k}.avi", f"g{g:02d}") for c in "AB" for g in range(10) for k in range(3)]
    split = group_split(videos, 0.8, seed=3)
    sides = [{v.group for v in videos if v.id in side} for side in (split.train, split.test)]
    assert not sides[0] & sides[1]
    assert len(sides[0]) == 8
    assert len(split.train) + len(split.test) == len(videos)


def test_groups_need_groups() -> None:
    with pytest.raises(ConfigError, match=r"'a/b.avi' has none"):
        group_split([video("a/b.avi")], 0.8, 0)


def test_a_few_groups_leave_one_for_either_side() -> None:
    split = group_split([video("A/v_A_g01_c01.avi", "g01"), video("A/v_A_g02_c01.avi", "g02")], 0.8, 0)
    assert len(split.train) == len(split.test) == 1


def test_random_split_is_seeded_and_independent_of_order() -> None:
    videos = [video(f"a/{n}.avi") for n in range(50)]
    split = random_split(videos, 0.8, seed=1)
    assert len(split.train) == 40
    assert split == random_split(videos[::-1], 0.8, seed=1)
    assert split != random_split(videos, 0.8, seed=2)


def test_automatic_split_prefers_lists_then_groups(lists: Path) -> None:
    grouped = [video("YoYo/v_YoYo_g08_c01.avi", "g08"), video("YoYo/v_YoYo_g01_c01.avi", "g01")]
    assert make_split(grouped, DataSettings(), lists).name == "official1"
    assert make_split(grouped, DataSettings(), None).name == "groups"
    assert make_split([video("a/b.avi")], DataSettings(), None).name == "random"


def test_random_splits_take_the_same_share_of_every_class() -> None:
    videos = [
        video(f"{label}/{n}.avi") for label, count in (("a", 50), ("b", 5), ("c", 2), ("d", 13)) for n in range(count)
    ]
    for seed in range(10):
        split = random_split(videos, 0.8, seed)
        kept = {label: sum(v.label == label for v in videos if v.id in split.train) for label in "abcd"}
        assert kept["a"] == 40
        assert kept["b"] == 4
        assert kept["c"] == 1
        assert kept["d"] in (10, 11)


def test_random_splits_stay_when_videos_come_and_go() -> None:
    videos = [video(f"{label}/{n}.avi") for label in "abc" for n in range(30)]
    before = random_split(videos, 0.8, 0)
    for gone in videos[::7]:
        rest = [v for v in videos if v != gone]
        after = random_split(rest, 0.8, 0)
        moved = [v for v in rest if before.role(v.id) != after.role(v.id)]
        assert len(moved) <= 1
        assert all(v.label == gone.label for v in moved)


def test_classes_of_one_video_each_still_leave_one_for_either_side() -> None:
    for seed in range(5):
        split = random_split([video(f"{n}/x.avi") for n in range(3)], 0.95, seed)
        assert split.train
        assert split.test


def test_a_random_split_that_leaks_says_so() -> None:
    videos = [video(f"A/v_A_g{g:02d}_c{k:02d}.avi", f"g{g:02d}") for g in range(4) for k in range(5)]
    (note,) = random_split(videos, 0.5, 0).notes
    leaking = int(note.split(":")[1].split()[0])
    split = random_split(videos, 0.5, 0)
    known = {v.group for v in videos if v.id in split.train}
    assert leaking == sum(v.group in known for v in videos if v.id in split.test)
    assert not random_split([video(f"a/{n}.avi") for n in range(9)], 0.5, 0).notes


def test_lists_with_spaces_byte_marks_and_other_encodings(tmp_path: Path) -> None:
    videos = [
        video(name) for name in ("Tai Chi/001.mp4", "Tai Chi/002.mp4", "YoYo/001.mp4", "YoYo/002.mp4", "Caf\xe9/1.mp4")
    ]
    train, test = "Tai Chi/001.mp4 1\r\nYoYo/002.mp4 2\r\nCaf\xe9/1.mp4 3\r\n", "Tai Chi\\002.mp4\r\nYoYo/001.mp4\r\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        (tmp_path / "trainlist01.txt").write_bytes(train.encode(encoding))
        (tmp_path / "testlist01.txt").write_bytes(test.encode(encoding))
        split = make_split(videos, DataSettings(split="official1"), tmp_path)
        assert split.train == {"Tai Chi/001.mp4", "YoYo/002.mp4", "Caf\xe9/1.mp4"}
        assert split.test == {"Tai Chi/002.mp4", "YoYo/001.mp4"}
    (tmp_path / "trainlist01.txt").write_bytes(train.encode("cp1252"))
    with pytest.raises(CatalogError, match=r"trainlist01.txt' is not UTF-8 \(byte 38\)"):
        make_split(videos[:4], DataSettings(split="official1"), tmp_path)


def test_videos_of_both_lists_are_on_no_side(tmp_path: Path) -> None:
    (tmp_path / "trainlist01.txt").write_text("A/1.mp4\nA/2.mp4\n")
    (tmp_path / "testlist01.txt").write_text("A/2.mp4\nA/3.mp4\n")
    split = make_split([video("A/1.mp4"), video("A/2.mp4")], DataSettings(split="official1"), tmp_path)
    assert (split.train, split.test, split.role("A/2.mp4")) == ({"A/1.mp4"}, frozenset(), "unassigned")
    assert split.notes == (
        "in the training list and in the test list, so on no side: 1 ('A/2.mp4')",
        "listed, but not in the data folder: 1 of 4 ('A/3.mp4')",
    )
