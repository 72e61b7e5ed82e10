import os
from pathlib import Path

import pytest

from mofore.data.errors import CatalogError, ConfigError
from mofore.data.roots import known_videos, nothing_there, scan_roots
from mofore.data.settings import DataSettings
from mofore.data.types import Video


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def ids(*roots: Path, **settings: object) -> list[str]:
    return [video.id for video in scan_roots(roots, DataSettings(**settings)).videos]


def test_several_folders_keep_their_videos_apart(tmp_path: Path) -> None:
    one, two = touch(tmp_path / "x" / "day1", "a/1.mp4"), touch(tmp_path / "x" / "day2", "a/1.mp4", "b/2.mp4")
    assert ids(one, two) == ["day1/a/1.mp4", "day2/a/1.mp4", "day2/b/2.mp4"]
    catalog = scan_roots([one, two], DataSettings())
    assert [catalog.path(video).is_file() for video in catalog.videos] == [True] * 3
    assert [video.label for video in catalog.videos] == ["a", "a", "b"]
    three = touch(tmp_path / "y" / "day1", "c.mp4")
    assert ids(one, three) == ["x/day1/a/1.mp4", "y/day1/c.mp4"]
    with pytest.raises(CatalogError, match="twice"):
        ids(one, one)


def test_a_list_of_files(tmp_path: Path) -> None:
    touch(tmp_path, "in/a 1.mp4", "in/b.mp4", "elsewhere/c.bin")
    far = tmp_path / "elsewhere" / "c.bin"
    listed = tmp_path / "in" / "videos.txt"
    listed.write_text(f"a 1.mp4\n\n./b.mp4\nb.mp4\n{far}\nabsent.mp4\n", encoding="utf-8-sig")
    catalog = scan_roots([listed], DataSettings())
    assert [video.id for video in catalog.videos] == sorted(["a 1.mp4", "b.mp4", str(far).lstrip("/")])
    assert all(catalog.path(video).is_file() for video in catalog.videos)
    assert catalog.notes == ("in the list 'videos.txt', but absent: 1 ('absent.mp4')",)
    listed.write_text("absent.mp4\n")
    with pytest.raises(CatalogError, match=r"no file of the list .* 'absent.mp4'"):
        scan_roots([listed], DataSettings())
    listed.write_text(".\n")
    with pytest.raises(CatalogError, match="names a folder"):
        scan_roots([listed], DataSettings())


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ("*.gif", ["a/1.mp4", "thumbs/a/2.mp4", "x/thumbs/3.mp4"]),
        (["thumbs"], ["a/1.mp4", "a/x.gif"]),
        ("thumbs/", ["a/1.mp4", "a/x.gif"]),
        ("thumbs/a", ["a/1.mp4", "a/x.gif", "x/thumbs/3.mp4"]),
        (["a/*", "x"], ["thumbs/a/2.mp4"]),
        ("?.mp4", ["a/x.gif"]),
    ],
)
def test_what_is_excluded(tmp_path: Path, exclude: object, left: list[str]) -> None:
    touch(tmp_path, "a/1.mp4", "a/x.gif", "thumbs/a/2.mp4", "x/thumbs/3.mp4")
    assert ids(tmp_path, exclude=exclude) == left


def test_excluding_everything_says_so(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"but 1 that data\.exclude leaves out"):
        ids(touch(tmp_path, "a.mp4"), exclude="*")
    with pytest.raises(ConfigError, match=r"data\.exclude = 3: a text in quotes, or a list of them"):
        DataSettings(exclude=3)


@pytest.mark.parametrize(
    ("video", "folder", "names"),
    [
        ("A/v1.mp4", "A/v1", ["A/v1.mp4"]),
        ("A/v1.mp4", "A/v1_frames", ["A/v1.mp4"]),
        ("videos/A/v1.mp4", "frames/A/v1", ["videos/A/v1.mp4"]),
        ("A/v1.mp4", "B/C/v1", ["A/v1.mp4", "B/C/v1"]),
        ("A/v1.mp4", "A/v2", ["A/v1.mp4", "A/v2"]),
    ],
)
def test_a_video_and_a_folder_of_its_frames_are_one(tmp_path: Path, video: str, folder: str, names: list[str]) -> None:
    touch(tmp_path, video, *(f"{folder}/{number:06d}.jpg" for number in range(1, 9)))
    catalog = scan_roots([tmp_path], DataSettings())
    assert [each.id for each in catalog.videos] == names
    assert bool(catalog.notes) == (len(names) == 1)


def test_an_empty_setting_says_what_to_give() -> None:
    with pytest.raises(CatalogError, match=r"data\.root is empty"):
        scan_roots([], DataSettings())


def test_ids_do_not_depend_on_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "in/a.mp4")
    (tmp_path / "in" / "l.txt").write_text("a.mp4\n")
    monkeypatch.chdir(tmp_path / "in")
    assert ids(Path("l.txt")) == ids(tmp_path / "in" / "l.txt") == ["a.mp4"]
    assert os.path.isabs(scan_roots([Path("l.txt")], DataSettings()).videos[0].file)


def test_folders_within_one_another_give_each_file_once(tmp_path: Path) -> None:
    outer = touch(tmp_path / "in", "run/a.mp4", "sit/b.mp4")
    listed = tmp_path / "in" / "videos.txt"
    listed.write_text("sit/b.mp4\n")
    link = tmp_path / "link"
    link.symlink_to(outer)
    for roots, name in (((outer, outer / "run"), "run/a.mp4"), ((outer, listed), "videos/sit/b.mp4")):
        catalog = scan_roots(roots, DataSettings())
        assert [video.id for video in catalog.videos] == ["in/run/a.mp4", "in/sit/b.mp4"]
        (note,) = (note for note in catalog.notes if "taken once" in note)
        assert note == f"in data.root more than once (folders within one another, links), so taken once: 1 ('{name}')"
    assert len(ids(link, outer)) == 2


def test_links_to_videos_of_the_same_folder_are_told(tmp_path: Path) -> None:
    touch(tmp_path / "in", "all/a.mp4", "all/b.mp4")
    touch(tmp_path, "out.mp4")
    for name, target in (("train/a.mp4", "in/all/a.mp4"), ("train/c.mp4", "out.mp4"), ("test/d.mp4", "out.mp4")):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).symlink_to(tmp_path / target)
    (note,) = scan_roots([tmp_path / "in"], DataSettings(exclude=["test"])).notes[:1]
    assert note.startswith("links to videos that have another name here too, so these are in the data twice: 1 (")
    notes = scan_roots([tmp_path / "in"], DataSettings()).notes
    assert "in the data twice: 2 ('train/a.mp4', 'train/c.mp4')" in notes[0]


def test_what_exclusions_do_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "b/2.mp4", "b/3.mp4")
    catalog = scan_roots([tmp_path], DataSettings(exclude=["b", "2.mp4", "c"]))
    assert catalog.notes == ("left out by data.exclude: 2 videos", "data.exclude: 'c' fits no video")


@pytest.mark.parametrize(("name", "way_out"), [("v.csv", "a table of videos goes to --table"), ("v.mp4", "a list of")])
def test_a_file_that_is_no_folder_is_refused_with_a_way_out(tmp_path: Path, name: str, way_out: str) -> None:
    with pytest.raises(CatalogError, match=way_out):
        ids(touch(tmp_path, name) / name)


def test_nothing_is_there_if_nothing_is_at_any_root(tmp_path: Path) -> None:
    videos, empty, missing = touch(tmp_path / "videos", "a.avi"), tmp_path / "empty", tmp_path / "missing"
    empty.mkdir()
    listed = tmp_path / "list.txt"
    listed.write_text("missing/a.avi\nmissing/b.avi\n")
    assert nothing_there([missing])
    assert nothing_there([missing, empty, listed])
    assert not nothing_there([])
    assert not nothing_there([videos])
    assert not nothing_there([missing, videos]), "one of several is another matter"
    listed.write_text("missing/a.avi\nvideos/a.avi\n")
    assert not nothing_there([listed])


def test_known_videos_are_as_they_were_found(tmp_path: Path) -> None:
    roots = [touch(tmp_path / name, "Orbit/a.avi", "Bounce/b.avi", "thumbs/c.avi") for name in ("one", "two")]
    settings = DataSettings(exclude="thumbs")
    found = scan_roots(roots, settings)
    bare = [Video(video.id, None, None, video.size, video.mtime_ns) for video in found.videos]
    known = known_videos(roots, [*bare, Video("one/thumbs/c.avi", None, None, 1, 1)], settings)
    seen = [(video.id, video.label, video.group, video.size, video.mtime_ns) for video in found.videos]
    assert [(video.id, video.label, video.group, video.size, video.mtime_ns) for video in known.videos] == seen
    assert known.layout == found.layout
    assert known.unseen == f"data.root = '{roots[0]}', '{roots[1]}'"
    assert found.unseen == ""
