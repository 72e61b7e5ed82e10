from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mofore.data.arrays import UInt8
from mofore.data.errors import UsageError
from mofore.data.motion import Start, appearance, draw, write_video
from mofore.data.sampling import Span
from mofore.stages.search import contact_sheet
from mofore.stages.search.contact_sheet import (
    BLUE,
    BORDER,
    CAPTION,
    GREEN,
    HEIGHT,
    PAPER,
    PICTURES,
    RED,
    STRIP_HEIGHT,
    STRIP_WIDTH,
    TILE,
    WIDTH,
    Strip,
    draw_sheet,
    draw_strip,
    pictures_of,
    write_sheet,
)


def plain(colour: tuple[int, int, int], height: int = 60, width: int = 80) -> UInt8:
    return np.full((height, width, 3), colour, np.uint8)


def pixels(strip: Strip) -> UInt8:
    return np.asarray(draw_strip(strip))


def border(strip: Strip) -> UInt8:
    """The pixels of the upper border."""
    return pixels(strip)[CAPTION + BORDER // 2]


def test_pictures_stand_side_by_side_whole_and_in_order() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]
    drawn = pixels(Strip("1", "a.avi", True, tuple(map(plain, colours))))
    assert drawn.shape == (STRIP_HEIGHT, STRIP_WIDTH, 3)
    for number, colour in enumerate(colours):
        middle = drawn[CAPTION + BORDER + HEIGHT // 2, BORDER + number * (WIDTH + 2) + WIDTH // 2]
        assert tuple(middle) == colour
    tall = pixels(Strip("1", "a.avi", True, (plain((200, 0, 0), 100, 10),)))
    reddish = (tall[CAPTION + BORDER :, :, 0] > 150) & (tall[CAPTION + BORDER :, :, 1] < 90)
    assert 8 <= int(reddish[60].sum()) <= 20, "a tall picture keeps its shape"


def test_right_and_wrong_are_told_apart_without_their_colour() -> None:
    right, wrong, asked = (border(Strip("1", "a", mark, asked=mark is None)) for mark in (True, False, None))
    assert {tuple(pixel) for pixel in right} == {GREEN}
    assert {tuple(pixel) for pixel in asked} == {BLUE}
    assert {tuple(pixel) for pixel in wrong} == {RED, PAPER}, "dashed"
    captions = [pixels(Strip("1", "a", mark))[:CAPTION, STRIP_WIDTH // 2 :].min(axis=2) < 128 for mark in (True, False)]
    assert captions[0].any()
    assert (captions[0] != captions[1]).any(), "other words and marks"
    assert not (pixels(Strip("1", "a"))[:CAPTION, STRIP_WIDTH // 2 :] < 128).any(), "nothing where it is not known"


def test_what_has_no_pictures_is_grey_and_says_why() -> None:
    drawn = pixels(Strip("1", "a", None, (), "the file is not there any more " * 9))
    inside = drawn[CAPTION + BORDER : -BORDER, BORDER:-BORDER]
    assert tuple(inside[0, 0]) == TILE
    assert (inside < 60).any()


@pytest.mark.parametrize("name", ["", "x" * 500, "视频/клип \udcff\n.avi", "a, \"b\" 'c'"])
def test_odd_names_are_drawn(name: str) -> None:
    assert (pixels(Strip(name, name, False, (plain((9, 9, 9)),), name)) == PAPER).any()


def test_a_sheet_holds_the_heading_the_queries_and_two_strips_a_row(tmp_path: Path) -> None:
    query, found = Strip("query", "q", asked=True), Strip("1", "a", True)
    sheets = [draw_sheet("x", [query], [found] * count) for count in (0, 1, 2, 3)]
    heights = [sheet.height for sheet in sheets]
    row = heights[1] - heights[0]
    assert heights == [heights[0], heights[0] + row, heights[0] + row, heights[0] + 2 * row]
    assert row >= STRIP_HEIGHT
    assert {sheet.width for sheet in sheets} == {sheets[0].width}
    write_sheet(tmp_path / "new" / "sheet.png", "x", [query], [found])
    with Image.open(tmp_path / "new" / "sheet.png") as written:
        assert written.size == sheets[1].size
    write_sheet(tmp_path / "sheet.JPG", "x", [query], [found])
    with pytest.raises(UsageError, match=r"sheet\.pdf: a name that ends in \.png"):
        write_sheet(tmp_path / "sheet.pdf", "x", [query], [found])


def test_pictures_of_a_video_are_spread_over_it_and_of_a_lost_one_there_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    write_video(path, draw("SlideRight", appearance(1), Start(0.0, 0.0, 0.0, 1.0), 50))
    whole, _ = pictures_of(path, None)
    part, _ = pictures_of(path, Span(0.0, 0.2))
    assert len(whole) == len(part) == PICTURES
    assert np.abs(whole[0].astype(int) - whole[-1]).mean() > np.abs(part[0].astype(int) - part[-1]).mean()
    assert pictures_of(tmp_path / "gone.avi", None) == ((), "the file is not there any more")
    assert pictures_of(tmp_path / "gone" / "x_*.png", None) == ((), "the file is not there any more")
    (tmp_path / "b.avi").write_text("no video")
    assert "not a readable video" in pictures_of(tmp_path / "b.avi", None)[1]


def test_the_font_is_pillows_own() -> None:
    assert contact_sheet._font(12).getlength("mofore") > 10
