import json
from pathlib import Path

import pytest

from mofore.data.catalog import Catalog, described
from mofore.data.described import with_tables
from mofore.data.errors import CatalogError, ConfigError
from mofore.data.sampling import Span
from mofore.data.settings import DataSettings
from mofore.data.splits import all_splits, make_split
from mofore.data.types import Video

FOLDER = ("A/1.mp4", "A/2.mp4", "B/3.mp4", "B/4.mp4")


def catalog(*ids: str, digests: dict[str, str] | None = None) -> Catalog:
    return described(Catalog(Path("data"), tuple(Video(each, None, None, 1, 1) for each in ids), "auto", digests))


def by_table(tmp_path: Path, text: str, *ids: str, name: str = "videos.csv") -> Catalog:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return with_tables(catalog(*(ids or FOLDER)), [tmp_path / name])


def test_classes_sides_groups_and_other_columns(tmp_path: Path) -> None:
    text = "video,label,split,group,camera\n1,x;y,train,g,left\nA/2.mp4,x,val,,\n3.mp4,y,test,h,\n"
    found = by_table(tmp_path, text)
    assert [video.labels for video in found.videos] == [("x", "y"), ("x",), ("y",), ()]
    assert [video.group for video in found.videos] == ["g", None, "h", None]
    assert found.videos[0].metadata == (("camera", "left"),)
    split = make_split(found.videos, DataSettings(), None, found.divisions)
    assert (split.name, split.train, split.test) == ("table", {"A/1.mp4"}, {"B/3.mp4"})
    assert split.others == {"val": {"A/2.mp4"}}
    assert found.notes == ("not in the table, so without class and side: 1 ('B/4.mp4')",)


def test_segments_are_items_of_their_own(tmp_path: Path) -> None:
    rows = ("1,x,train,0,1.5", "1,y,test,1.5,", "1,z,train,0,1.5", "2,x,train,,", "3,x,test,,", "4,x,test,,")
    text = "\n".join(["video,label,split,start_s,end_s", *rows])
    found = by_table(tmp_path, text)
    assert [video.id for video in found.videos] == [
        "A/1.mp4#t=0,1.5", "A/1.mp4#t=1.5", "A/2.mp4", "B/3.mp4", "B/4.mp4",
    ]  # fmt: skip
    first, second = found.videos[:2]
    assert (first.labels, first.span, first.file, first.group) == (("x", "z"), Span(0.0, 1.5), "A/1.mp4", "A/1.mp4")
    assert second.span == Span(1.5)
    assert found.path(first) == found.path(second) == Path("data/A/1.mp4")
    assert first.recording == second.recording == "A/1.mp4"


def test_a_table_without_classes_leaves_those_of_the_folders(tmp_path: Path) -> None:
    found = by_table(tmp_path, "video,split\n1,train\n2,train\n3,test\n4,test\n")
    assert [video.label for video in found.videos] == ["A", "A", "B", "B"]
    assert not found.notes


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    text = "video,label,split\n1,x,train\n1,x,test\n2,x,train\n3,x,test\n9,x,test\nB/4.avi,x,test\n"
    found = by_table(tmp_path, text)
    split = make_split(found.videos, DataSettings(), None, found.divisions)
    assert split.role("A/1.mp4") == "unassigned"
    assert split.notes == ("listed for more than one side, so on none: 1 ('A/1.mp4')",)
    assert found.notes == ("listed, but not in the data folder: 1 of 5 ('9')",)


def test_names_of_several_videos_mean_none(tmp_path: Path) -> None:
    found = by_table(tmp_path, "video,label\n001,x\nb,y\n", "A/001.mp4", "B/001.mp4", "b.mp4")
    assert [video.labels for video in found.videos] == [(), (), ("y",)]
    assert "listed by a name that several videos have, so not used: 1 ('001')" in found.notes[0]


def test_a_table_of_other_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none of the 4 videos .* 'A/1.mp4', the first row 'x'"):
        by_table(tmp_path, "video,label\nx,y\n")


def test_kinetics_names_its_files_by_film_and_time(tmp_path: Path) -> None:
    text = "label,youtube_id,time_start,time_end,split\nrun,abc,10,20,train\nrun,abc,30,40,val\nsit,d-f,1,11,test\n"
    found = by_table(tmp_path, text, "run/abc_000010_000020.mp4", "run/abc_000030_000040.mp4", "d-f.mp4")
    assert {video.id: found.divisions[0].sides[video.id] for video in found.videos} == {
        "d-f.mp4": "test", "run/abc_000010_000020.mp4": "train", "run/abc_000030_000040.mp4": "val",
    }  # fmt: skip


def test_the_side_that_asks_has_classes(tmp_path: Path) -> None:
    text = "video,label,split\n1,x,train\n2,x,val\n3,,test\n4,y,dev2\n"
    found = by_table(tmp_path, text)
    split = make_split(found.videos, DataSettings(), None, found.divisions)
    assert split.test == {"A/2.mp4"}
    assert (split.asking, list(split.others)) == ("val", ["dev2", "test"])
    asked = make_split(found.videos, DataSettings(queries="dev2"), None, found.divisions)
    assert asked.test == {"B/4.mp4"}
    with pytest.raises(Exception, match=r"data\.queries = 'nope': the split 'table' has the sides dev2 \(1\)"):
        make_split(found.videos, DataSettings(queries="nope"), None, found.divisions)


def test_every_side_and_part_is_a_split(tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text("video,split\n1,train\n2,val\n3,test\n4,test\n")
    (tmp_path / "splits.json").write_text(json.dumps({"debiased": ["4", "7"]}))
    found = with_tables(catalog(*FOLDER), [tmp_path / "videos.csv", tmp_path / "splits.json"])
    splits = {s.name: s.test for s in all_splits(found.videos, DataSettings(), None, found.divisions, found.subsets)}
    assert list(splits) == ["table", "table, val", "table, debiased", "random"]
    assert splits["table, val"] == {"A/2.mp4"}
    assert splits["table, debiased"] == {"B/4.mp4"}
    assert found.notes == ("of 'debiased', not in the data folder: 1 of 2",)


def test_hmdb51_has_three_splits(tmp_path: Path) -> None:
    for number, marks in ((1, "12"), (2, "21"), (3, "11")):
        text = f"1.avi {marks[0]} \n2.avi {marks[1]} \n"
        (tmp_path / f"A_test_split{number}.txt").write_text(text)
    found = with_tables(catalog("A/1.avi", "A/2.avi"), [tmp_path])
    names = {each.name: dict(each.sides) for each in found.divisions}
    assert names == {
        "official1": {"A/1.avi": "train", "A/2.avi": "test"},
        "official2": {"A/1.avi": "test", "A/2.avi": "train"},
        "official3": {"A/1.avi": "train", "A/2.avi": "train"},
    }
    assert make_split(found.videos, DataSettings(split="official2"), None, found.divisions).test == {"A/1.avi"}


def test_imported_features_cannot_be_cut(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("video,start_s,end_s\na,0,1\n")
    with pytest.raises(CatalogError, match="cannot be cut"):
        with_tables(catalog("a", digests={"a": "x"}), [tmp_path / "t.csv"])


def test_videos_of_an_ambiguous_name_are_told_once(tmp_path: Path) -> None:
    found = by_table(tmp_path, "video,label\nx,run\n2,sit\n", "A/x.mp4", "B/x.mp4", "A/2.mp4", "A/3.mp4")
    assert found.notes == (
        "listed by a name that several videos have, so not used: 1 ('x')",
        "not in the table, so without class and side: 1 ('A/3.mp4')",
    )


def test_segments_so_near_that_six_digits_would_not_tell_them_apart(tmp_path: Path) -> None:
    text = "video,start_s,end_s\n1,3600.123,3600.125\n1,3600.124,3600.126\n2,12345.5,12346\n"
    ids = [video.id for video in by_table(tmp_path, text).videos]
    assert ids[:3] == ["A/1.mp4#t=3600.123,3600.125", "A/1.mp4#t=3600.124,3600.126", "A/2.mp4#t=12345.5,12346"]


def test_a_first_line_without_a_known_column_is_a_video(tmp_path: Path) -> None:
    for separator, name in ((",", "train.csv"), (" ", "train.csv"), ("\t", "train.tsv")):
        found = by_table(tmp_path, f"1{separator}run\nB/3{separator}sit\n", name=name)
        assert {video.id: video.label for video in found.videos if video.label} == {"A/1.mp4": "run", "B/3.mp4": "sit"}
    with pytest.raises(CatalogError, match=r"the first row 'clip_name' \(no column is named in it"):
        by_table(tmp_path, "clip_name,what\n7,run\n")


def test_the_way_out_of_a_split_that_the_lists_lack(tmp_path: Path) -> None:
    (tmp_path / "A_test_split1.txt").write_text("1.mp4 1\n2.mp4 2\n")
    found = with_tables(catalog(*FOLDER), [tmp_path])
    with pytest.raises(ConfigError, match=r"'official3' needs the lists of split 3, .*; there is official1, random"):
        make_split(found.videos, DataSettings(split="official3"), None, found.divisions)
    with pytest.raises(CatalogError, match=r"one of HMDB51's lists, of a single class: give their folder"):
        with_tables(catalog(*FOLDER), [tmp_path / "A_test_split1.txt"])


@pytest.mark.parametrize(
    ("encoding", "likely"), [("cp1252", "Windows' cp1252"), ("utf-16-le", "UTF-16 without its mark")]
)
def test_the_likely_encoding_is_named(tmp_path: Path, encoding: str, likely: str) -> None:
    (tmp_path / "videos.csv").write_bytes("video,label\n1,caf\u00e9\n".encode(encoding))
    with pytest.raises(CatalogError, match=likely):
        with_tables(catalog(*FOLDER), [tmp_path / "videos.csv"])
