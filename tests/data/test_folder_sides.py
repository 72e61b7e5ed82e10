from mofore.data.catalog import Catalog, described
from mofore.data.folder_sides import folder_sides
from mofore.data.types import Video


def catalog(*ids: str) -> Catalog:
    return Catalog(None, tuple(Video(each, None, None, 1, 1) for each in ids), "auto")  # type: ignore[arg-type]


def labels(*ids: str, depth: int = 0) -> list[str | None]:
    return [video.label for video in described(catalog(*ids), depth).videos]


def test_sides_at_the_top_and_below_the_class() -> None:
    top = ["train/a/1.mp4", "Val/a/2.mp4", "testing/b/3.mp4", "extra/b/4.mp4"]
    assert folder_sides(top) == (0, {top[0]: "train", top[1]: "val", top[2]: "test"})
    assert labels(*top) == ["a", "a", "b", "b"]
    below = ["a/train/1.mp4", "a/test/2.mp4", "b/train/3.mp4"]
    assert folder_sides(below)[0] == 1
    assert labels(*below, depth=1) == ["a", "a", "b"]
    assert labels(*below) == ["a", "a", "b"]
    assert labels("a/train/day1/1.mp4", "b/test/day2/2.mp4") == ["day1", "day2"]


def test_a_folder_that_is_a_side_is_no_class() -> None:
    assert labels("train/1.mp4", "validation/2.mp4") == [None, None]


def test_one_kind_of_side_alone_is_no_class_and_no_split() -> None:
    for ids in (("train/1.mp4", "train/2.mp4"), ("test/1.mp4", "val/2.mp4")):
        found = described(catalog(*ids))
        assert [video.label for video in found.videos] == [None, None]
        assert not found.divisions
        assert "so sides are drawn instead" in found.notes[0]
    assert labels("train/run/1.mp4", "train/sit/2.mp4") == ["run", "sit"]


def test_a_class_called_train_is_a_class() -> None:
    assert folder_sides(["train/1.mp4", "car/2.mp4", "boat/3.mp4"]) == (None, {})
    assert labels("train/1.mp4", "car/2.mp4") == ["train", "car"]
    few = ["train/1.mp4", "test/1.mp4", *(f"{name}/1.mp4" for name in "abcdef")]
    assert folder_sides(few) == (None, {})


def test_the_class_may_be_any_folder_on_the_way() -> None:
    ids = ("kitchen/cut/day1/x.mp4", "kitchen/stir/day2/y.mp4", "z.mp4")
    assert labels(*ids) == ["day1", "day2", None]
    assert labels(*ids, depth=1) == ["kitchen", "kitchen", None]
    assert labels(*ids, depth=2) == ["cut", "stir", None]
    assert labels(*ids, depth=9) == [None, None, None]


def test_that_another_folder_may_name_the_class_is_told() -> None:
    ids = ("kitchen/cut/x.mp4", "garden/dig/y.mp4")
    (note,) = described(catalog(*ids)).notes
    assert note.endswith("data.class_depth = 1 takes the outermost instead: 'garden', 'kitchen'")
    assert not described(catalog(*ids), 1).notes
    assert not described(catalog("all/cut/x.mp4", "all/dig/y.mp4")).notes
    assert not described(catalog("train/cut/x.mp4", "test/dig/y.mp4")).notes


def test_a_folder_that_names_no_class_is_told() -> None:
    (note,) = described(catalog("a/train/1.mp4", "b/test/2.mp4"), 2).notes
    assert note.startswith("data.class_depth = 2 names no class: folder 2 is the one that names the side")
    (note,) = described(catalog("a/1.mp4", "b/2.mp4"), 3).notes
    assert note.endswith("folder 3 is not on the way to any video; the folders of the first video are a")
    assert not described(catalog("a/1.mp4", "2.mp4"), 1).notes


def test_names_of_roots_are_not_offered_as_classes() -> None:
    ids = ("day1/cut/x.mp4", "day2/dig/y.mp4")
    assert not described(catalog(*ids), below=1).notes
    (note,) = described(catalog(*(f"in/{each}" for each in ids)), below=1).notes
    assert note.endswith("data.class_depth = 2 takes the outermost instead: 'day1', 'day2'")
