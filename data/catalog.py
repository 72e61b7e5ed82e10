"""Which videos there are: UCF101's layout, or any folder tree of videos, as files or as folders of frame images.

Nothing is opened here: a catalog of 13,320 videos is one walk over the folders and a stat of each file.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path

from .errors import CatalogError
from .exclusions import Exclusions
from .folder_sides import folder_of_id, folder_sides
from .images import IMAGE_SUFFIXES, frame_series, is_folder, stat_of_frames
from .remote import objects_below
from .remote_path import RemotePath
from .storage import refuse_lost
from .suffixes import VIDEO_SUFFIXES
from .types import Division, Video
from .wording import few, told

_name = attrgetter("name")
TABLES = frozenset([".csv", ".tsv", ".json", ".jsonl"])
OGG_HEAD, OGG_VIDEO = 4096, (b"theora", b"BBCD", b"OVP80", b"video\0\0\0")  # Theora, Dirac, VP8, OGM
UCF101_NAME = re.compile(r"v_(?P<label>.+)_(?P<group>g\d+)_(?P<clip>c\d+)", re.IGNORECASE)
# The class is HandstandPushups in the lists and folders; its files say HandStandPushups.
FRAMES_OF = re.compile(r"[ _.-](frames?|images?|imgs?|jpe?gs?)$", re.IGNORECASE)  # after a video's name
UCF101_SPELLING = {"HandStandPushups": "HandstandPushups"}


@dataclass(frozen=True, slots=True)
class Catalog:
    """The videos of a folder, sorted by id."""

    root: Path  # the data folder
    videos: tuple[Video, ...]  # sorted by id
    layout: str  # "ucf101", "folders" or "none", never "auto"
    # of the features of each video, where they were imported and there is no file; else None
    digests: Mapping[str, str] | None = None
    # of its videos into sides, as the user's material has them; the one that counts first
    divisions: tuple[Division, ...] = ()
    subsets: Mapping[str, frozenset[str]] = field(default_factory=dict)  # named parts of the test side, ids by name
    notes: tuple[str, ...] = ()  # what the user should know of how the videos were taken
    # the setting that says where the videos are, where nothing is there and these are those that earlier runs left word
    # of (``data.root = '/disk/videos'``); else empty
    unseen: str = ""

    def path(self, video: Video) -> Path:
        """Where the file of ``video`` is, or its folder of images."""
        return video.path(self.root)

    def ids(self) -> frozenset[str]:
        """The ids of all videos, without their order."""
        return frozenset(video.id for video in self.videos)

    @property
    def imported(self) -> bool:
        """Whether its videos are features alone: there is no file to read, cut or take pictures of."""
        return self.digests is not None

    def content_of(self, video: Video) -> str | None:
        """What tells another content of ``video`` from this one, where no file has to be read for it.

        That is the digest of its features where these were imported, and None where ``video`` is a file.
        """
        return None if self.digests is None else self.digests[video.id]


def scan(root: Path, layout: str = "auto", images: str = "auto", *, class_depth: int = 0) -> Catalog:
    """Find every video below ``root``, with class, group and side as names and folders say.

    Args:
        root: the data folder.
        layout: "auto" takes the UCF101 layout if most names have its form, else one class per folder.
        images: as for :func:`find_videos`.
        class_depth: which folder names the class: 0 the one that holds the video, 1 the first below ``root``, ...

    Raises:
        CatalogError: if the folder is missing, is no folder, or holds no video.
    """
    return described(replace(find_videos(root, images), layout=layout), class_depth)


@dataclass(frozen=True, slots=True)
class Walk:
    """What was found below a folder, before anything is left out or described.

    Attributes:
        videos: sorted by id; files, and folders of images.
        of_images: how many of them are folders of images.
        links: the files that are links, sorted.
        digest: of ``videos``: the same while no video comes, goes or changes in size or time.
        unnamed: keys of objects that no path can stand for, so that they are passed over.
    """

    videos: list[Found]
    of_images: int
    links: list[str]
    digest: str
    unnamed: tuple[str, ...] = ()


def walk(root: Path, images: str = "auto") -> Walk:
    """Look at every file below ``root``, as :func:`find_videos` says.

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
    return _find(root, with_images=images != "never", pattern=images if "*" in images else "")


def find_videos(
    root: Path, images: str = "auto", exclusions: Exclusions | None = None, seen: Walk | None = None
) -> Catalog:
    """Every video below ``root``, without class and group.

    Links to folders are followed, each real folder once. Hidden files and folders are passed over. A folder
    below ``root`` that holds numbered images, no video file and no folder with videos is one video; but a folder that
    is named as a video file is that file's frames, and passed over.

    Args:
        root: the data folder.
        images: "auto", "never" to take no folder of images for a video, or the pattern of the images' names.
        exclusions: of videos that are passed over.
        seen: what a walk has found just now; without it there is one.

    Raises:
        CatalogError: if the folder is missing, is no folder, or holds no video.
    """
    seen = seen or walk(root, images)
    exclusions = exclusions or Exclusions()
    found = [one for one in seen.videos if not exclusions.leave_out(one[0])]
    if not found:
        away = f" but {len(seen.videos):,} that data.exclude leaves out" if seen.videos else ""
        looked_for = _looked_for("never" if isinstance(root, RemotePath) else images)
        raise CatalogError(f"no video below '{root}'{away}: {looked_for} are looked for")
    found, doubled = _without_frames_of(found) if seen.of_images else (found, [])
    notes = [told("folders of images named as videos, so passed over", doubled)] if doubled else []
    if seen.unnamed:
        notes.append(told("objects whose keys have empty parts, '.' or '..' in them, so passed over", seen.unnamed))
    if seen.links and (twice := _linked_twice(root, {one[0] for one in found}, seen.links)):
        what = "links to videos that have another name here too, so these are in the data twice"
        notes.append(f"{told(what, twice)}; data.exclude leaves them out")
    return Catalog(root, tuple(Video(one[0], None, None, *one[1:]) for one in found), "auto", notes=tuple(notes))


def described(catalog: Catalog, class_depth: int = 0, *, below: int = 0) -> Catalog:
    """The catalog with class and group of every video, and its division into sides, as names and folders say.

    Folders called train, val or test are sides, and no classes. ``below`` counts the folders of an id that are no
    folders of the data, but names of roots.
    """
    ids = [video.id for video in catalog.videos]
    layout = guess_layout(ids) if catalog.layout == "auto" else catalog.layout
    depth, sides = folder_sides(ids)
    videos = []
    for video in catalog.videos:
        label, group = describe(video.id, layout, class_depth, side_depth=depth)
        videos.append(video.named(label, group))
    divisions = (Division("folders", sides),) if sides else ()
    notes = (*catalog.notes, *_on_class_depth(videos, layout, class_depth, depth, below))
    if depth is not None and not sides:
        names = sorted({video_id.split("/")[depth] for video_id in ids})
        notes += (f"all videos are in folders of one kind of side ({few(names)}), so sides are drawn instead",)
    return replace(catalog, videos=tuple(videos), layout=layout, divisions=divisions, notes=notes)


def _on_class_depth(
    videos: Sequence[Video], layout: str, class_depth: int, side_depth: int | None, below: int
) -> tuple[str, ...]:
    """That other folders may name the class, or that the prescribed ones name none."""
    # Of each folder once: a million videos are in some thousand folders.
    split = [folder.split("/")[:-1] for folder in dict.fromkeys(folder_of_id(video.id) for video in videos)]
    if class_depth and layout != "none" and not any(video.label for video in videos):
        why = "is the one that names the side" if class_depth - 1 == side_depth else "is not on the way to any video"
        example = "/".join(split[0]) or "(none)"
        return (
            f"data.class_depth = {class_depth} names no class: folder {class_depth} {why}; the folders of the first "
            f"video are {example}",
        )
    depths = [depth for depth in range(below, min(map(len, split), default=0)) if depth != side_depth]
    if layout != "folders" or class_depth or len(depths) < 2:
        return ()
    first = sorted({folders[depths[0]] for folders in split})
    if len(first) < 2:
        return ()
    return (
        f"the class is the folder that holds the video; data.class_depth = {depths[0] + 1} takes the outermost "
        f"instead: {few(first)}",
    )


def _without_frames_of(found: list[Found]) -> tuple[list[Found], list[str]]:
    """Without folders of images that hold the frames of a video file: named as it is, beside it or in a like folder."""
    files: dict[str, set[tuple[str, ...]]] = {}
    for video_id, *_ in found:
        folders, name = video_id.split("/")[:-1], video_id.rpartition("/")[2]
        stem, _, suffix = name.rpartition(".")
        if f".{suffix.lower()}" in VIDEO_SUFFIXES:
            files.setdefault(stem, set()).add(tuple(folders))
    kept, doubled = [], []
    for one in found:
        *folders, name = one[0].split("/")
        is_file = f".{name.rpartition('.')[2].lower()}" in VIDEO_SUFFIXES
        places = set() if is_file else files.get(FRAMES_OF.sub("", name), set()) | files.get(name, set())
        if any(_alike(tuple(folders), place) for place in places):
            doubled.append(one[0])
        else:
            kept.append(one)
    return kept, doubled


def _alike(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """Whether two folders are the same but for one name (``frames/A`` and ``videos/A``)."""
    return len(left) == len(right) and sum(one != other for one, other in zip(left, right, strict=True)) <= 1


def describe(
    video_id: str, layout: str, class_depth: int = 0, *, side_depth: int | None = None
) -> tuple[str | None, str | None]:
    """Class and group of a video by its path.

    ``side_depth`` counts the folders above the one that names the side, if there is one; it is passed over.
    In the ``ucf101`` layout the class is the folder's where the name has the same class in another spelling, else the
    name's; a file whose name has another form falls back to ``folders``.
    """
    *folders, name = video_id.split("/")
    if layout == "none":
        return None, None
    own = [folder for depth, folder in enumerate(folders) if depth != side_depth]
    at = class_depth - 1
    if class_depth:
        folder = folders[at] if at < len(folders) and at != side_depth else None
    else:
        folder = own[-1] if own else None
    match = UCF101_NAME.match(name) if layout == "ucf101" else None
    if match is None:
        return folder, None
    label = UCF101_SPELLING.get(match["label"], match["label"])
    if folder is not None and folder.lower() == label.lower():
        label = folder
    return label, match["group"].lower()


def guess_layout(ids: Sequence[str]) -> str:
    """The layout that "auto" stands for: UCF101's if most names have its form, else one class per folder."""
    named = sum(UCF101_NAME.match(video_id.rpartition("/")[2]) is not None for video_id in ids)
    if 2 * named > len(ids):
        return "ucf101"
    return "folders" if any("/" in video_id for video_id in ids) else "none"


def files_below(root: Path, suffix: str) -> list[str]:
    """Paths, relative to ``root`` and sorted, of the files below it that end in ``suffix``, in any case.

    Raises:
        CatalogError: if a folder cannot be read.
    """
    names = (folder.prefix + entry.name for folder in _folders(root) for entry in folder.files)
    return sorted(name for name in names if name.lower().endswith(suffix))


def _looked_for(images: str) -> str:
    files = f"files ending in {' '.join(sorted(VIDEO_SUFFIXES))}"
    if images == "never":
        return f"{files} (and, with data.images = 'auto', folders of images)"
    if "*" in images:
        return f"{files}, and folders of images {images} with a number for the star"
    return f"{files}, and folders of numbered images ({' '.join(sorted(IMAGE_SUFFIXES))})"


Found = tuple[str, int, int, str]  # id, size in bytes, time of change in ns, pattern of prescribed image names


def _find(root: Path, *, with_images: bool, pattern: str) -> Walk:
    """All videos by id, and the files that are links."""
    videos: list[Found] = []
    of_images: list[Found] = []
    links: list[str] = []
    for folder in _folders(root):
        here = _video_files(folder)
        videos.extend(here)
        links.extend(folder.prefix + entry.name for entry in folder.files if entry.is_symlink())
        if with_images and not here and folder.prefix:  # the root is where the videos are, not one of them
            of_images.extend(_image_video(folder, pattern))
    inner = _innermost(of_images, videos)
    videos = sorted(videos + inner) if inner else sorted(videos)
    return Walk(videos, len(inner), sorted(links), _digest(videos))


def _listed(root: RemotePath) -> Walk:
    """The same of objects: folders of images are not looked for, nor is looked into files of sound."""
    videos: list[Found] = []
    unnamed = []
    try:
        for key, state in objects_below(root):
            parts = key.split("/")
            if f".{parts[-1].rpartition('.')[2].lower()}" not in VIDEO_SUFFIXES:
                continue
            if any(part in ("", ".", "..") for part in parts):
                unnamed.append(key)
            elif not any(part.startswith(".") for part in parts):
                videos.append((key, state.size, state.mtime_ns, ""))
    except OSError as error:
        raise CatalogError(f"data.root = '{root}' cannot be listed: {error.strerror or error}") from error
    videos.sort()
    return Walk(videos, 0, [], _digest(videos), tuple(unnamed))


def _digest(videos: list[Found]) -> str:
    """Of ids, sizes, times and patterns: columns are many times faster than JSON of as many rows."""
    total = hashlib.sha256()
    for names in ([each[0] for each in videos], [each[3] for each in videos]):
        total.update("\0".join(names).encode("utf-8", "surrogateescape") + b"\0\0")
    for numbers in ([each[1] for each in videos], [each[2] for each in videos]):
        total.update(array("q", numbers))
    return total.hexdigest()


def _linked_twice(root: Path, ids: Collection[str], links: Sequence[str]) -> list[str]:
    """The links whose file is a video of the folder by another name too."""
    top, seen, twice = os.path.realpath(root), set[str](), []
    for link in links:
        if link in ids:
            real = os.path.realpath(root / link)
            if real in seen or (real.startswith(top + os.sep) and Path(os.path.relpath(real, top)).as_posix() in ids):
                twice.append(link)
            seen.add(real)
    return twice


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder on the walk: its path, what its files' ids begin with, its time of change, its files."""

    path: str
    prefix: str
    mtime_ns: int
    files: list[os.DirEntry[str]]


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
        files, below = [], []
        for entry in _entries(path):
            if (entry.is_symlink() and is_folder(entry)) or entry.is_dir(follow_symlinks=False):
                below.append((entry.path, f"{prefix}{entry.name}/"))
            else:
                files.append(entry)
        folders.extend(reversed(below))  # in the order of the ids, so that little is left to sort
        yield _Folder(path, prefix, here.st_mtime_ns, files)


def _video_files(folder: _Folder) -> list[Found]:
    """The files that may be videos; one loop without calls, since a million files go through it."""
    found = []
    prefix, regular = folder.prefix, stat.S_ISREG
    for entry in folder.files:
        name = entry.name
        suffix = name[name.rfind(".") :]
        if suffix in VIDEO_SUFFIXES or suffix.lower() in VIDEO_SUFFIXES:
            try:
                state = entry.stat()
            except OSError as error:  # a dangling link, or a file that went away meanwhile
                refuse_lost(error, Path(entry.path))
                continue
            if regular(state.st_mode) and (suffix.lower() != ".ogg" or not _is_sound(entry)):
                found.append((prefix + name, state.st_size, state.st_mtime_ns, ""))
    return found


def _is_sound(entry: os.DirEntry[str]) -> bool:
    """Whether it is one of the many .ogg that hold sound alone: those with pictures begin with their stream."""
    try:
        with open(entry.path, "rb") as file:  # noqa: PTH123 - an entry has its path as a string
            head = file.read(OGG_HEAD)
    except OSError as error:
        refuse_lost(error, Path(entry.path))
        return False  # extraction will say why
    return not any(codec in head for codec in OGG_VIDEO)


def _image_video(folder: _Folder, pattern: str) -> Iterator[Found]:
    series = frame_series((entry.name for entry in folder.files), pattern)
    if series:
        size, mtime_ns = stat_of_frames(folder.path, series[0].names, folder.mtime_ns)
        yield folder.prefix.removesuffix("/"), size, mtime_ns, pattern


def _innermost(of_images: list[Found], videos: list[Found]) -> list[Found]:
    """Those folders of images that have no video below them: images beside videos are thumbnails and the like."""
    if not of_images:
        return []
    outer = {folder for video_id, *_ in videos for folder in _outer_folders(video_id)}
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


def _entries(path: str) -> list[os.DirEntry[str]]:
    """What is in a folder, without hidden things. A folder that cannot be read must not look like an empty one."""
    try:
        with os.scandir(path) as entries:
            return sorted((entry for entry in entries if entry.name[0] != "."), key=_name)
    except OSError as error:
        raise CatalogError(f"the folder '{path}' cannot be read: {error.strerror}") from error
