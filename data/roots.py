"""Where the videos are: one folder, several, or a list of files.

Ids are paths below the folder. With several folders each id begins with its folder's name, so that they stay apart; of
a list, ids are paths below the list's folder, or absolute ones without the first slash.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from .catalog import Catalog, described, find_videos
from .errors import CatalogError
from .exclusions import Exclusions
from .remote_path import RemotePath, is_url
from .settings import DataSettings
from .storage import refuse_lost
from .text_files import read_text
from .types import Video
from .walk import Walk, walk
from .wording import told

LISTS = frozenset([".txt", ".lst", ".list"])


Walks = Mapping[Path, Walk]  # of folders that were walked over just now


def scan_roots(roots: Sequence[Path], settings: DataSettings, walks: Walks = MappingProxyType({})) -> Catalog:
    """The videos of all folders and lists.

    Args:
        roots: folders and lists.
        settings: what is left out, and how classes are read.
        walks: of folders that need no other.

    Raises:
        CatalogError: if one of them is missing or empty, or two give videos the same id.
    """
    if not roots:
        raise CatalogError("data.root is empty: give the folder that holds the videos, or several, or a list of files")
    exclusions = Exclusions(settings.exclude)
    if len(roots) == 1 and not _is_list(roots[0]):
        catalog = find_videos(roots[0], settings.images, exclusions, walks.get(roots[0]))
    else:
        catalog = _together(roots, settings, exclusions, walks)
    return _described(replace(catalog, notes=(*catalog.notes, *exclusions.notes())), roots, settings)


def walk_over(roots: Sequence[Path], images: str) -> dict[Path, Walk] | None:
    """A walk over each root; None if one of them is a list, or cannot be walked over."""
    if not roots or any(map(_is_list, roots)):
        return None
    try:
        return {root: walk(root, images) for root in roots}
    except CatalogError:  # whoever needs the videos will say so
        return None


def nothing_there(roots: Sequence[Path]) -> bool:
    """Whether nothing is at any of them: a disk that is not mounted, a store out of reach, or folders that moved."""
    return bool(roots) and all(map(_is_absent, roots))


def known_videos(roots: Sequence[Path], videos: Iterable[Video], settings: DataSettings) -> Catalog:
    """The catalog of videos that are known, although nothing is at the roots now (:func:`nothing_there`).

    Args:
        roots: folders and lists that held them.
        videos: ids, sizes and times as :func:`scan_roots` found them.
        settings: which of them are left out, and how classes are read.
    """
    exclusions = Exclusions(settings.exclude)
    prefixes = [f"{name}/" for name in _names(roots)] if len(roots) > 1 else []
    kept = []
    for video in videos:
        prefix = next((each for each in prefixes if video.id.startswith(each)), "")
        if not exclusions.leave_out(video.id.removeprefix(prefix)):
            kept.append(video)
    unseen = f"data.root = {', '.join(repr(str(root)) for root in roots)}"
    catalog = Catalog(roots[0], tuple(sorted(kept, key=lambda video: video.id)), settings.layout, unseen=unseen)
    return _described(catalog, roots, settings)


def _described(catalog: Catalog, roots: Sequence[Path], settings: DataSettings) -> Catalog:
    inner = min(name.count("/") + 1 for name in _names(roots)) if len(roots) > 1 else 0
    return described(replace(catalog, layout=settings.layout), settings.class_depth, below=inner)


def _is_absent(root: Path) -> bool:
    """Whether nothing is there, or a folder without anything in it, or a list of files none of which is there."""
    try:
        if isinstance(root, RemotePath):
            return not len(walk(root))
        if _is_list(root):
            return not any(file.exists() for _, file in _entries(root.absolute()))
        return not root.exists() or (root.is_dir() and not any(root.iterdir()))
    except CatalogError:  # a store that cannot be listed
        return True
    except OSError:  # there, but not to be read
        return False


def _together(roots: Sequence[Path], settings: DataSettings, exclusions: Exclusions, walks: Walks) -> Catalog:
    """The videos of several roots, or of a list; a file that is in more than one is taken once."""
    videos: list[Video] = []
    notes: list[str] = []
    for root, name in zip(roots, _names(roots), strict=True):
        if _is_list(root):
            found = _listed(root, exclusions)
        else:
            found = find_videos(root, settings.images, exclusions, walks.get(root))
        prefix = f"{name}/" if len(roots) > 1 else ""
        videos += [
            replace(video, id=prefix + video.id, file=video.file or str(found.root / video.id))
            for video in found.videos
        ]
        notes += found.notes
    # Each real file the first time that it comes: twice, it could be on both sides.
    kept: dict[str, Video] = {}
    again = [video.id for video in videos if kept.setdefault(_real(video.file), video) is not video]
    if again:
        notes.append(told("in data.root more than once (folders within one another, links), so taken once", again))
    videos = sorted(kept.values(), key=lambda video: video.id)
    for one, other in pairwise(videos):
        if one.id == other.id:
            raise CatalogError(f"'{one.file}' and '{other.file}' would have the same id '{one.id}': name them apart")
    here = [root for root in roots if not isinstance(root, RemotePath)]
    root = Path(os.path.commonpath(here)) if here and len(roots) > 1 else roots[0]
    return Catalog(root, tuple(videos), settings.layout, notes=tuple(notes))


def _real(file: str) -> str:
    return file if is_url(file) else os.path.realpath(file)


def _is_list(root: Path) -> bool:
    return root.suffix.lower() in LISTS and root.is_file()


def _listed(path: Path, exclusions: Exclusions) -> Catalog:
    """The videos of a list: a path in every line, absolute or from the list's folder."""
    path = path.absolute()
    videos: dict[str, Video] = {}
    missing = []
    for line, file in _entries(path):
        near = file.is_relative_to(path.parent)
        video_id = PurePosixPath(file.relative_to(path.parent if near else file.anchor)).as_posix()
        if exclusions.leave_out(video_id):
            continue
        try:
            state = file.stat()
        except OSError as error:
            refuse_lost(error, file)
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
    absent = [told(f"in the list '{path.name}', but absent", missing)] if missing else []
    return Catalog(path.parent, tuple(videos.values()), "auto", notes=tuple(absent))


def _entries(path: Path) -> Iterator[tuple[str, Path]]:
    """The lines of a list, each once, and the files that they name."""
    for line in dict.fromkeys(filter(None, map(str.strip, read_text(path, "the list").splitlines()))):
        yield line, Path(os.path.normpath(path.parent / Path(line.replace("\\", "/")).expanduser()))


def _names(roots: Sequence[Path]) -> list[str]:
    """Names that tell folders apart: the last parts of their paths, as few as needed."""
    for count in range(1, max(len(root.parts) for root in roots) + 1):
        names = [
            "/".join(root.with_suffix("").parts[-count:] if _is_list(root) else root.parts[-count:]) for root in roots
        ]
        if len(set(names)) == len(roots):
            return [name.strip("/") for name in names]
    raise CatalogError(f"data.root names a folder twice: {', '.join(map(str, roots))}")
