"""What is there: the videos, the shards, the ledger, and which video's features are up to date.

All reading of the outside snapshot for planning happens here; :mod:`.plan` decides. Nothing is written. On a
work folder that is up to date no video and no shard is opened: sizes and times say enough.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..cache.checkpoint import latest_step
from ..cache.fingerprint import current_state, digest, settled_state
from ..cache.ledger import Ledger, ShardRecord, StageRecord, StoredVideo
from ..cache.remote_shards import RemoteShard, RemoteShards
from ..data.catalog import Catalog
from ..data.errors import BackboneError, CatalogError, StoreError
from ..data.remote_path import RemotePath
from ..data.roots import Walks
from ..data.splits import all_splits, make_split
from ..data.types import Failure, FileState, Split, Video
from ..data.weight_index import weight_files
from ..data.wording import counted
from .catalogs import lists_folder
from .config import Config
from .recorded import seen_or_recorded
from .store_key import store_key
from .workspace import Workspace

if TYPE_CHECKING:
    from ..cache.store import FeatureStore


class Located(NamedTuple):
    """Where the features of a video are: shard's file name, row in it, and its record."""

    shard: str
    row: int
    video: StoredVideo


@dataclass(frozen=True, slots=True)
class Todo:
    """A video whose features are to be made, and whether other features of it are there."""

    video: Video
    why: Literal["added", "changed"]


@dataclass(slots=True)
class Snapshot:
    """The state of a work folder and its data folder at one moment.

    ``shards`` are sound; ``found`` are those of them that the ledger does not know in their present state;
    ``damaged`` says of shard files what is wrong; ``backwards`` names the videos of shard files whose times do not
    rise; ``touched`` are files whose content had to be read. Of ``shards``, those ``away`` are in a bucket, and
    here only while there is room (:mod:`mofore.cache.remote_shards`).
    """

    workspace: Workspace
    config: Config
    ledger: Ledger
    catalog: Catalog
    split: Split
    store_key: str
    weights: Path | None
    weights_digest: str = ""
    shards: dict[str, ShardRecord] = field(default_factory=dict)
    found: list[ShardRecord] = field(default_factory=list)
    away: dict[str, RemoteShard] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    backwards: dict[str, tuple[str, ...]] = field(default_factory=dict)
    touched: dict[str, FileState] = field(default_factory=dict)
    stored: dict[str, Located] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)
    todo: list[Todo] = field(default_factory=list)
    described: str = field(default="", repr=False)  # what :func:`described_videos` found, once it was asked for
    others: list[Split] = field(default_factory=list, repr=False)  # :meth:`other_splits`, likewise

    def videos(self, ids: Iterable[str]) -> tuple[Video, ...]:
        """Those of the catalog's videos that ``ids`` names, in the catalog's order."""
        wanted = frozenset(ids)
        return tuple(video for video in self.catalog.videos if video.id in wanted)

    def train_ids(self) -> list[str]:
        """Training videos whose features are there, sorted."""
        return sorted(self.split.train & self.stored.keys())

    def stored_ids(self) -> list[str]:
        """All videos whose features are there, in the catalog's order."""
        return [video.id for video in self.catalog.videos if video.id in self.stored]

    def features_of(self, ids: Iterable[str]) -> dict[str, str]:
        """Digest of the features of each video."""
        return {video_id: self.stored[video_id].video.digest for video_id in ids}

    def backward_videos(self) -> set[str]:
        """Videos whose stored times do not rise, and are going to be sorted."""
        return {video for videos in self.backwards.values() for video in videos}

    def broken_outputs(self, record: StageRecord) -> tuple[str, ...]:
        """Outputs of a finished stage that are gone or are not what it wrote."""
        broken = []
        for path, recorded in record.outputs.items():
            present = current_state(self.workspace.root / path, recorded)
            if present is None or present.sha256 != recorded.sha256:
                broken.append(path)
        return tuple(broken)

    def checkpoint_step(self, key: str, stage: str = "fit") -> int:
        """Step that an interrupted fit (or finetune) would resume from; 0 without a sound checkpoint."""
        return latest_step(self.workspace.stage(stage, key))

    def open_store(self) -> FeatureStore:
        """The store that the settings mean."""
        from ..cache.store import FeatureStore  # h5py, which most plans do without

        return FeatureStore(self.workspace.store(self.store_key))

    @property
    def lists(self) -> Path | None:
        """The folder of the official lists, if there is one."""
        return lists_folder(self.workspace, self.config)

    def other_splits(self) -> tuple[Split, ...]:
        """The splits that can be made beside the settings' own."""
        if not self.others:
            catalog = self.catalog
            found = all_splits(catalog.videos, self.config.data, self.lists, catalog.divisions, catalog.subsets)
            self.others.extend(split for split in found if split.name != self.split.name)
        return tuple(self.others)

    def refuse_unseen(self, count: int) -> None:
        """Refuse to read pixels while the videos are not there.

        Raises:
            CatalogError: with the setting to change.
        """
        if self.catalog.unseen:
            raise CatalogError(
                f"{counted(count, 'video')} would be read, but {self.catalog.unseen} is not there: mount the disk, "
                "bring the folder back, or set data.root to where the videos are now"
            )


def observe(
    workspace: Workspace,
    config: Config,
    ledger: Ledger,
    catalog: Catalog | None = None,
    walks: Walks = MappingProxyType({}),
) -> Snapshot:
    """Look at everything once. ``catalog``, or ``walks``, spare a second walk over the data folder within one command.

    Where nothing is at ``data.root``, but features are stored, the videos are those of earlier runs
    (``Catalog.unseen``).

    Raises:
        CatalogError: if the data folder or the split lists are not usable, or nothing was imported.
        BackboneError: if local weights are named that are not there.
        StoreError: if the record of what was imported is damaged.
    """
    touched: dict[str, FileState] = {}
    weights = workspace.resolve(config.extract.weights) if config.extract.weights else None
    weights_digest = _weights_digest(weights, ledger, touched) if weights else ""
    key = _present_key(workspace, config, weights_digest)
    catalog = catalog or seen_or_recorded(workspace, config, ledger, key, walks)
    split = make_split(catalog.videos, config.data, lists_folder(workspace, config), catalog.divisions)
    snapshot = Snapshot(workspace, config, ledger, catalog, split, key, weights, weights_digest, touched=touched)
    _look_at_shards(snapshot)
    _locate_videos(snapshot)
    return snapshot


def _present_key(workspace: Workspace, config: Config, weights_digest: str) -> str:
    """Key of the store that the settings mean.

    A GPU resizes pictures in other arithmetic than a processor, so its features are a store of their own. With
    ``extract.device = auto`` the store that is there is the one that is meant, wherever it was made: a work folder may
    be copied to a machine without a GPU. Only where there is none yet, or both, does this machine decide.
    """
    keys = store_keys(config, weights_digest)
    if config.extract.device != "auto":
        return keys["cuda" if config.extract.device == "cuda" else "cpu"]
    begun = [key for key in keys.values() if (workspace.store(key) / "encoder.json").exists()]
    return begun[0] if len(begun) == 1 else keys["cuda" if _has_gpu() else "cpu"]


def store_keys(config: Config, weights_digest: str) -> dict[str, str]:
    """Keys of the stores that the settings mean, by the device that makes them."""
    return {device: store_key(config, weights_digest, device) for device in ("cpu", "cuda")}


def _has_gpu() -> bool:
    """Whether torch finds one; it is only asked where NVIDIA's driver is, since importing it takes seconds."""
    if not Path("/dev/nvidiactl").exists() and shutil.which("nvidia-smi") is None:
        return False
    from ..stages.machine.device import pick_device

    return pick_device("auto").type == "cuda"


def _weights_digest(path: Path, ledger: Ledger, touched: dict[str, FileState]) -> str:
    """Of a file's content; of an index, of its content and that of every file it names; of a folder, of its model's."""
    files = weight_files(path) if path.is_dir() else dict.fromkeys((path, *weight_files(path)))
    digests = [_file_digest(file, ledger, touched) for file in files]
    return digests[0] if len(digests) == 1 else digest(digests)


def _file_digest(path: Path, ledger: Ledger, touched: dict[str, FileState]) -> str:
    key = f"file:{path}"
    known = ledger.files.get(key)
    try:
        state = (current_state(path, known) if known else None) or settled_state(path)
    except OSError as error:
        raise BackboneError(f"extract.weights = '{path}' cannot be read: {error.strerror}") from error
    if state != known:
        touched[key] = state
    return state.sha256


def _look_at_shards(snapshot: Snapshot) -> None:
    """Trust shards that the ledger knows by size and time; read the others against their own digests."""
    known = snapshot.ledger.shards.get(snapshot.store_key, {})
    folder = snapshot.workspace.store(snapshot.store_key)
    present = sorted(folder.glob("*.h5")) if folder.is_dir() else []
    for path in present:
        record, state = known.get(path.name), path.stat()
        try:
            if record is None or (record.size, record.mtime_ns) != (state.st_size, state.st_mtime_ns):
                record = snapshot.open_store().inspect(path)
                snapshot.found.append(record)
            snapshot.shards[path.name] = record if record.rising else _look_at_times(snapshot, path, record)
        except StoreError as error:
            snapshot.damaged[path.name] = str(error)
    _look_away(snapshot, known, {path.name for path in present})
    snapshot.lost = sorted(known.keys() - {path.name for path in present} - snapshot.shards.keys())


def _look_away(snapshot: Snapshot, known: Mapping[str, ShardRecord], present: set[str]) -> None:
    """Shards in a bucket that the ledger knows; others were merged into another here, or deleted, since the pull.

    None of them is fetched, but those that another file has taken the place of, which nothing is known of.
    """
    for name, shard in RemoteShards(snapshot.workspace.root).of_store(snapshot.store_key).items():
        record = known.get(name)
        if record is None or name in present:
            continue
        if (record.size, record.mtime_ns) != (shard.state.size, shard.state.mtime_ns):
            with shard.here() as path:
                record = snapshot.open_store().inspect(path)
            snapshot.found.append(record)
        snapshot.shards[name], snapshot.away[name] = record, shard


def _look_at_times(snapshot: Snapshot, path: Path, record: ShardRecord) -> ShardRecord:
    """Once for every shard of an earlier version, which stored the times as containers have them."""
    if backwards := snapshot.open_store().backwards(path):
        snapshot.backwards[path.name] = backwards
        return record
    known = replace(record, rising=True)
    snapshot.found = [other for other in snapshot.found if other.name != path.name] + [known]
    return known


def _locate_videos(snapshot: Snapshot) -> None:
    candidates: dict[str, list[Located]] = {}
    for name, record in snapshot.shards.items():
        for row, stored in enumerate(record.videos):
            candidates.setdefault(stored.id, []).append(Located(name, row, stored))
    failures = snapshot.ledger.failures.get(snapshot.store_key, {})
    for video in snapshot.catalog.videos:
        _locate(snapshot, video, candidates.get(video.id, []), failures.get(video.id))


def _locate(snapshot: Snapshot, video: Video, candidates: list[Located], failure: Failure | None) -> None:
    """Decide of one video: its features are there, it is known to fail, or it is to be done."""
    sources = [place.video.source for place in candidates] + ([failure.source] if failure else [])
    content = _content(snapshot, video, sources)
    for place in candidates:
        if place.video.source.sha256 == content:
            snapshot.stored[video.id] = place
    if video.id in snapshot.stored:
        return
    if failure is not None and failure.source.sha256 == content:
        snapshot.failed[video.id] = failure
    else:
        snapshot.todo.append(Todo(video, "changed" if sources else "added"))


def _content(snapshot: Snapshot, video: Video, sources: list[FileState]) -> str | None:
    """sha256 of the video's file, read only if a recorded size matches under another time."""
    if snapshot.catalog.imported:
        return snapshot.catalog.content_of(video)
    known = [*sources, *filter(None, [snapshot.ledger.files.get(video.id)])]
    for state in known:
        if state.looks_like(video.size, video.mtime_ns):
            return state.sha256
    if not any(state.size == video.size for state in sources) or isinstance(
        snapshot.catalog.path(video), RemotePath
    ):  # of an object, size and version are all that there is
        return None
    try:
        snapshot.touched[video.id] = settled_state(snapshot.catalog.path(video))
    except OSError:
        return None  # extraction will say why
    return snapshot.touched[video.id].sha256


def lists_digest(snapshot: Snapshot) -> str:
    """Digest of the official lists and of all sides, which the index reads; other splits follow from the catalog."""
    if snapshot.catalog.divisions:
        named = {division.name: sorted(division.sides.items()) for division in snapshot.catalog.divisions}
        return digest(
            [named, {name: sorted(ids) for name, ids in snapshot.catalog.subsets.items()}, _lists_digest(snapshot)]
        )
    return _lists_digest(snapshot)


def _lists_digest(snapshot: Snapshot) -> str:
    if snapshot.lists is None:
        return ""
    paths = sorted(snapshot.lists.glob("*list0[123].txt"))
    return digest([[path.name, path.read_bytes().decode("utf-8", "replace")] for path in paths])


def described_videos(snapshot: Snapshot) -> str:
    """Digest of what is read of each video beside the fit: id, features, class, group and side."""
    if not snapshot.described:
        snapshot.described = digest(_descriptions(snapshot))
    return snapshot.described


def _descriptions(snapshot: Snapshot) -> list[list[Any]]:
    return [
        [
            video.id,
            snapshot.stored[video.id].video.digest,
            video.label,
            video.group,
            snapshot.split.role(video.id),
            *([video.more_labels, video.metadata] if video.more_labels or video.metadata else []),
        ]
        for video in snapshot.catalog.videos
        if video.id in snapshot.stored
    ]


def features_fingerprint(features: dict[str, str]) -> str:
    """Fingerprint of the features of some videos."""
    return digest(sorted(features.items()))
