"""The videos of a work folder while nothing is at ``data.root``: as earlier runs left word of them.

Everything but reading pixels goes on: the features are stored, and what else is asked of a video is its id, its class
and its side. Which videos there were says ``videos.json``; where an earlier version made the work folder, the ledger
does. Classes and sides follow from ids, tables and lists as ever; where a table or the lists are gone as well, the
latest index knows them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..cache.fingerprint import KEY_LENGTH
from ..cache.known_videos import remembered_videos
from ..cache.ledger import Ledger, StoredVideo
from ..data.backbone import parse_backbone
from ..data.catalog import Catalog
from ..data.errors import CatalogError
from ..data.remote_path import is_url
from ..data.roots import Walks, known_videos, nothing_there
from ..data.types import Division, Video
from .catalogs import in_tables, lists_folder, look_up
from .config import Config
from .inputs import read_inputs
from .workspace import Workspace

SEGMENT = "#t="  # between the file and the seconds, in the id of a segment
DRAWN = ("groups", "random")  # splits that follow from the videos themselves


def recorded_catalog(workspace: Workspace, config: Config, ledger: Ledger, store: str) -> Catalog | None:
    """The videos that are known; None if something is at ``data.root``, or the store holds no features.

    Args:
        workspace: the work folder.
        config: its settings.
        ledger: its ledger.
        store: key of the store that the settings mean.

    Raises:
        CatalogError: if a table or the lists are of no use, or are gone and no index knows what they said.
    """
    roots = [*map(workspace.resolve, config.data.root)]
    if parse_backbone(config.extract.backbone).imported or not nothing_there(roots) or not ledger.shards.get(store):
        return None
    files = remembered_videos(workspace.root)
    if files is None:
        files = tuple(_stored_files(workspace, ledger, store, segmented=bool(config.data.table)))
    catalog = known_videos(roots, files, config.data)
    tables_gone = any(not workspace.resolve(table).exists() for table in config.data.table)
    lists = lists_folder(workspace, config)
    indexed = _Indexed.of(workspace, ledger) if tables_gone or (lists and not lists.exists()) else None
    if indexed is None:
        return in_tables(workspace, config, catalog)
    return indexed.divided(indexed.described(catalog) if tables_gone else in_tables(workspace, config, catalog))


@dataclass(frozen=True, slots=True)
class _Indexed:
    """What the latest index knows of the videos: id, class, group, side and metadata of each; and the split's name."""

    rows: list[dict[str, Any]]
    split: str

    @classmethod
    def of(cls, workspace: Workspace, ledger: Ledger) -> _Indexed | None:
        """None where there is no index, or none that can be read."""
        latest = ledger.latest("index")
        if latest is None:
            return None
        try:
            items = next(path for path in latest.outputs if path.endswith(".video/items.json"))
            return cls(json.loads((workspace.root / items).read_text()), latest.config["data.split"])
        except (OSError, ValueError, KeyError, StopIteration):
            return None

    def described(self, catalog: Catalog) -> Catalog:
        """The catalog with classes and groups, and segments as items; other videos stay, without a class."""
        files = {video.id: video for video in catalog.videos}
        found = {video.id: video for video in (_video(row, files) for row in self.rows) if video is not None}
        segmented = {video.file for video in found.values()}
        others = [
            replace(video, label=None) for name, video in files.items() if name not in found and name not in segmented
        ]
        videos = sorted([*found.values(), *others], key=lambda video: video.id)
        return replace(catalog, videos=tuple(videos), divisions=())

    def divided(self, catalog: Catalog) -> Catalog:
        """The catalog with the sides, unless these are drawn."""
        if self.split in DRAWN or self.split in {division.name for division in catalog.divisions}:
            return catalog
        sides = {row["id"]: row.get("side", row["role"]) for row in self.rows}
        division = Division(self.split, {name: side for name, side in sides.items() if side != "unassigned"})
        return replace(catalog, divisions=(division, *catalog.divisions))


def _video(row: Mapping[str, Any], files: Mapping[str, Video]) -> Video | None:
    """A video as the index knows it; None if its file is not among those that are known."""
    name, seconds, _ = row["id"].partition(SEGMENT)
    video = files.get(row["id"]) or files.get(name)
    if video is None:
        return None
    labels = row.get("labels") or ([] if row["label"] is None else [row["label"]])
    return replace(
        video,
        id=row["id"],
        label=labels[0] if labels else None,
        more_labels=tuple(labels[1:]),
        group=row["group"],
        file=video.id if seconds and video.id != row["id"] else "",
        metadata=tuple(row.get("metadata", {}).items()),
    )


def _stored_files(workspace: Workspace, ledger: Ledger, store: str, *, segmented: bool) -> Iterable[Video]:
    """The files whose features are stored or that could not be read, each in the state that the latest output read."""
    used = _features_in_use(workspace, ledger)
    newest_last = sorted(ledger.shards[store].values(), key=lambda shard: shard.mtime_ns)
    found: dict[str, StoredVideo] = {}
    for stored in (video for shard in newest_last for video in shard.videos):
        before = found.get(stored.id)
        if before is None or before.digest != used.get(stored.id):
            found[stored.id] = stored
    states = {name: stored.source for name, stored in found.items()}
    states |= {name: failure.source for name, failure in ledger.failures.get(store, {}).items()}
    files = {name.partition(SEGMENT)[0] if segmented else name: state for name, state in states.items()}
    return (Video(name, None, None, state.size, state.mtime_ns) for name, state in files.items())


def _features_in_use(workspace: Workspace, ledger: Ledger) -> Mapping[str, str]:
    """Digest of the features of each video that the latest index was made from."""
    latest = ledger.latest("index")
    if latest is None:
        return {}
    inputs = read_inputs(Path(workspace.stage("index", latest.fingerprint[:KEY_LENGTH])))
    return inputs["videos"] if inputs else {}


def seen_or_recorded(
    workspace: Workspace, config: Config, ledger: Ledger, key: str, walks: Walks = MappingProxyType({})
) -> Catalog:
    """The videos that are there; where nothing is at ``data.root``, those that earlier runs left word of."""
    try:
        return look_up(workspace, config, walks)
    except CatalogError as error:
        known = recorded_catalog(workspace, config, ledger, key)
        if known is None:
            raise
        if not any(map(is_url, config.data.root)):
            return known
        why = error.__cause__.strerror if isinstance(error.__cause__, OSError) else error
        return replace(known, unseen=f"{known.unseen} ({why})")
