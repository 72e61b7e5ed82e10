"""A walk over a folder: which files and folders of images below it are videos, by names, sizes and times alone.

Nothing is opened here (but files of sound that may hold pictures), and what is not asked for is not made: whoever only
wants to know whether anything changed takes the digest of a million files, and never their list.
"""

from __future__ import annotations

import hashlib
import os
import stat
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, islice, repeat
from pathlib import Path

from .errors import CatalogError
from .file_states import FileStates
from .images import frame_series, is_folder, stat_of_frames
from .remote import objects_below
from .remote_path import RemotePath
from .stat_files import NOT_A_FILE
from .storage import refuse_lost
from .suffixes import VIDEO_SUFFIXES

TABLES = frozenset([".csv", ".tsv", ".json", ".jsonl"])
OGG_HEAD, OGG_VIDEO = 4096, (b"theora", b"BBCD", b"OVP80", b"video\0\0\0")  # Theora, Dirac, VP8, OGM
ALL_VIDEOS = frozenset(VIDEO_SUFFIXES) - {".ogg"}  # files with these are videos, without a look at them
Within = tuple[str, list[str]]  # what the ids of a folder's files begin with, and their names
Found = tuple[str, int, int, str]  # id, size in bytes, time of change in ns, pattern of prescribed image names


@dataclass(frozen=True, slots=True)
class Walk:
    """What was found below a folder, before anything is left out or described.

    Attributes:
        folders: with video files, in the order of the walk: a million ids are not made for who does not ask for them.
        sizes: of these, in bytes.
        mtimes_ns: their times of change.
        of_images: the folders of images that are videos.
        links: the files that are links, sorted.
        digest: of the videos: the same while none comes, goes or changes in size or time.
        unnamed: keys of objects that no path can stand for, so that they are passed over.
    """

    folders: list[Within]
    sizes: array[int]
    mtimes_ns: array[int]
    of_images: list[Found]
    links: list[str]
    digest: str
    unnamed: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.sizes) + len(self.of_images)

    def videos(self) -> list[Found]:
        """Files and folders of images, sorted by id."""
        files = zip(_ids(self.folders), self.sizes, self.mtimes_ns, repeat("", len(self.sizes)), strict=True)
        return sorted([*files, *self.of_images])


def walk(root: Path, images: str = "auto") -> Walk:
    """Look at every file below ``root``, as :func:`~.catalog.find_videos` says.

    Raises:
        CatalogError: if the folder is missing, is no folder, or a part of it cannot be read.
    """
    if isinstance(root, RemotePath):
        return _listed(root)
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        suffix = root.suffix.lower()
        table = "; a table of videos goes to --table" if suffix in TABLES else ""
        table = f"; of one video, give its folder: '{root.parent}'" if suffix in VIDEO_SUFFIXES else table
        raise CatalogError(
            f"data.root = '{root}' {what}: give the folder that holds the videos, or a list of files (.txt, a path in "
            f"each line){table}"
        )
    return _walked(root, with_images=images != "never", pattern=images if "*" in images else "")


def files_below(root: Path, suffix: str) -> list[str]:
    """Paths, relative to ``root`` and sorted, of the files below it that end in ``suffix``, in any case.

    Raises:
        CatalogError: if a folder cannot be read.
    """
    names = (folder.prefix + name for folder in _folders(root) for name in folder.files)
    return sorted(name for name in names if name.lower().endswith(suffix))


def _walked(root: Path, *, with_images: bool, pattern: str) -> Walk:
    found: list[Within] = []
    of_images: list[Found] = []
    links: list[str] = []
    with FileStates(str(root)) as states:
        for folder in _folders(root):
            names = _video_names(folder)
            if names:
                states.ask(folder.prefix, names)
                found.append((folder.prefix, names))
            if folder.links:
                links += [folder.prefix + name for name in folder.links]
            if with_images and folder.prefix:  # the root is where the videos are, not one of them
                of_images.extend(_image_video(folder, names, pattern))
        sizes, mtimes_ns = states.told()
    if sizes and min(sizes) < 0:  # dangling links, and files that went away meanwhile
        for place, name in enumerate(_ids(found)):
            if sizes[place] < 0:
                sizes[place], mtimes_ns[place] = _looked_at_again(root / name)
        there = [size >= 0 for size in sizes]
        found = _those(found, there)
        sizes, mtimes_ns = array("q", compress(sizes, there)), array("q", compress(mtimes_ns, there))
    inner = sorted(_innermost(of_images, _ids(found)))
    return Walk(found, sizes, mtimes_ns, inner, sorted(links), _digest(found, sizes, mtimes_ns, inner))


def _ids(folders: Iterable[Within]) -> Iterator[str]:
    return (prefix + name for prefix, names in folders for name in names)


def _those(folders: Iterable[Within], wanted: Iterable[bool]) -> list[Within]:
    """The folders with some of their files."""
    wanted = iter(wanted)
    kept = [(prefix, [*compress(names, islice(wanted, len(names)))]) for prefix, names in folders]
    return [within for within in kept if within[1]]


def _looked_at_again(path: Path) -> tuple[int, int]:
    """Size and time of a file that was found by its name, and not by its state; a size of -1 where there is none.

    Raises:
        OSError: if its storage is lost, which must not look as if it had gone.
    """
    try:
        state = path.stat()
    except OSError as error:
        refuse_lost(error, path)
        return NOT_A_FILE, 0
    return (state.st_size, state.st_mtime_ns) if stat.S_ISREG(state.st_mode) else (NOT_A_FILE, 0)


def _listed(root: RemotePath) -> Walk:
    """The same of objects: folders of images are not looked for, nor is looked into files of sound."""
    ids: list[str] = []
    sizes, mtimes_ns = array("q"), array("q")
    unnamed = []
    try:
        for key, state in sorted(objects_below(root)):
            parts = key.split("/")
            if f".{parts[-1].rpartition('.')[2].lower()}" not in VIDEO_SUFFIXES:
                continue
            if any(part in ("", ".", "..") for part in parts):
                unnamed.append(key)
            elif not any(part.startswith(".") for part in parts):
                ids.append(key)
                sizes.append(state.size)
                mtimes_ns.append(state.mtime_ns)
    except OSError as error:
        raise CatalogError(f"data.root = '{root}' cannot be listed: {error.strerror or error}") from error
    found = [("", ids)] if ids else []
    return Walk(found, sizes, mtimes_ns, [], [], _digest(found, sizes, mtimes_ns, []), tuple(unnamed))


def _digest(folders: list[Within], sizes: array[int], mtimes_ns: array[int], of_images: Sequence[Found]) -> str:
    """Of ids, sizes, times and patterns: columns are many times faster than JSON of as many rows."""
    total = hashlib.sha256()
    for number, (prefix, names) in enumerate(folders):
        ids = prefix + f"\0{prefix}".join(names)
        total.update((f"\0{ids}" if number else ids).encode("utf-8", "surrogateescape"))
    total.update(b"\0\0")
    total.update(sizes)
    total.update(mtimes_ns)
    total.update(repr(of_images).encode("utf-8", "backslashreplace"))
    return total.hexdigest()


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder on the walk: its path, what its files' ids begin with, its time of change, and its files' names."""

    path: str
    prefix: str
    mtime_ns: int
    files: list[str]  # sorted, without hidden ones
    links: list[str]  # those of them that are links


def _folders(root: Path) -> Iterator[_Folder]:
    """Walk iteratively, so that depth is no limit; a real folder is entered once, so that links can't loop."""
    seen: set[tuple[int, int]] = set()
    folders = [(str(root), "")]
    while folders:
        path, prefix = folders.pop()
        here = os.stat(path)  # noqa: PTH116 - strings all the way: this is the hot loop of `mofore status`
        if (here.st_dev, here.st_ino) in seen:
            continue
        seen.add((here.st_dev, here.st_ino))
        files, links, below = _inside(path)
        # In the order of the ids, so that little is left to sort.
        folders.extend((f"{path}/{name}", f"{prefix}{name}/") for name in reversed(below))
        yield _Folder(path, prefix, here.st_mtime_ns, files, links)


def _inside(path: str) -> tuple[list[str], list[str], list[str]]:
    """Names of the files in a folder, of those that are links, and of the folders; without hidden ones, sorted.

    A folder that cannot be read must not look like an empty one.
    """
    links, below = [], []
    try:
        with os.scandir(path) as found:
            entries = list(found)
        # Comprehensions, since a million files go through this; nearly all are plain files, as the folder itself says.
        files = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        others = (
            [entry for entry in entries if not entry.is_file(follow_symlinks=False)]
            if len(entries) > len(files)
            else ()
        )
        for entry in others:
            if entry.is_dir(follow_symlinks=False) or is_folder(entry):
                below.append(entry.name)
            else:
                files.append(entry.name)
                if entry.is_symlink():
                    links.append(entry.name)
    except OSError as error:
        raise CatalogError(f"the folder '{path}' cannot be read: {error.strerror}") from error
    return _seen(files), _seen(links), _seen(below)


def _seen(names: list[str]) -> list[str]:
    """Sorted, without hidden ones, which stand together then."""
    names.sort()
    del names[bisect_left(names, ".") : bisect_left(names, "/")]
    return names


def _video_names(folder: _Folder) -> list[str]:
    """Names of the files that may be videos."""
    if _are_all_videos(folder.files):
        return folder.files
    return [
        name
        for name in folder.files
        if ((suffix := name[name.rfind(".") :]) in VIDEO_SUFFIXES or suffix.lower() in VIDEO_SUFFIXES)
        and (suffix.lower() != ".ogg" or not _is_sound(f"{folder.path}/{name}"))
    ]


def _are_all_videos(names: list[str]) -> bool:
    """Whether all have one suffix, of videos, as nearly every folder's do: told without asking each name."""
    if not names:
        return True
    suffix = names[0][names[0].rfind(".") :]
    return suffix in ALL_VIDEOS and ("\0".join(names) + "\0").count(suffix + "\0") == len(names)


def _is_sound(path: str) -> bool:
    """Whether it is one of the many .ogg that hold sound alone: those with pictures begin with their stream."""
    try:
        if not _is_regular(path):
            return False  # which its state will say
        with open(path, "rb") as file:  # noqa: PTH123 - strings all the way
            head = file.read(OGG_HEAD)
    except OSError as error:
        refuse_lost(error, Path(path))
        return False  # extraction will say why
    return not any(codec in head for codec in OGG_VIDEO)


def _is_regular(path: str) -> bool:
    return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - strings all the way


def _image_video(folder: _Folder, videos: list[str], pattern: str) -> Iterator[Found]:
    """The folder as a video, if it holds numbered images and no video file."""
    if len(videos) == len(folder.files):
        return
    series = frame_series(folder.files, pattern)
    if series and not any(_is_there(f"{folder.path}/{name}") for name in videos):
        size, mtime_ns = stat_of_frames(folder.path, series[0].names, folder.mtime_ns)
        yield folder.prefix.removesuffix("/"), size, mtime_ns, pattern


def _is_there(path: str) -> bool:
    try:
        return _is_regular(path)
    except OSError:
        return False


def _innermost(of_images: list[Found], videos: Iterable[str]) -> list[Found]:
    """Those folders of images that have no video below them: images beside videos are thumbnails and the like."""
    if not of_images:
        return []
    outer = {folder for video_id in videos for folder in _outer_folders(video_id)}
    inner = []
    for found in sorted(of_images, key=lambda found: -found[0].count("/")):
        if found[0] not in outer:
            inner.append(found)
            outer.update(_outer_folders(found[0]))
    return inner


def _outer_folders(video_id: str) -> Iterator[str]:
    while "/" in video_id:
        video_id = video_id.rpartition("/")[0]
        yield video_id
