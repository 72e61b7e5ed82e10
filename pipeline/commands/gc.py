"""``mofore gc``: what the present settings do not refer to, and its removal.

:func:`choose` decides from what was looked at, :func:`clean` does. Why a kill at any moment leaves a work folder
that is consistent: the ledger forgets a fit, an index or a store before its first file goes, so that it never
names what is no longer there; a folder that is half deleted still holds nothing but files of known names, so the
next listing has it again. A shard is rewritten, and the ledger told, before the old one goes; were both left,
one of each video's two rows is superseded, and the next listing says so.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ...cache.fingerprint import KEY_LENGTH
from ...cache.ledger import Ledger
from ...data.errors import UsageError
from ...data.progress import Progress, under_way
from ...data.wording import counted
from ..config import Config
from ..road import OPTIONAL, ROAD, make_plan
from ..run_names import NamedRun, read_names
from ..snapshot import Snapshot, observe
from ..workspace import Workspace

STAGES = tuple(stage for stage in (*ROAD, *OPTIONAL) if stage.files)
KINDS = ("features", *(stage.name for stage in STAGES))
LEAD = "report/index.html"  # leads to the latest report
NOTICEABLE = 0.05  # share of a shard; for less it is not written anew
# What mofore writes into a folder of each kind. Nothing else is ever deleted.
MADE = {
    "features": ("shard-*.h5", "encoder.json", "imported.json", "partial/*.rows", "partial/*.json"),
    **{stage.name: stage.files for stage in STAGES},
}
_NAME = {"features": re.compile(rf".+-[0-9a-f]{{{KEY_LENGTH}}}")}
_KEY = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}")
_TEMPORARY = re.compile(r"\..+\.\d+\.tmp")
_WHY = {
    "features": "the store of another encoder",
    **{stage.name: "made with other settings, of another fit or of other videos" for stage in STAGES},
    "fit": "made with other settings or from other videos",
    "finetune": "made with other settings, of another fit or from other videos, and not used by extraction",
    "damaged": "was put aside as damaged",
    "temporary": "left by a run that was killed",
}


@dataclass(frozen=True, slots=True)
class Item:
    """Something that nothing refers to."""

    kind: str  # of which kind it is
    path: str  # relative to the work folder
    bytes: int  # that deleting it frees; of rows, about
    why: str  # it is not needed
    files: tuple[str, ...]  # to be deleted, relative to the work folder
    videos: tuple[str, ...] = ()  # of rows: ids of the videos whose features go
    keep: tuple[int, ...] = ()  # of rows: the rows that stay


@dataclass(frozen=True, slots=True)
class Listing:
    """All that may go, remarks on what was left out, and the videos that are stored but not to be found."""

    items: tuple[Item, ...]
    remarks: tuple[str, ...]
    missing: int
    stored: int

    @property
    def bytes(self) -> int:
        """What deleting all of it frees."""
        return sum(item.bytes for item in self.items)


References = dict[str, frozenset[str] | None]  # what settings refer to: folders by kind; None: not to be known yet


@dataclass(frozen=True, slots=True)
class Folder:
    """A store, a fit or an index: its name, and its files by path in it, with their sizes.

    ``foreign`` are names in it that mofore never gives, ``known`` whether the ledger speaks of it.
    """

    kind: str
    key: str
    files: dict[str, int]
    foreign: tuple[str, ...]
    known: bool


def survey(workspace: Workspace, configs: Sequence[Config]) -> Listing:
    """List what none of ``configs`` refers to. Nothing is written.

    Raises:
        CatalogError: if the videos of one of them are not to be found.
    """
    ledger = Ledger.open(workspace.ledger)
    return _survey(workspace, ledger, [observe(workspace, config, ledger) for config in configs])


def clean(
    workspace: Workspace, configs: Sequence[Config], progress: Progress, *, missing_videos: bool = False
) -> Listing:
    """Delete what :func:`survey` lists, and return the list.

    Raises:
        UsageError: if nothing is at ``data.root``, or most stored videos are missing, which ``missing_videos`` says is
            meant.
        WorkspaceError: if a run holds the work folder.
    """
    with workspace.alone():
        ledger = Ledger.open(workspace.ledger)
        worlds = [observe(workspace, config, ledger) for config in configs]
        _refuse_unseen(worlds)
        ledger.take_up_parts()
        listing = _survey(workspace, ledger, worlds)
        if 2 * listing.missing > listing.stored and not missing_videos:
            raise UsageError(
                f"{listing.missing:,} of {listing.stored:,} stored videos are not in the data folder (is a disk not "
                "mounted?): nothing was deleted; if they are gone for good, give --missing-videos"
            )
        with under_way(progress, "gc", len(listing.items), "places"):
            for item in listing.items:
                progress.pulse()
                _remove(workspace, ledger, item)
                progress.advance(1)
        return listing


def _refuse_unseen(worlds: Iterable[Snapshot]) -> None:
    """Features of videos that are not there could not be made again: then nothing is deleted at all."""
    unseen = next((snapshot.catalog.unseen for snapshot in worlds if snapshot.catalog.unseen), "")
    if unseen:
        raise UsageError(
            f"{unseen} is not there (is a disk not mounted?): nothing was deleted; set data.root to where the "
            "videos are now"
        )


def references(worlds: Iterable[Snapshot]) -> References:
    """The folders that the settings of these worlds refer to.

    The name of a fit follows from the features it reads, and that of an index from the fit: while a stage above
    has work to do, they are not known, and then nothing can be said to be superfluous.
    """
    keys: References = {kind: frozenset() for kind in KINDS}
    for snapshot in worlds:
        plan = make_plan(snapshot, optional=True)
        keys["features"] = (keys["features"] or frozenset()) | {snapshot.store_key}
        for stage in STAGES:
            before, planned = keys[stage.name], plan[stage.name]
            known = planned.fingerprint is not None and before is not None
            keys[stage.name] = (before or frozenset()) | {planned.key} if known else None
    return keys


def _with_named(wanted: References, named: Iterable[NamedRun]) -> References:
    """What the settings refer to, and what runs with a name are made of."""
    kept = dict(wanted)
    for run in named:
        for kind, key in (("features", run.store), ("fit", run.fit), ("evaluate", run.evaluate), ("index", run.index)):
            known = kept[kind]
            kept[kind] = None if known is None else known | {key}
    return kept


def choose(folders: Sequence[Folder], wanted: References, rows: Sequence[Item]) -> tuple[list[Item], list[str]]:
    """Decide what may go, with remarks on what may not although nothing refers to it. Reads nothing."""
    items, remarks = list[Item](), list[str]()
    for kind in KINDS:
        if wanted[kind] is None and any(folder.kind == kind for folder in folders):
            remarks.append(
                f"every {kind} is kept: which one the settings refer to is known once `mofore run` is through"
            )
    for folder in folders:
        keys, path = wanted[folder.kind], f"{folder.kind}/{folder.key}"
        if keys is None or folder.key in keys:
            items += _loose(path, folder.files)
        elif folder.foreign and not folder.known:
            remarks.append(f"{path} is left alone: mofore did not make {folder.foreign[0]}")
        else:
            files = tuple(f"{path}/{name}" for name in folder.files)
            items.append(Item(folder.kind, path, sum(folder.files.values()), _WHY[folder.kind], files))
    return [*items, *rows], remarks


def superseded_rows(worlds: Sequence[Snapshot]) -> Iterator[Item]:
    """Rows of the shards of one store that no video of the worlds refers to. All worlds are of that store.

    The features of a changed video stay until its new ones are there.
    """
    used = {(place.shard, place.row) for snapshot in worlds for place in snapshot.stored.values()}
    pending = {todo.video.id for snapshot in worlds for todo in snapshot.todo}
    for name, record in worlds[0].shards.items():
        if name in worlds[0].away:  # no room of this disk
            continue
        stays = [(name, row) in used or video.id in pending for row, video in enumerate(record.videos)]
        keep = tuple(row for row, kept in enumerate(stays) if kept)
        gone = [video for video, kept in zip(record.videos, stays, strict=True) if not kept]
        frames = sum(video.frames for video in record.videos)
        share = sum(video.frames for video in gone) / frames if keep and frames else 1.0
        if gone and share >= NOTICEABLE:
            path = f"features/{record.store}/{record.name}"
            why = f"{len(gone):,} of {counted(len(record.videos), 'video')} are superseded, or were removed or changed"
            yield Item("rows", path, int(share * record.size), why, (path,), tuple(video.id for video in gone), keep)


def _loose(path: str, files: dict[str, int]) -> Iterator[Item]:
    """Files put aside or left over in a folder that stays."""
    for name, size in files.items():
        kind = "temporary" if _TEMPORARY.fullmatch(name) else "damaged" if name.endswith(".damaged") else ""
        if kind:
            where = f"{path}/{name}" if path else name
            yield Item(kind, where, size, _WHY[kind], (where,))


def _survey(workspace: Workspace, ledger: Ledger, worlds: Sequence[Snapshot]) -> Listing:
    rows, missing, stored = list[Item](), 0, 0
    for key in dict.fromkeys(snapshot.store_key for snapshot in worlds):
        same = [snapshot for snapshot in worlds if snapshot.store_key == key]
        if any(snapshot.catalog.unseen for snapshot in same):
            continue
        rows += superseded_rows(same)
        present = {video.id for snapshot in same for video in snapshot.catalog.videos}
        known = {video.id for shard in same[0].shards.values() for video in shard.videos}
        stored += len(known)
        if not same[0].catalog.imported:  # imported features need no file: what was left out is meant to go
            missing += len(known - present)
    folders, remarks = _folders(workspace, ledger)
    named = read_names(workspace)
    items, further = choose(folders, _with_named(references(worlds), named.values()), rows)
    if named:
        folder = shlex.quote(str(workspace.root))
        further.append(f"kept for their names: {', '.join(named)} (`mofore list {folder} --forget NAME` frees one)")
    further += [
        f"{snapshot.catalog.unseen} is not there: --delete deletes nothing until the videos are"
        for snapshot in worlds
        if snapshot.catalog.unseen
    ][:1]
    further += _of_other_backbones(workspace, items)
    left = {path.name: path.stat().st_size for path in workspace.root.glob(".*.tmp")}
    if 2 * missing > stored:
        further.append(f"{missing:,} of {stored:,} stored videos are not in the data folder; --delete asks for more")
    return Listing((*items, *_loose("", left)), (*remarks, *further), missing, stored)


def _of_other_backbones(workspace: Workspace, items: Iterable[Item]) -> list[str]:
    """How the features of a second backbone are kept."""
    stores = [item.path for item in items if item.kind == "features"]
    names = [name for path in stores if (name := _backbone(workspace.root / path))]
    root = shlex.quote(str(workspace.root))
    return [
        f"to keep the features of {name}: `mofore run -w {root} --set extract.backbone={name} --name NAME`, since "
        "what has a name is kept; or --keep CONFIG.toml, a copy of mofore.toml that names it"
        for name in dict.fromkeys(names)
    ]


def _backbone(store: Path) -> str:
    """What the features of a store were made with; empty where it does not say."""
    try:
        return str(json.loads((store / "encoder.json").read_text(encoding="utf-8"))["backbone"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _folders(workspace: Workspace, ledger: Ledger) -> tuple[list[Folder], list[str]]:
    """The stores, fits and indexes of a work folder, and remarks on folders that are not mofore's."""
    folders, remarks = list[Folder](), list[str]()
    for kind in KINDS:
        top = workspace.root / kind
        if top.is_symlink():  # other work folders may use it as well
            remarks.append(f"{kind} is left alone: it is a link to '{top.resolve()}'")
            continue
        for path in sorted(top.glob("*")):
            if f"{kind}/{path.name}" == LEAD:  # small, and put right by the next report
                continue
            if path.is_symlink() or not path.is_dir() or not _NAME.get(kind, _KEY).fullmatch(path.name):
                remarks.append(f"{kind}/{path.name} is left alone: mofore did not make it")
            else:
                folders.append(_folder(kind, path, _is_known(ledger, kind, path.name)))
    return folders, remarks


def _folder(kind: str, path: Path, known: bool) -> Folder:
    files, foreign = dict[str, int](), list[str]()
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.is_dir() and not file.is_symlink():
            continue
        if not file.is_symlink() and _is_made(kind, name):
            files[name] = file.stat().st_size
        else:
            foreign.append(name)
    return Folder(kind, path.name, files, tuple(foreign), known)


def _is_made(kind: str, name: str) -> bool:
    """Whether mofore gives such names. A ``*`` must not reach into folders."""
    if "/" not in name and (_TEMPORARY.fullmatch(name) or (kind == "features" and name.endswith(".damaged"))):
        return True
    return any(name.count("/") == made.count("/") and fnmatchcase(name, made) for made in MADE[kind])


def _is_known(ledger: Ledger, kind: str, key: str) -> bool:
    if kind == "features":
        return bool(ledger.shards.get(key)) or ledger.find("extract", key) is not None
    return any(fingerprint.startswith(key) for fingerprint in ledger.stages.get(kind, {}))


def _remove(workspace: Workspace, ledger: Ledger, item: Item) -> None:
    """Carry out one item; see the module's docstring for the order."""
    if item.kind == "rows" and item.keep:
        from ...cache.store import FeatureStore  # h5py; a listing does without

        path = workspace.root / item.path
        ledger.add_shard(FeatureStore(path.parent).rewrite(path, item.keep))
    _forget(ledger, item)
    _delete(workspace, item)


def _forget(ledger: Ledger, item: Item) -> None:
    """Take it out of the ledger."""
    _, _, key = item.path.partition("/")
    if item.kind == "rows":
        store, _, name = key.partition("/")
        ledger.drop_shards(store, [name] if name in ledger.shards.get(store, {}) else [])
    elif item.kind == "features":
        ledger.drop_shards(key, list(ledger.shards.get(key, {})))
    stage = "extract" if item.kind == "features" else item.kind
    for fingerprint, record in list(ledger.stages.get(stage, {}).items()):
        if fingerprint == key or (item.kind != "features" and fingerprint.startswith(key)):
            ledger.drop_stage(record)


def _delete(workspace: Workspace, item: Item) -> None:
    """Delete the files, and the folders that this leaves empty."""
    for name in item.files:
        (workspace.root / name).unlink(missing_ok=True)
    if item.kind in KINDS:
        folder = workspace.root / item.path
        for path in (*(path for path in folder.glob("*") if path.is_dir() and not path.is_symlink()), folder):
            if not any(path.iterdir()):
                path.rmdir()
