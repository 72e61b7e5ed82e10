"""``mofore embed``: videos that are in no index, as vectors of a run's space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...data.catalog import find_videos
from ...data.errors import CatalogError, UsageError, VideoError
from ...data.images import frame_series, is_image
from ...data.progress import Progress, Silent, under_way
from ...data.suffixes import VIDEO_SUFFIXES
from ...data.types import Failure, FileState
from ...stages.search.queries import ImageFile, VideoFile
from .export import Target, _about, refuse_formats, refuse_space, write_table

if TYPE_CHECKING:
    from ...data.arrays import Float32
    from ..run_folder import Run

NOT_KNOWN = FileState(0, 0, "")  # a failure here is shown, and recorded nowhere


@dataclass(frozen=True, slots=True)
class Embedded:
    """What came of some files.

    Attributes:
        paths: of those that were embedded, in the order of the vectors.
        files: that were written; none if nothing could be read.
        failures: files that could not be read.
    """

    paths: tuple[str, ...]
    files: tuple[Path, ...]
    failures: tuple[Failure, ...]


def embed_files(
    run: Run,
    sources: Sequence[Path],
    target: Target,
    *,
    space: str = "mofore",
    center: bool = True,
    progress: Progress | None = None,
) -> Embedded:
    """Embed video files, folders of videos, or images; one that cannot be read never stops the others.

    Args:
        run: whose backbone and networks embed.
        sources: files and folders.
        target: where to: .npy (with .csv), .parquet, or a folder.
        space: mofore, frames, predict or fit:KEY.
        center: as a search compares vectors, which an index is needed for; False for unit vectors as they are.
        progress: who is told.

    Raises:
        UsageError: if the target is there, or a space or format cannot be had.
        StaleError: if there is no model yet, or to centre no index.
    """
    refuse_space(space)
    if not any(source.exists() for source in sources):
        raise UsageError(f"'{sources[0]}' does not exist: give videos, images, or folders of videos")
    files = target.files("embeddings", ("npy", "parquet", "projector"))
    refuse_formats(target, files)
    paths = [path for source in sources for path in _videos(source)]
    vector = _embedder(run, space, center=center)
    found, failures, progress = dict[str, "Float32"](), list[Failure](), progress or Silent()
    with under_way(progress, "embed", len(paths), "videos"):
        for path in paths:
            progress.pulse()
            try:
                found[str(path)] = vector(ImageFile(path) if is_image(path) else VideoFile(path))
            except (VideoError, OSError) as error:
                failures.append(Failure(str(path), NOT_KNOWN, str(error).removeprefix(f"'{path}': ")))
            progress.advance(1, failed=len(failures))
    written = _write(run, found, files, {"space": space, "centered": center}) if found else []
    return Embedded(tuple(found), tuple(written), tuple(failures))


def _write(run: Run, found: dict[str, Float32], files: dict[str, Path], about: dict[str, object]) -> list[Path]:
    import numpy as np

    from ...stages.export.table import EmbeddingTable, Row

    rows = [Row(path, str(Path(path).absolute())) for path in found]
    table = EmbeddingTable.of(rows, np.stack([*found.values()]), {**_about(run.snapshot), **about})
    return write_table(table, files)


def _videos(source: Path) -> list[Path]:
    """The video that a path is, or those in a folder; what holds none is left for the reading to say so."""
    path = source.expanduser()
    if not path.is_dir() or is_series(path):
        return [path]
    try:
        return [path / video.id for video in find_videos(path).videos]
    except CatalogError:
        return [path]


def is_series(folder: Path) -> bool:
    """Whether a folder is one video: it holds numbered images and no video file."""
    names = [path.name for path in folder.iterdir()]
    return bool(frame_series(names)) and not any(Path(name).suffix.lower() in VIDEO_SUFFIXES for name in names)


def _embedder(run: Run, space: str, *, center: bool) -> Callable[[VideoFile | ImageFile], Float32]:
    """What makes vectors of files: unit vectors, centred as the index is if that is wanted."""
    if not center:
        return run.query_embedding(space).vector
    searcher = run.session.searcher(space, "video")
    return lambda query: searcher.index.centered(searcher.embedding.vector(query)[None])[0]
