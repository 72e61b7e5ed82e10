"""The record of an import says itself whether it is whole."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mofore.cache.imported import ImportedVideo, ImportRecord, read_import
from mofore.data.errors import StoreError
from mofore.data.settings import DataSettings


def record(*videos: ImportedVideo, labelled: bool = False, grouped: bool = False) -> ImportRecord:
    return ImportRecord({"name": "mine.h5"}, "/data/mine.h5", "mine", 25.0, labelled, grouped, videos)


YOYO = ImportedVideo("v_YoYo_g01_c02", "toy", None, 9, "d1")
ODD = ImportedVideo("caf\udce9", None, None, 3, "d2")


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    assert read_import(tmp_path) is None
    record(YOYO, ODD).write(tmp_path)
    assert read_import(tmp_path) == record(YOYO, ODD)


@pytest.mark.parametrize("change", [lambda text: text.replace("YoYo", "YoYa"), lambda text: text[:-9], lambda _: "[]"])
def test_damage_is_found(tmp_path: Path, change: Callable[[str], str]) -> None:
    record(YOYO).write(tmp_path)
    path = tmp_path / "imported.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(StoreError, match="run `mofore import` again"):
        read_import(tmp_path)


def test_another_version_is_no_record(tmp_path: Path) -> None:
    record(YOYO).write(tmp_path)
    path = tmp_path / "imported.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))
    with pytest.raises(StoreError):
        read_import(tmp_path)


def test_classes_and_groups_are_those_given_or_those_of_the_ids() -> None:
    def described(record: ImportRecord, layout: str = "auto") -> tuple[str | None, str | None]:
        (video,) = record.catalog(Path(), DataSettings(layout=layout)).videos
        return video.label, video.group

    assert described(record(YOYO)) == ("YoYo", "g01")
    assert described(record(YOYO), "none") == (None, None)
    assert described(record(YOYO, labelled=True)) == ("toy", "g01")
    assert described(record(YOYO, labelled=True, grouped=True), "none") == ("toy", None)


def test_the_command_brings_the_same_again() -> None:
    command = record(YOYO).command(Path("my work"))
    assert command == "mofore import /data/mine.h5 --fps 25 --name mine -w 'my work'"
    inside = ImportRecord({}, "mine.npz", "other name", None, False, False, ())
    assert inside.command(Path("w")) == "mofore import w/mine.npz --name 'other name' -w w"


def test_further_options_are_of_the_command_and_of_no_older_record(tmp_path: Path) -> None:
    record(YOYO).write(tmp_path)
    assert "options" not in json.loads((tmp_path / "imported.json").read_text())["content"]
    more = replace(record(YOYO), options=("--streams", "rgb,flow"))
    more.write(tmp_path)
    assert read_import(tmp_path) == more
    assert more.command(Path("w")) == "mofore import /data/mine.h5 --streams rgb,flow --fps 25 --name mine -w w"
