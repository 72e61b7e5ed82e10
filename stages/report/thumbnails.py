"""A small picture of every video, many to a file.

Videos are dealt to sheets by the hash of their names, so that a video that is added or changed makes one sheet anew and
the others are taken from the report before.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ...cache.atomic import write_bytes, write_json
from ...cache.fingerprint import digest
from ...cache.hold import make_folder
from ...data.arrays import Int64
from ...data.cores import usable_cores
from ...data.decode import IMAGE_FPS
from ...data.errors import VideoError
from ...data.progress import Progress
from ...data.stills import glimpse
from ...data.types import Video

FOLDER, TABLE = "thumbs", "thumbs/sheets.json"
TILES = 48  # of a sheet, about
COLUMNS = 8
QUALITY = 45  # of WebP; 64 x 48 pixels of UCF101 take 0.5 kB each with it
SIZES = ((1_000, (160, 120)), (4_000, (96, 72)), (16_000, (64, 48)))  # of a picture, for at most so many videos
MOST = 16_000  # videos that have one


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Where the picture of each of V videos is.

    Attributes:
        size: width and height of a picture, pixels.
        files: names of the sheets, relative to the report.
        sheet_V: number of the sheet of each video; -1 where it has no picture.
        tile_V: position in its sheet, row by row.
        unread: videos that are there and could not be read.
    """

    size: tuple[int, int]
    files: tuple[str, ...]
    sheet_V: Int64
    tile_V: Int64
    unread: int = 0

    @property
    def shown(self) -> int:
        """Videos with a picture."""
        return int((self.sheet_V >= 0).sum())


@dataclass(frozen=True, slots=True)
class Source:
    """A video, where it is (None where its file is not there), and where its picture is taken, seconds."""

    video: Video
    path: Path | None
    near_s: float = 0.0


def make_thumbnails(
    sources: Sequence[Source], folder: Path, previous: Path | None, *, image_fps: float = IMAGE_FPS, progress: Progress
) -> Thumbnails:
    """Draw the sheets into ``folder``, or take them from the report that ``previous`` is the folder of.

    Args:
        sources: V videos; of more than :data:`MOST` every so many has a picture.
        folder: of the report.
        previous: of the one before.
        image_fps: of folders of images.
        progress: told of every sheet.
    """
    size = next((size for most, size in SIZES if len(sources) <= most), SIZES[-1][1])
    sheet_V, tile_V = np.full(len(sources), -1, np.int64), np.zeros(len(sources), np.int64)
    files, unread, known, made = list[str](), 0, _read_table(previous), dict[str, _Sheet]()

    def sheet_of(some: list[Source]) -> tuple[str, _Sheet]:
        key = digest([size, QUALITY, [_state(source) for source in some]])
        return key, _taken(known.get(key), previous, folder) or _drawn(some, size, folder, image_fps)

    dealt = _dealt(sources)
    pool = ThreadPoolExecutor(len(usable_cores()))
    try:
        made_of = pool.map(sheet_of, [[sources[row] for row in rows] for rows in dealt])
        for rows, (key, sheet) in zip(dealt, made_of, strict=True):
            progress.pulse()
            made[key] = sheet
            unread += sum(sources[rows[tile]].path is not None for tile in sheet.missing)
            if sheet.file:
                shown = [tile for tile in range(len(rows)) if tile not in set(sheet.missing)]
                sheet_V[[rows[tile] for tile in shown]] = len(files)
                tile_V[[rows[tile] for tile in shown]] = shown
                files.append(sheet.file)
            progress.advance(len(rows))
    finally:
        pool.shutdown(cancel_futures=True)
    write_json(folder / TABLE, {key: [sheet.file, list(sheet.missing)] for key, sheet in made.items()})
    return Thumbnails(size, tuple(files), sheet_V, tile_V, unread)


@dataclass(frozen=True, slots=True)
class _Sheet:
    """Name of the file, empty where no video has a picture; tiles that have none."""

    file: str
    missing: tuple[int, ...]


def _dealt(sources: Sequence[Source]) -> list[list[int]]:
    """Rows of the videos of each sheet. Sheets are a power of two, so that few videos more do not deal all anew."""
    step = math.ceil(len(sources) / MOST)
    chosen = range(0, len(sources), max(step, 1))
    sheets = 1 << max(0, math.ceil(math.log2(max(1, len(chosen)) / TILES)))
    dealt: list[list[int]] = [[] for _ in range(sheets)]
    for row in sorted(chosen, key=lambda row: sources[row].video.id):
        name = sources[row].video.id.encode("utf-8", "surrogateescape")
        dealt[int.from_bytes(hashlib.sha256(name).digest()[:8]) % sheets].append(row)
    return [rows for rows in dealt if rows]


def _state(source: Source) -> list[object]:
    video = source.video
    return [video.id, video.file, video.size, video.mtime_ns, round(source.near_s, 3)]


def _read_table(previous: Path | None) -> dict[str, _Sheet]:
    """What the report before has drawn; nothing if that cannot be read."""
    try:
        table = json.loads((previous / TABLE).read_text()) if previous else {}
        return {key: _Sheet(file, tuple(missing)) for key, (file, missing) in table.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _taken(sheet: _Sheet | None, previous: Path | None, folder: Path) -> _Sheet | None:
    """A sheet of the report before, if it has all of its pictures."""
    if sheet is None or previous is None or sheet.missing or not (previous / sheet.file).is_file():
        return None
    if previous != folder:
        make_folder(folder / FOLDER)
        shutil.copyfile(previous / sheet.file, folder / sheet.file)
    return sheet


def _drawn(sources: Sequence[Source], size: tuple[int, int], folder: Path, image_fps: float) -> _Sheet:
    """Decode one frame of each, and publish the sheet under the digest of its bytes."""
    pictures = [_picture(source, size, image_fps) for source in sources]
    missing = tuple(tile for tile, picture in enumerate(pictures) if picture is None)
    if len(missing) == len(pictures):
        return _Sheet("", missing)
    width, height = size
    sheet = Image.new("RGB", (COLUMNS * width, math.ceil(len(pictures) / COLUMNS) * height))
    for tile, picture in enumerate(pictures):
        if picture is not None:
            sheet.paste(picture, (tile % COLUMNS * width, tile // COLUMNS * height))
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=QUALITY, method=4)
    name = f"{FOLDER}/{hashlib.sha256(buffer.getvalue()).hexdigest()[:16]}.webp"
    write_bytes(folder / name, buffer.getvalue())
    return _Sheet(name, missing)


def _picture(source: Source, size: tuple[int, int], image_fps: float) -> Image.Image | None:
    if source.path is None:
        return None
    try:
        pixels = glimpse(source.path, source.near_s, image_fps=image_fps)
    except (VideoError, OSError):
        return None
    return ImageOps.fit(Image.fromarray(np.ascontiguousarray(pixels)), size, Image.Resampling.LANCZOS)
