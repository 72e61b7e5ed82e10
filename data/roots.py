"""Where the videos are: one folder, several, or a list of files.

Ids are paths below the folder. With several folders each id begins with its folder's name, so that they stay apart; of
a list, ids are paths below the list's folder, or absolute ones without the first slash.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path, PurePosixPath

from .catalog import Catalog, described, find_videos, is_excluded
from .errors import CatalogError
from .names import few
from .settings import DataSettings
from .text_files import read_text
from .types import Video

LISTS = frozenset([".txt", ".lst", ".list"])


def scan_roots(roots: Sequence[Path], settings: DataSettings) -> Catalog:
    """The videos of all folders and lists.

    Raises:
        CatalogError: if one of them is missing or empty, or two give videos the same id.
    """
    if not roots:
        raise CatalogError("data.root is empty: give the folder that holds the videos, or several, or a list of files")
    if len(roots) == 1 and not _is_list(roots[0]):
        catalog = find_videos(roots[0], settings.images, settings.exclude)
        return described(replace(catalog, layout=settings.layout), settings.class_depth)
    videos: list[Video] = []
    notes: list[str] = []
    for root, name in zip(roots, _names(roots), strict=True):
        found = _listed(root, settings) if _is_list(root) else find_videos(root, settings.images, settings.exclude)
        prefix = f"{name}/" if len(roots) > 1 else ""
        videos += [
            replace(video, id=prefix + video.id, file=video.file or str(found.root / video.id))
            for video in found.videos
        ]
        notes += found.notes
    videos.sort(key=lambda video: video.id)
    for one, other in pairwise(videos):
        if one.id == other.id:
            raise CatalogError(f"'{one.file}' and '{other.file}' would have the same id '{one.id}': name them apart")
    root = roots[0] if len(roots) == 1 else Path(os.path.commonpath(roots))
    return described(Catalog(root, tuple(videos), settings.layout, notes=tuple(notes)), settings.class_depth)


def _is_list(root: Path) -> bool:
    return root.suffix.lower() in LISTS and root.is_file()


def _listed(path: Path, settings: DataSettings) -> Catalog:
    """The videos of a list: a path in every line, absolute or from the list's folder."""
    path = path.absolute()
    videos: dict[str, Video] = {}
    missing = []
    for line in dict.fromkeys(filter(None, map(str.strip, read_text(path, "the list").splitlines()))):
        file = Path(os.path.normpath(path.parent / Path(line.replace("\\", "/")).expanduser()))
        near = file.is_relative_to(path.parent)
        video_id = PurePosixPath(file.relative_to(path.parent if near else file.anchor)).as_posix()
        if is_excluded(video_id, settings.exclude):
            continue
        try:
            state = file.stat()
        except OSError:
            missing.append(line)
            continue
        if file.is_dir():
            raise CatalogError(
                f"the list '{path}' names a folder, '{line}': it takes files alone; give folders as roots"
            )
        videos[video_id] = Video(video_id, None, None, state.st_size, state.st_mtime_ns, file=str(file))
    if not videos:
        first = f"; the first entry is '{missing[0]}'" if missing else ""
        raise CatalogError(f"no file of the list '{path}' is there{first}: paths are taken from the list's folder")
    absent = [f"in the list '{path.name}', but absent: {len(missing):,} ({few(missing)})"] if missing else []
    return Catalog(path.parent, tuple(videos.values()), settings.layout, notes=tuple(absent))


def _names(roots: Sequence[Path]) -> list[str]:
    """Names that tell folders apart: the last parts of their paths, as few as needed."""
    for count in range(1, max(len(root.parts) for root in roots) + 1):
        names = [
            "/".join(root.with_suffix("").parts[-count:] if _is_list(root) else root.parts[-count:]) for root in roots
        ]
        if len(set(names)) == len(roots):
            return [name.strip("/") for name in names]
    raise CatalogError(f"data.root names a folder twice: {', '.join(map(str, roots))}")
