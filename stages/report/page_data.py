"""The page's data as scripts, since a page that is opened from disk may read no other file.

All texts are JSON in ASCII with ``<`` escaped, so that no name of a file ends the script or a line of it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.types import Split, Video
from .maps import Map
from .neighbours import Examples, SpaceVectors
from .thumbnails import COLUMNS, Thumbnails

MOST_NAMED = 4_000  # groups that the page can highlight; of more the map is not coloured by group


def script(name: str, value: Any) -> bytes:
    """``window.mofore.NAME = VALUE``."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f"window.mofore=window.mofore||{{}};window.mofore.{name}={text};\n".encode("ascii")


def packed(array: NDArray[Any], kind: str) -> dict[str, str]:
    """Numbers in base64, little-endian."""
    return {"kind": kind, "base64": base64.b64encode(np.ascontiguousarray(array, f"<{kind}").tobytes()).decode("ascii")}


def videos_json(
    videos: Sequence[Video], split: Split, hits: Mapping[str, float | None], thumbnails: Thumbnails, shown: Examples
) -> dict[str, Any]:
    """What the page knows of each video.

    Args:
        videos: V of them.
        split: their sides.
        hits: R@1 of each query, by id.
        thumbnails: their pictures.
        shown: queries to look at first.
    """
    groups = [video.recording for video in videos]
    kinds = {
        "class": [video.label for video in videos],
        "group": groups if len({*groups}) <= MOST_NAMED else [None] * len(videos),
        "side": [split.side(video.id) for video in videos],
        "error": [_error(hits.get(video.id)) for video in videos],
    }
    return {
        "ids": [video.id for video in videos],
        "kinds": {kind: _coded(values) for kind, values in kinds.items()},
        "labels": {row: list(video.labels) for row, video in enumerate(videos) if video.more_labels},
        "examples": {"rule": shown.rule, "kinds": shown.kinds},
        "thumbs": {
            "size": thumbnails.size,
            "columns": COLUMNS,
            "files": thumbnails.files,
            "sheet": packed(thumbnails.sheet_V, "i2"),
            "tile": packed(thumbnails.tile_V, "i2"),
        },
    }


def spaces_json(spaces: Sequence[SpaceVectors]) -> list[dict[str, Any]]:
    """The neighbours of each video in each space."""
    return [
        {
            "name": space.name,
            "count": space.near_VK.shape[1],
            "near": packed(space.near_VK, "i4" if len(space.near_VK) > 32_000 else "i2"),
            "similarity": packed((space.similarity_VK * 10_000).round(), "i2"),
        }
        for space in spaces
    ]


def maps_json(maps: Sequence[Map]) -> list[dict[str, Any]]:
    """Where each video lies."""
    return [
        {"name": each.name, "how": each.how, "places": packed((each.places_V2 * 65_535).round(), "u2")} for each in maps
    ]


def _error(hit: float | None) -> str | None:
    if hit is None:
        return None
    return "nearest is of its class" if hit >= 0.5 else "nearest is of another class"


def _coded(values: Sequence[str | None]) -> dict[str, Any]:
    """Names in order, and of each video the number of its name; -1 for none."""
    names = sorted({value for value in values if value is not None})
    place = {name: number for number, name in enumerate(names)}
    codes = np.array([-1 if value is None else place[value] for value in values])
    return {"names": names, "codes": packed(codes, "i2")}
