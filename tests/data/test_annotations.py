"""The lists that data sets ship, each in the form in which it was published, and tables of the user's own."""

import json
from pathlib import Path

import pytest

from mofore.data.annotations import read_tables, splits_of
from mofore.data.errors import CatalogError
from mofore.data.sampling import Span
from mofore.data.tables import Row


def written(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def rows(*paths: Path) -> tuple[Row, ...]:
    return read_tables(paths).rows


def test_own_columns(tmp_path: Path) -> None:
    text = (
        "video,label,split,group,start_s,end_s,camera\n"
        'a/1.mp4,"jump; run",train,g1,0.5,2,left\n'
        "b 2.mp4,run,Validation,,,,\n"
        "c.mp4,-1,holdout,,3,,right\n"
    )
    first, second, third = rows(written(tmp_path / "videos.csv", text))
    assert first == Row("a/1.mp4", ("jump", "run"), "train", "g1", Span(0.5, 2.0), (("camera", "left"),))
    assert (second.labels, second.side, second.group, second.span) == (("run",), "val", None, None)
    assert (third.labels, third.side, third.span) == ((), "holdout", Span(3.0))


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.json", "semicolons.csv", "utf16.csv", "marked.csv"])
def test_own_tables_in_every_form(tmp_path: Path, name: str) -> None:
    records = [{"video": "Tai Chi/1.mp4", "label": "Tai Chi"}, {"video": "Café.mp4", "label": "x"}]
    path = tmp_path / name
    lines = [["video", "label"], *([each["video"], each["label"]] for each in records)]
    separator = {"t.tsv": "\t", "semicolons.csv": ";"}.get(name, ",")
    text = "\r\n".join(separator.join(cells) for cells in lines) + "\r\n"
    if name == "t.jsonl":
        text = "\n".join(json.dumps(each) for each in records)
    elif name == "t.json":
        text = json.dumps(records)
    encoding = {"utf16.csv": "utf-16", "marked.csv": "utf-8-sig"}.get(name, "utf-8")
    path.write_bytes(text.encode(encoding))
    assert [(row.video, row.labels) for row in rows(path)] == [("Tai Chi/1.mp4", ("Tai Chi",)), ("Café.mp4", ("x",))]


@pytest.mark.parametrize("separator", [" ", ",", "\t"])
def test_a_path_and_a_class_in_every_line(tmp_path: Path, separator: str) -> None:
    text = f"Tai Chi/a 1.mp4{separator}17\nyoyo/b.avi{separator}3\n"
    assert [(row.video, row.labels) for row in rows(written(tmp_path / "train.csv", text))] == [
        ("Tai Chi/a 1.mp4", ("17",)),
        ("yoyo/b.avi", ("3",)),
    ]
    assert {row.side for row in rows(tmp_path / "train.csv")} == {"train"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("who,what,split\na,b,c\n", r"has no column 'video': its columns are who, what, split"),
        ("who,what,whence\na,b,c\n", r"has no column 'video': its columns are who, what, whence"),
        ("", "is empty"),
        ("video,start_s,end_s\na.mp4,5,2\n", r"row 1: start_s = 5, end_s = 2: seconds are needed"),
        ("video,start_s,end_s\na.mp4,x,2\n", r"row 1: start_s = 'x'"),
        ("video,label\n,b\n", "row 1: it names no video"),
        ("video,label,label\na,b,c\n", "several columns called label"),
        ('video,label\n"a,b\n', "no CSV that can be read"),
    ],
)
def test_tables_that_make_no_sense_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        rows(written(tmp_path / "videos.csv", text))


def test_many_columns_do_not_make_a_long_complaint(tmp_path: Path) -> None:
    with pytest.raises(CatalogError) as caught:
        rows(written(tmp_path / "wide.csv", ",".join(f"column{n}" for n in range(2000)) + "\nx\n"))
    assert len(str(caught.value)) < 500


def test_hmdb51(tmp_path: Path) -> None:
    for number, mark in ((1, 1), (2, 2), (3, 0)):
        written(
            tmp_path / f"brush_hair_test_split{number}.txt",
            f"April_09_brush_hair_u_nm_np1_ba_goo_0.avi {mark} \nTwo words_brush_hair_1.avi 2 \n",
        )
    assert splits_of([tmp_path]) == (1, 2, 3)
    sides = []
    for number in (1, 2, 3):
        first, second = read_tables([tmp_path], number).rows
        assert (first.video, first.labels) == (
            "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi", ("brush_hair",),
        )  # fmt: skip
        assert second.video == "brush_hair/Two words_brush_hair_1.avi"
        sides.append(first.side)
    assert sides == ["train", "test", None]


def test_kinetics(tmp_path: Path) -> None:
    text = (
        "label,youtube_id,time_start,time_end,split,is_cc\n"
        '"playing guitar",---QUuC4vJs,84,94,validate,0\nabseiling,0347ZoDXyP0,95,105,train,0\n'
    )
    first, second = rows(written(tmp_path / "kinetics.csv", text))
    assert (first.video, first.labels, first.side, first.span) == ("---QUuC4vJs", ("playing guitar",), "val", None)
    assert first.files == ("---QUuC4vJs_000084_000094",)
    assert second.metadata == (("time_start", "95"), ("time_end", "105"), ("is_cc", "0"))
    test = written(tmp_path / "test.csv", "youtube_id,time_start,time_end,split\n--jbRXp1TGo,10,20,test\n")
    assert [(row.labels, row.side) for row in rows(test)] == [((), "test")]


def test_something_something(tmp_path: Path) -> None:
    train = [
        {
            "id": "78687",
            "label": "holding potato next to vicks vaporub bottle",
            "template": "Holding [something] next to [something]",
            "placeholders": ["potato", "vicks vaporub bottle"],
        }
    ]
    first, second = rows(
        written(tmp_path / "something-something-v2-train.json", train),
        written(tmp_path / "something-something-v2-test.json", [{"id": "1420"}]),
    )
    assert (first.video, first.labels, first.side) == ("78687", ("Holding something next to something",), "train")
    assert first.metadata == (("label", "holding potato next to vicks vaporub bottle"),)
    assert (second.video, second.labels, second.side) == ("1420", (), "test")


def test_diving48(tmp_path: Path) -> None:
    record = {"vid_name": "7-ZLVUHgE8A_00068", "label": 1, "start_frame": 0, "end_frame": 112}
    train = written(tmp_path / "Diving48_V2_train.json", [record])
    assert rows(train)[0].labels == ("1",)
    written(
        tmp_path / "Diving48_vocab.json", [["Back", "15som", "05Twis", "FREE"], ["Forward", "Dive", "NoTwis", "PIKE"]]
    )
    (row,) = rows(train)
    assert (row.video, row.labels, row.side, row.span) == (
        "7-ZLVUHgE8A_00068", ("Forward Dive NoTwis PIKE",), "train", None,
    )  # fmt: skip


def test_activitynet(tmp_path: Path) -> None:
    database = {
        "sJFgo9H6zNo": {
            "duration": 82.73,
            "subset": "training",
            "resolution": "320x240",
            "annotations": [
                {"segment": [0.01, 11.5], "label": "Drinking coffee"},
                {"segment": [20, 82.73], "label": "Smoking"},
            ],
        },
        "V1zhqaGFY2A": {"duration": 5.0, "subset": "testing", "annotations": []},
    }
    found = rows(written(tmp_path / "activity_net.v1-3.min.json", {"version": "1.3", "database": database}))
    assert [(row.video, row.labels, row.side, row.span) for row in found] == [
        ("sJFgo9H6zNo", ("Drinking coffee",), "train", Span(0.01, 11.5)),
        ("sJFgo9H6zNo", ("Smoking",), "train", Span(20.0, 82.73)),
        ("V1zhqaGFY2A", (), "test", None),
    ]
    assert found[0].files == ("v_sJFgo9H6zNo",)


def test_utd_splits(tmp_path: Path) -> None:
    names = {"full": ["v_A_g01_c01", "v_A_g02_c01"], "debiased": ["v_A_g02_c01"]}
    table = read_tables([written(tmp_path / "splits_ucf_testlist01.json", names)])
    assert table.subsets == {name: tuple(each) for name, each in names.items()}
    assert not table.rows
    assert not table.labelled


@pytest.mark.parametrize(
    ("name", "content"), [("x.json", {"a": 1}), ("x.json", "{"), ("x.mp4", "x"), ("absent.csv", None)]
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: object) -> None:
    path = tmp_path / name
    if content is not None:
        written(path, content)
    with pytest.raises(CatalogError, match=name):
        rows(path)


def test_a_folder_of_tables_is_read_whole(tmp_path: Path) -> None:
    written(tmp_path / "train.csv", "video,label\na,x\n")
    written(tmp_path / "val.csv", "video,label\nb,x\n")
    assert [(row.video, row.side) for row in rows(tmp_path)] == [("a", "train"), ("b", "val")]


def test_ucf101s_lists_are_no_table(tmp_path: Path) -> None:
    written(tmp_path / "trainlist01.txt", "A/a.avi 1\n")
    with pytest.raises(CatalogError, match="--splits"):
        rows(tmp_path)
