"""A contact sheet: the query and its neighbours as strips of pictures, each with its name, similarity and class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...cache.atomic import published
from ...data.arrays import UInt8
from ...data.decode import IMAGE_FPS
from ...data.errors import UsageError, VideoError
from ...data.sampling import Span
from ...data.stills import WHOLE, stills

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
PICTURES = 4  # of a strip
COLUMNS = 2
WIDTH, HEIGHT = 160, 120  # of a picture
BORDER, GAP, MARGIN = 4, 2, 18
CAPTION, HEADING = 44, 40
STRIP_WIDTH = PICTURES * WIDTH + (PICTURES - 1) * GAP + 2 * BORDER
STRIP_HEIGHT = CAPTION + HEIGHT + 2 * BORDER
DASH = 12  # of the border of a wrong class, so that it is told from a right one without its colour
PAPER, INK, FAINT_INK, TILE = (255, 255, 255), (26, 26, 26), (104, 104, 104), (222, 222, 222)
GREEN, RED, GREY, BLUE = (17, 119, 51), (187, 34, 34), (160, 160, 160), (34, 85, 170)
Pictured = tuple[tuple[UInt8, ...], str]  # pictures, and why there are none
VERDICTS = {True: ("same class", GREEN), False: ("other class", RED), None: ("", GREY)}


@dataclass(frozen=True, slots=True)
class Strip:
    """A query or a neighbour."""

    title: str  # what stands first in its caption
    name: str  # of the video
    right: bool | None = None  # whether its class is the query's; None where that is not known
    pictures: tuple[UInt8, ...] = ()  # RGB, evenly spread
    reason: str = ""  # why there are none, or the text of a query that has none
    asked: bool = False  # whether it is a query


def format_of(path: Path) -> str:
    """Pillow's name of the format that a file's suffix asks for.

    Raises:
        UsageError: if it is none that is written here.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--sheet {path}: a name that ends in {', '.join(FORMATS)} is needed")
    return FORMATS[path.suffix.lower()]


def pictures_of(path: Path, span: Span | None, *, image_fps: float = IMAGE_FPS) -> Pictured:
    """Pictures of a video, or why there are none."""
    if not path.parent.exists() or not (path.exists() or "*" in path.name):
        return (), "the file is not there any more"
    try:
        return tuple(stills(path, PICTURES, span or WHOLE, image_fps=image_fps)), ""
    except VideoError as error:
        return (), str(error)


def write_sheet(path: Path, heading: str, queries: Sequence[Strip], neighbours: Sequence[Strip]) -> None:
    """Draw and publish.

    Raises:
        UsageError: if the suffix is of no format that is written here.
    """
    kind, sheet = format_of(path), draw_sheet(heading, queries, neighbours)
    with published(path) as temporary:
        sheet.save(temporary, kind)


def draw_sheet(heading: str, queries: Sequence[Strip], neighbours: Sequence[Strip]) -> Image.Image:
    """The heading, the queries, then the neighbours, row after row."""
    rows = [*_rows(queries), *_rows(neighbours)]
    width = 2 * MARGIN + COLUMNS * STRIP_WIDTH + (COLUMNS - 1) * MARGIN
    sheet = Image.new("RGB", (width, HEADING + MARGIN + len(rows) * (STRIP_HEIGHT + MARGIN)), PAPER)
    _write(ImageDraw.Draw(sheet), (MARGIN, MARGIN), heading, 18, INK, width - 2 * MARGIN)
    for number, row in enumerate(rows):
        for column, strip in enumerate(row):
            left = MARGIN + column * (STRIP_WIDTH + MARGIN)
            sheet.paste(draw_strip(strip), (left, HEADING + MARGIN + number * (STRIP_HEIGHT + MARGIN)))
    return sheet


def draw_strip(strip: Strip) -> Image.Image:
    """Caption above, pictures side by side in a border."""
    picture = Image.new("RGB", (STRIP_WIDTH, STRIP_HEIGHT), PAPER)
    draw = ImageDraw.Draw(picture)
    end = _write_verdict(draw, strip)
    _write(draw, (0, 0), strip.title, 16, INK, end - GAP)
    _write(draw, (0, 21), strip.name, 14, FAINT_INK, STRIP_WIDTH)
    _frame(draw, strip)
    if not strip.pictures:
        _write_reason(draw, strip.reason)
    for number, pixels in enumerate(strip.pictures):
        left = BORDER + number * (WIDTH + GAP)
        picture.paste(_tile(pixels), (left, CAPTION + BORDER))
    return picture


def _rows(strips: Sequence[Strip]) -> Iterator[Sequence[Strip]]:
    return (strips[first : first + COLUMNS] for first in range(0, len(strips), COLUMNS))


def _tile(pixels: UInt8) -> Image.Image:
    """The whole picture, inside the tile."""
    tile = Image.new("RGB", (WIDTH, HEIGHT), INK)
    scale = min(WIDTH / pixels.shape[1], HEIGHT / pixels.shape[0])
    size = max(1, round(scale * pixels.shape[1])), max(1, round(scale * pixels.shape[0]))
    small = Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.LANCZOS)
    tile.paste(small, ((WIDTH - size[0]) // 2, (HEIGHT - size[1]) // 2))
    return tile


def _frame(draw: ImageDraw.ImageDraw, strip: Strip) -> None:
    """The border: whole, or dashed for a wrong class; and the grey that shows where no picture is."""
    top, right, bottom = CAPTION, STRIP_WIDTH, STRIP_HEIGHT
    colour = BLUE if strip.asked else VERDICTS[strip.right][1]  # tells queries, and neighbours of the right class
    draw.rectangle((0, top, right - 1, bottom - 1), fill=colour)
    if strip.right is False:
        for left in range(DASH, right, 2 * DASH):
            draw.rectangle((left, top, left + DASH - 1, bottom), fill=PAPER)
        for upper in range(top + DASH, bottom, 2 * DASH):
            draw.rectangle((0, upper, right, upper + DASH - 1), fill=PAPER)
    draw.rectangle((BORDER, top + BORDER, right - BORDER - 1, bottom - BORDER - 1), fill=TILE)


def _write_verdict(draw: ImageDraw.ImageDraw, strip: Strip) -> int:
    """A mark and its words at the right end of the caption; returns where they begin."""
    text, colour = VERDICTS[strip.right]
    if not text:
        return STRIP_WIDTH
    begin = STRIP_WIDTH - round(_font(15).getlength(text)) - 22
    draw.text((begin + 22, 1), text, fill=colour, font=_font(15))
    tick, cross = [(0, 8), (5, 13), (14, 1)], [(1, 2), (13, 14)]
    strokes = [tick] if strip.right else [cross, [(13, 2), (1, 14)]]
    for stroke in strokes:
        draw.line([(begin + x, 2 + y) for x, y in stroke], fill=colour, width=3)
    return begin


def _write_reason(draw: ImageDraw.ImageDraw, reason: str) -> None:
    """In the middle of the grey, in several lines if need be."""
    font, lines = _font(18), [""]
    for word in _plain(reason).split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if font.getlength(longer) < STRIP_WIDTH - 60 else [*lines, word]
    middle = CAPTION + BORDER + HEIGHT / 2
    draw.multiline_text((STRIP_WIDTH / 2, middle), "\n".join(lines[:4]), INK, font, anchor="mm", align="center")


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, colour: tuple[int, int, int], room: int
) -> None:
    """One line; of what is too long the end is shown, which tells names apart."""
    shown, font = _plain(text), _font(size)
    while font.getlength(shown) > room and len(shown) > 4:
        shown = "..." + shown[4:]
    draw.text(place, shown, fill=colour, font=font)


def _plain(text: str) -> str:
    """What the font has letters for; the rest escaped, which still tells names apart."""
    return text.encode("latin-1", "backslashreplace").decode("latin-1")


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own, so that a sheet looks the same everywhere."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
