"""``mofore import``: check somebody's own features, store them, and write the ``mofore.toml`` of a work folder.

The order makes a kill harmless: everything is read and checked before anything is written; then come the shards, each
told to the ledger; then ``imported.json``, which says what is of the folder now; then ``mofore.toml``, without which
there is no work folder. The same command goes on from wherever it was, since videos are known by their digests.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..._version import __version__
from ...cache.atomic import remove_leftovers, write_bytes
from ...cache.imported import ImportedVideo, ImportRecord, read_import
from ...cache.ledger import Ledger, StageRecord
from ...data.catalog import Catalog
from ...data.errors import ConfigError, StoreError, WorkspaceError
from ...data.short_videos import ShortVideos
from ...data.splits import make_split
from ...data.wording import counted
from ...stages import versions
from ...stages.import_features.options import Reading, listed
from .. import console
from ..catalogs import in_tables, lists_folder
from ..config import Config, given_settings, load_config, make_config, render
from ..run import remember
from ..snapshot import observe
from ..store_key import store_key
from ..workspace import Workspace
from .init import Values, described_by, say_catalog, with_overrides

if TYPE_CHECKING:
    from ...stages.import_features.source import FeatureSource


@dataclass(frozen=True, slots=True)
class Change:
    """What an import changed: videos stored, and videos that are no longer of the work folder; anything at all."""

    stored: int
    removed: int
    anything: bool


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What is to be imported, and what the user says of it."""

    features: Path  # a file of flat arrays or with an array for each video, or a folder of files for each video
    splits: Path | None = None  # folder of the official lists
    tables: Sequence[Path] = ()  # files that describe the videos
    fps: float | None = None  # frames a second, where the features have no times
    asked_name: str | None = None  # of the features; None for that of their file
    overrides: tuple[str, ...] = ()  # settings to write, as ``section.key=value``
    # what the arrays do not say themselves: streams, axes, crops, names
    reading: Reading = field(default_factory=Reading)

    @property
    def name(self) -> str:
        """What the features are called, and their backbone ``import:NAME``."""
        return self.asked_name or self.features.resolve().stem

    def values(self, workspace: Workspace) -> Values:
        """What the command sets, by section; what is outside the work folder is named by its absolute path.

        Raises:
            CatalogError: if the lists or a table are not there.
            ConfigError: if an override names another backbone, or has no section, key and value.
        """
        backbone = f"import:{self.name}"
        data = described_by(workspace, self.splits, self.tables)
        values: Values = {"extract": {"backbone": backbone}, **({"data": data} if data else {})}
        asked = with_overrides(values, self.overrides)["extract"]["backbone"]
        if asked != backbone:
            raise ConfigError(f"--set extract.backbone={asked}: it is {backbone}; see --name")
        return values


def import_features(root: Path, request: ImportRequest, watcher: console.Console, *, replace: bool = False) -> Change:
    """Bring features into the work folder ``root``, which is made if it is not there.

    Args:
        root: the work folder.
        request: which features, and how they are to be taken.
        watcher: told how it goes.
        replace: a ``mofore.toml`` with other settings.

    Raises:
        WorkspaceError: if the folder has other settings, or a run holds it.
        FeaturesError: if the features cannot be stored as they are.
        CatalogError: if the split lists don't fit the ids.
        ConfigError: if a setting is not allowed.
    """
    from ...stages.import_features.open_source import open_source
    from ...stages.import_features.stage import check

    workspace = Workspace(root)
    values = request.values(workspace)
    config = _settings(workspace, values, replace=replace)
    with open_source(request.features, request.fps, request.reading) as source:
        for note in source.notes:  # how it was read, as far as that is not plain
            console.say(f"note: {note}")
        if source.unused:
            console.say(f"note: not used of '{source.path}': {listed(source.unused)}")
        record = _record(workspace, source, request.name, check(source, watcher))
        catalog = in_tables(workspace, config, record.catalog(root, config.data))
        split = make_split(catalog.videos, config.data, lists_folder(workspace, config), catalog.divisions)
        root.mkdir(parents=True, exist_ok=True)
        with workspace.alone():
            change = _bring(workspace, config, source, record, catalog, watcher)
            if replace or not workspace.config.exists():
                write_bytes(workspace.config, render(values).encode("utf-8"))
    say_catalog(catalog, split)
    _say_short(config, record)
    _say(change, record, root)
    return change


def _settings(workspace: Workspace, values: Values, *, replace: bool) -> Config:
    """The settings of the work folder: those that are there, as far as the command says nothing else, or its own."""
    config = make_config(values)
    if replace or not workspace.config.exists():
        return config
    present = load_config(workspace.config)
    for section, key in given_settings(values):
        here, asked = (getattr(getattr(one, section), key) for one in (present, config))
        if here != asked:
            raise WorkspaceError(
                f"'{workspace.config}' is there already, with {section}.{key} = {here!r} instead of {asked!r}: "
                "take another work folder, change the file, or replace it with --force"
            )
    return present


def _record(workspace: Workspace, source: FeatureSource, name: str, videos: tuple[ImportedVideo, ...]) -> ImportRecord:
    description = {
        "name": source.path.name,
        "sha256": source.sha256(),
        "shape": list(source.shape),
        "dtype": str(source.dtype),
        "mofore": __version__,
    }
    path = workspace.shorten(source.path)
    grouped = source.grouped
    return ImportRecord(description, path, name, source.fps, source.labelled, grouped, videos, source.options)


def _bring(
    workspace: Workspace,
    config: Config,
    source: FeatureSource,
    record: ImportRecord,
    catalog: Catalog,
    watcher: console.Console,
) -> Change:
    """Store what is not stored yet, and only then say that it is of the work folder."""
    from ...cache.store import FeatureStore
    from ...stages.import_features.stage import publish

    ledger = Ledger.open(workspace.ledger)
    store = FeatureStore(workspace.store(store_key(config, "")))
    remove_leftovers(workspace.root)
    store.clean()
    snapshot = observe(workspace, config, ledger, catalog)
    remember(snapshot)
    before = None
    with suppress(StoreError):  # one that is damaged is written anew
        before = read_import(store.folder)
    missing = {todo.video.id for todo in snapshot.todo}
    videos = [video for video in record.videos if video.id in missing]
    backbone = config.extract.backbone
    provenance = {"backbone": backbone, "imported": True, "features": "as imported, float16", "source": record.source}
    if videos:
        publish(source, videos, store=store, recorder=ledger, provenance=provenance, progress=watcher)
    if videos or record != before:
        store.pin_encoder(provenance)
        record.write(store.folder)
    if ledger.find("extract", store.key) is None:
        stage = StageRecord("extract", store.key, versions.EXTRACT, config.extract.identity(), "", {}, 0.0)
        ledger.add_stage(stage)
    removed = {video.id for video in before.videos} - catalog.ids() if before else set()
    return Change(len(videos), len(removed), bool(videos) or record != before)


def _say_short(config: Config, record: ImportRecord) -> None:
    """Features made elsewhere are often of a few frames a video, which the clips of the defaults are too long for."""
    if config.fit.unit == "frames":
        found = ShortVideos.of([video.frames for video in record.videos], config.fit)
        if not found.few:
            console.say(f"note: {found.told()}")


def _say(change: Change, record: ImportRecord, root: Path) -> None:
    rows, width = record.source["shape"]
    times = "with their times" if record.fps is None else f"at {record.fps:g} frames a second (--fps)"
    console.say(f"features of {counted(rows, 'frame')}, width {width}, {record.source['dtype']}, {times}")
    done = "nothing changed"
    if change.anything:
        removed = f", {change.removed:,} no longer there" if change.removed else ""
        done = f"stored {change.stored:,} of {counted(len(record.videos), 'video')}{removed}"
    console.say(f"{done}; next: mofore run -w {shlex.quote(str(root))}")
