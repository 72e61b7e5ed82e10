"""Which videos there are: UCF101's layout, or any folder tree of videos, as files or as folders of frame images.

Nothing is opened here: a catalog of 13,320 videos is one walk over the folders and a stat of each file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .errors import CatalogError
from .exclusions import Exclusions
from .folder_sides import folder_of_id, folder_sides
from .images import IMAGE_SUFFIXES
from .remote_path import RemotePath
from .suffixes import VIDEO_SUFFIXES
from .types import Division, Video
from .walk import Found, Walk, walk
from .wording import few, told

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
    seen = walk(root, images) if seen is None else seen
    exclusions = exclusions or Exclusions()
    found = [one for one in seen.videos() if not exclusions.leave_out(one[0])]
    if not found:
        away = f" but {len(seen):,} that data.exclude leaves out" if len(seen) else ""
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


def _looked_for(images: str) -> str:
    files = f"files ending in {' '.join(sorted(VIDEO_SUFFIXES))}"
    if images == "never":
        return f"{files} (and, with data.images = 'auto', folders of images)"
    if "*" in images:
        return f"{files}, and folders of images {images} with a number for the star"
    return f"{files}, and folders of numbered images ({' '.join(sorted(IMAGE_SUFFIXES))})"


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
