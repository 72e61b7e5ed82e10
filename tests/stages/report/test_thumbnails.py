from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mofore.data.progress import Silent
from mofore.data.types import Video
from mofore.stages.report import thumbnails as drawing
from mofore.stages.report.thumbnails import COLUMNS, Source, Thumbnails, make_thumbnails


def sources(folder: Path) -> list[Source]:
    paths = sorted(folder.rglob("*.avi"))
    return [Source(Video(path.name, None, None, path.stat().st_size, 1), path, 0.5) for path in paths]


def make(given: list[Source], folder: Path, previous: Path | None = None) -> Thumbnails:
    return make_thumbnails(given, folder, previous, progress=Silent())


def picture(found: Thumbnails, folder: Path, video: int) -> np.ndarray:
    width, height = found.size
    left, top = found.tile_V[video] % COLUMNS * width, found.tile_V[video] // COLUMNS * height
    sheet = Image.open(folder / found.files[found.sheet_V[video]])
    return np.asarray(sheet.crop((left, top, left + width, top + height)).convert("RGB"), np.float64)


def test_every_video_has_its_own_picture(drawn: Path, tmp_path: Path) -> None:
    given = sources(drawn)
    found = make(given, tmp_path)
    assert found.shown == len(given)
    for video, source in enumerate(given[:4]):
        alone = make([source], tmp_path / str(video))
        assert np.abs(picture(found, tmp_path, video) - picture(alone, tmp_path / str(video), 0)).mean() < 6


def test_what_was_drawn_is_taken_from_the_report_before(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = sources(drawn)
    first = make(given, tmp_path / "a")
    looked = []
    whole = drawing.glimpse
    monkeypatch.setattr(
        drawing, "glimpse", lambda path, *rest, **more: looked.append(path) or whole(path, *rest, **more)
    )
    again = make(given, tmp_path / "b", tmp_path / "a")
    assert not looked
    assert again.files == first.files
    assert (tmp_path / "b" / first.files[0]).read_bytes() == (tmp_path / "a" / first.files[0]).read_bytes()
    changed = [replace(given[0], video=replace(given[0].video, mtime_ns=2)), *given[1:]]
    make(changed, tmp_path / "c", tmp_path / "a")
    assert given[0].path in looked


def test_one_video_more_makes_one_sheet_anew(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "TILES", 3)
    given = sources(drawn)
    first = make(given[:-1], tmp_path / "a")
    again = make(given, tmp_path / "b", tmp_path / "a")
    assert len(first.files) > 3
    assert len({*again.files} - {*first.files}) == 1


def test_what_is_not_there_or_cannot_be_read_has_no_picture(drawn: Path, tmp_path: Path) -> None:
    given = sources(drawn)[:3]
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"RIFF nothing")
    given = [replace(given[0], path=None), replace(given[1], path=broken), given[2]]
    found = make(given, tmp_path / "a")
    assert found.sheet_V.tolist() == [-1, -1, 0]
    assert (found.shown, found.unread) == (1, 1)
    whole = make(sources(drawn)[:3], tmp_path / "b", tmp_path / "a")
    assert whole.shown == 3, "a sheet that lacks pictures is looked at again"


def test_without_any_file_there_is_no_sheet(drawn: Path, tmp_path: Path) -> None:
    found = make([replace(source, path=None) for source in sources(drawn)], tmp_path)
    assert (found.files, found.shown, found.unread) == ((), 0, 0)


def test_pictures_are_smaller_where_there_are_more(
    monkeypatch: pytest.MonkeyPatch, drawn: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(drawing, "SIZES", ((3, (160, 120)), (30, (64, 48))))
    assert make(sources(drawn)[:3], tmp_path / "a").size == (160, 120)
    assert make(sources(drawn), tmp_path / "b").size == (64, 48)
    monkeypatch.setattr(drawing, "MOST", 7)
    assert make(sources(drawn), tmp_path / "c").shown == 7, "every third of 20"
