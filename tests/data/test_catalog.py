import os
from pathlib import Path

import pytest

from mofore.cache.fingerprint import stat_of
from mofore.data.catalog import Catalog, describe, scan
from mofore.data.errors import CatalogError
from mofore.data.settings import DataSettings
from mofore.data.splits import make_split
from mofore.data.types import Video


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


def test_a_folder_of_numbered_images_is_one_video(tmp_path: Path) -> None:
    touch(tmp_path, *[f"YoYo/v_YoYo_g19_c02/frame{n:06d}.jpg" for n in range(1, 4)], "Archery/v_Archery_g01_c01.avi")
    catalog = scan(tmp_path)
    assert catalog.layout == "ucf101"
    assert [(v.id, v.label, v.group, v.size, v.stem) for v in catalog.videos] == [
        ("Archery/v_Archery_g01_c01.avi", "Archery", "g01", 1, "v_Archery_g01_c01"),
        ("YoYo/v_YoYo_g19_c02", "YoYo", "g19", 3, "v_YoYo_g19_c02"),
    ]


@pytest.mark.parametrize("names", [["1.jpg"], ["a.jpg", "b.jpg"], ["1.txt", "2.txt"], [".1.jpg", ".2.jpg"]])
def test_other_folders_are_no_videos(names: list[str], tmp_path: Path) -> None:
    touch(tmp_path, "x.avi", *[f"clip/{name}" for name in names])
    assert [v.id for v in scan(tmp_path).videos] == ["x.avi"]


def test_images_beside_or_above_videos_never_count(tmp_path: Path) -> None:
    thumbnails = [f"{folder}thumbnail{n}.jpg" for folder in ("", "a/", "a/b/", "c/") for n in (1, 2)]
    touch(tmp_path, "a/b/x.avi", "c/d/1.png", "c/d/2.png", *thumbnails)
    assert [v.id for v in scan(tmp_path).videos] == ["a/b/x.avi", "c/d"]


def test_folders_of_images_can_be_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "cats/1.jpg", "cats/2.jpg")
    assert [v.id for v in scan(tmp_path).videos] == ["cats"]
    with pytest.raises(CatalogError, match=r"no video below .* with data\.images = 'auto', folders of images"):
        scan(tmp_path, images="never")


def test_the_names_of_images_can_be_prescribed(tmp_path: Path) -> None:
    touch(tmp_path, *[f"a/{kind}_{n}.jpg" for kind in ("rgb", "depth") for n in range(3)], "b/rgb_1.png", "b/rgb_2.png")
    catalog = scan(tmp_path, images="rgb_*.jpg")
    assert [(v.id, v.size) for v in catalog.videos] == [("a", 3)]
    assert catalog.path(catalog.videos[0]) == tmp_path / "a/rgb_*.jpg"
    assert stat_of(catalog.path(catalog.videos[0])) == (3, catalog.videos[0].mtime_ns)
    with pytest.raises(CatalogError, match=r"folders of images x\*\.jpg with a number for the star"):
        scan(tmp_path, images="x*.jpg")


def test_a_file_with_a_star_in_its_name_is_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "a*.avi")
    catalog = scan(tmp_path)
    assert stat_of(catalog.path(catalog.videos[0]))[0] == 1


def test_the_time_of_a_folder_of_images_is_its_last_change(tmp_path: Path) -> None:

    folder = touch(tmp_path, "clip/1.jpg", "clip/2.jpg", "clip/3.jpg") / "clip"

    def set_times(newest: int) -> int:
        for name, when in (("", 50), ("1.jpg", 100), ("2.jpg", newest)):
            os.utime(folder / name, ns=(when, when))
        return scan(tmp_path).videos[0].mtime_ns

    os.utime(folder / "3.jpg", ns=(10, 10))
    assert set_times(300) == 300
    assert set_times(400) == 400
    (folder / "3.jpg").rename(folder / "0.jpg")  # the same sizes and times, but another order
    assert scan(tmp_path).videos[0].mtime_ns > 400


def test_official_lists_name_folders_of_images_too(tmp_path: Path) -> None:
    touch(tmp_path, *[f"data/YoYo/v_YoYo_g{g}_c01/{n}.jpg" for g in ("01", "08") for n in (1, 2)])
    (tmp_path / "trainlist01.txt").write_text("YoYo/v_YoYo_g08_c01.avi 101\r\n")
    (tmp_path / "testlist01.txt").write_text("YoYo/v_YoYo_g01_c01.avi\r\n")
    split = make_split(scan(tmp_path / "data").videos, DataSettings(split="official1"), tmp_path)
    assert (split.train, split.test) == ({"YoYo/v_YoYo_g08_c01"}, {"YoYo/v_YoYo_g01_c01"})


def test_an_empty_folder_is_named_with_images_too(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"folders of numbered images \(.*\.jpg"):
        scan(tmp_path)


def test_names_as_long_as_names_may_be_are_found(tmp_path: Path) -> None:
    name = "n" * 251 + ".avi"
    deep = "/".join(["d" * 200] * 15)
    touch(tmp_path, name, f"{deep}/x.avi")
    assert {v.id for v in scan(tmp_path).videos} == {name, f"{deep}/x.avi"}


def test_thousands_of_folders_are_walked(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"class{number % 50}" / f"clip{number}").mkdir(parents=True)
    touch(tmp_path, "class7/clip7/x.avi")
    assert [v.id for v in scan(tmp_path).videos] == ["class7/clip7/x.avi"]


def test_a_folder_linked_twice_counts_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/clip/1.jpg", "a/clip/2.jpg")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a" / "clip", target_is_directory=True)
    assert len(scan(tmp_path).videos) == 1


def test_a_pipe_with_the_name_of_a_video_is_passed_over(tmp_path: Path) -> None:

    touch(tmp_path, "x.avi")
    os.mkfifo(tmp_path / "pipe.avi")
    assert [v.id for v in scan(tmp_path).videos] == ["x.avi"]


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    touch(tmp_path, "open/x.avi", "closed/y.avi")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # not chmod, which does not stop root
    with pytest.raises(CatalogError, match="closed' cannot be read: Permission denied"):
        scan(tmp_path)


def test_a_catalog_knows_the_content_of_imported_features_alone(tmp_path: Path) -> None:
    video = Video("a", None, None, 1, 0)
    imported = Catalog(tmp_path, (video,), "none", {"a": "digest of a"})
    assert imported.imported
    assert imported.content_of(video) == "digest of a"
    files = Catalog(tmp_path, (video,), "none")
    assert not files.imported
    assert files.content_of(video) is None
