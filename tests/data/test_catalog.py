from pathlib import Path

import pytest
from mofore.data.catalog import describe, scan
from mofore.data.errors import CatalogError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def test_ucf101_names_give_class_group_and_id(tmp_path: Path) -> None:
    touch(tmp_path, "YoYo/v_YoYo_g19_c02.avi", "Archery/v_Archery_g01_c01.avi")
    catalog = scan(tmp_path)
    assert catalog.layout == "ucf101"
    assert [(v.id, v.label, v.group) for v in catalog.videos] == [
        ("Archery/v_Archery_g01_c01.avi", "Archery", "g01"),
        ("YoYo/v_YoYo_g19_c02.avi", "YoYo", "g19"),
    ]


@pytest.mark.parametrize("folder", ["HandstandPushups/", ""])
def test_handstand_pushups_are_one_class_whatever_their_files_say(folder: str) -> None:
    assert describe(f"{folder}v_HandStandPushups_g01_c01.avi", "ucf101") == ("HandstandPushups", "g01")


def test_ucf101_file_in_a_stray_folder_keeps_the_class_of_its_name() -> None:
    assert describe("copies/v_YoYo_g01_c01.mp4", "ucf101") == ("YoYo", "g01")


def test_any_folder_tree_takes_the_folder_as_class(tmp_path: Path) -> None:
    touch(tmp_path, "train/cats/a.mp4", "train/dogs/a.mp4", "b.mkv")
    catalog = scan(tmp_path)
    assert catalog.layout == "folders"
    assert {v.id: v.label for v in catalog.videos} == {
        "b.mkv": None,
        "train/cats/a.mp4": "cats",
        "train/dogs/a.mp4": "dogs",
    }


def test_equal_stems_in_different_folders_stay_two_videos(tmp_path: Path) -> None:
    touch(tmp_path, "a/clip.avi", "b/clip.avi")
    assert len({v.id for v in scan(tmp_path).videos}) == 2


def test_a_flat_folder_has_no_classes(tmp_path: Path) -> None:
    catalog = scan(touch(tmp_path, "a.mp4", "b.MP4"))
    assert catalog.layout == "none"
    assert [v.label for v in catalog.videos] == [None, None]


def test_hidden_files_and_other_files_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.avi", "a/._x.avi", ".trash/y.avi", "a/notes.txt", "a/x.avi.part")
    assert [v.id for v in scan(tmp_path).videos] == ["a/x.avi"]


def test_links_that_loop_end(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.avi")
    (tmp_path / "a" / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.avi").symlink_to(tmp_path / "self.avi")
    (tmp_path / "dangling.avi").symlink_to(tmp_path / "nowhere.avi")
    assert [v.id for v in scan(tmp_path).videos] == ["a/x.avi"]


def test_names_that_are_no_text_are_found(tmp_path: Path) -> None:
    import os

    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.avi")
    with open(path, "wb") as handle:
        handle.write(b"x")
    assert [v.id for v in scan(tmp_path).videos] == ["caf\udce9.avi"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="nowhere' does not exist"):
        scan(tmp_path / "nowhere")


def test_an_empty_folder_is_named_with_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no video below .*\.avi"):
        scan(tmp_path)
