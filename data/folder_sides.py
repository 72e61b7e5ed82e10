"""Folders called train, val or test: the sides of a data set that its tools left in folders, and no classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

SIDES = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "validate", "dev"),
    "test": ("test", "testing", "tst", "eval"),
}
SIDE_OF = {word: side for side, words in SIDES.items() for word in words}


def folder_sides(ids: Sequence[str]) -> tuple[int | None, Mapping[str, str]]:
    """How many folders are above the one that names the side, and the side of every video that has one, by id.

    The first depth at which there is a folder of training videos and one of others, holding most of the videos between
    them; (None, {}) if there is none. A class called "train" among others is none. Where all videos are in folders
    called so, but none is of training or none of another side, the folder is still no class: (depth, {}).
    """
    parents = [folder_of_id(video_id) for video_id in ids]
    split = {parent: parent.split("/")[:-1] for parent in set(parents)}
    for depth in range(max(map(len, split.values()), default=0)):
        named = {
            parent: SIDE_OF.get(folders[depth].lower()) if depth < len(folders) else None
            for parent, folders in split.items()
        }
        found = [named[parent] for parent in parents]
        counts = Counter(side for side in found if side)
        if counts["train"] and len(counts) > 1 and 2 * counts.total() > len(ids):
            return depth, {video_id: side for video_id, side in zip(ids, found, strict=True) if side}
        if ids and all(found):
            return depth, {}
    return None, {}


def folder_of_id(video_id: str) -> str:
    """The folders of an id with the slash that ends them, or nothing."""
    return video_id[: video_id.rfind("/") + 1]
