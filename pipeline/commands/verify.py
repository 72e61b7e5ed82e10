"""``mofore verify``: every stored byte against the digest that was recorded of it; what is damaged is put aside.

Everything happens in one thread, and every step may be the last one: a shard's sound videos are published in a
new shard before the damaged one loses its name, and whatever the ledger was not told of, the next run or
verification finds by looking. So Ctrl-C needs no safe points here.

``metrics.json`` and ``inputs.json`` are not looked at: planning reads the content of the first each time, and
the second only serves to name what changed.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...cache.fingerprint import file_sha256
from ...cache.imported import NAME as IMPORTED
from ...cache.imported import read_import
from ...cache.ledger import UNTRUSTED, Ledger, ShardRecord, StageRecord
from ...cache.remote_shards import RemoteShard
from ...data.errors import ReadOnlyError, StoreError
from ...data.progress import Progress, under_way
from ..workspace import Workspace

if TYPE_CHECKING:
    from ...cache.store import Examination, FeatureStore

GONE = "it is gone"


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not what was written."""

    path: str  # relative to the work folder
    complaint: str  # what is wrong with it
    videos: tuple[str, ...] = ()  # ids of the videos whose features are lost with it, as far as they are known
    kept: int = 0  # videos of it that are sound, and were moved into a new shard


@dataclass(slots=True)
class Findings:
    """What was read, and what of it is damaged."""

    shards: int = 0
    videos: int = 0
    outputs: int = 0
    away: int = 0  # shards that are in a bucket alone, of which nothing was read
    place: str = ""  # that bucket
    read_only: bool = False  # whether the folder cannot be written to, so that nothing was put aside
    damage: list[Damage] = field(default_factory=list)


@dataclass(slots=True)
class _Check:
    """One verification at work."""

    workspace: Workspace
    ledger: Ledger
    progress: Progress
    findings: Findings = field(default_factory=Findings)

    @property
    def writes(self) -> bool:
        """Whether what is damaged can be put aside."""
        return not self.findings.read_only

    def add(self, path: Path, complaint: str, videos: tuple[str, ...] = (), kept: int = 0) -> None:
        self.findings.damage.append(Damage(self.workspace.relative(path), complaint, videos, kept))


def verify(workspace: Workspace, progress: Progress) -> Findings:
    """Read every shard of every store and every output of finished fits and indexes; put aside what is damaged.

    Afterwards the ledger knows sound shards only, and trusts no damaged output: the next run makes anew what is
    lost, and nothing else. A folder that cannot be written to is read all the same, and nothing of it put aside.

    Raises:
        WorkspaceError: if a run holds the work folder.
        StoreError: if the ledger itself is damaged.
    """
    try:
        with workspace.alone():
            return _checked(workspace, progress, read_only=False)
    except ReadOnlyError:
        return _checked(workspace, progress, read_only=True)


def _checked(workspace: Workspace, progress: Progress, *, read_only: bool) -> Findings:
    check = _Check(workspace, Ledger.open(workspace.ledger), progress, Findings(read_only=read_only))
    if not read_only:
        check.ledger.take_up_parts()
    stores = [workspace.store(key) for key in _store_keys(workspace, check.ledger)]
    with under_way(progress, "verify", sum(len(list(folder.glob("*.h5"))) for folder in stores), "shards"):
        for folder in stores:
            _check_store(check, folder)
        for record in [record for records in check.ledger.stages.values() for record in records.values()]:
            _check_outputs(check, record)
    return check.findings


def _store_keys(workspace: Workspace, ledger: Ledger) -> list[str]:
    """Stores that the ledger knows, and folders that hold shards or say of which encoder they are."""
    folders = workspace.store("").glob("*/")
    present = {f.name for f in folders if (f / "encoder.json").exists() or any(f.glob("*.h5"))}
    return sorted(present | {key for key, shards in ledger.shards.items() if shards})


def _check_store(check: _Check, folder: Path) -> None:
    from ...cache.store import FeatureStore  # h5py; `mofore --help` does without

    store, encoders = FeatureStore(folder), Counter[str]()
    for path in store.shard_files():
        encoders.update(_check_shard(check, store, path))
        check.progress.advance(1, damaged=len(check.findings.damage))
    known = check.ledger.shards.get(store.key, {})
    absent = sorted(known.keys() - {path.name for path in store.shard_files()})
    for name in absent:
        if name in store.remote:
            _check_copy(check, store.remote[name], known[name])
    for name in (name for name in absent if name not in store.remote):
        check.add(folder / name, "the shard is gone", tuple(video.id for video in known[name].videos))
        if check.writes:
            check.ledger.drop_shards(store.key, [name])
    _check_encoder(check, store, encoders)
    _check_import(check, folder, encoders)


def _check_copy(check: _Check, shard: RemoteShard, record: ShardRecord) -> None:
    """Hold the copy of a shard in a bucket against its digest; one that is damaged goes, and is fetched again."""
    check.progress.pulse()
    sound = shard.is_sound()
    if sound:
        check.findings.shards += 1
        check.findings.videos += len(record.videos)
    elif sound is None:
        check.findings.away += 1
        check.findings.place = str(shard.place)
    else:
        check.add(shard.path, "it is not what was pushed; it is fetched again once it is read", (), len(record.videos))


def _check_shard(check: _Check, store: FeatureStore, path: Path) -> Iterator[str]:
    """Examine one shard; yields the encoder that it names, if it is sound."""
    known = check.ledger.shards.get(store.key, {}).get(path.name)
    seen = store.examine(path, known, check.progress.pulse)
    check.findings.shards += 1
    check.findings.videos += len(seen.rows)
    if seen.complaints:
        kept = _put_aside(check, store, path, seen) if check.writes else 0
        check.add(path, _complaint(seen), seen.damaged, kept)
        return
    if seen.record != known and check.writes:  # a shard that the ledger did not know, or by another time
        check.ledger.add_shard(seen.record)
    if seen.provenance:
        yield json.dumps(seen.provenance, sort_keys=True)


def _put_aside(check: _Check, store: FeatureStore, path: Path, seen: Examination) -> int:
    """Save the sound videos into a new shard, and only then take the damaged one out of the store."""
    if seen.rows:
        check.ledger.add_shard(store.rewrite(path, seen.rows))
    # The name goes before the ledger's line: a shard that is gone is simply passed over, while one that the
    # ledger does not know would be read by the next run, and there are files over which HDF5 loops for ever.
    path.replace(path.with_name(f"{path.name}.damaged"))
    if path.name in check.ledger.shards.get(store.key, {}):
        check.ledger.drop_shards(store.key, [path.name])
    return len(seen.rows)


def _complaint(seen: Examination) -> str:
    return "; ".join(f"'{video}': {text}" if video else text for video, text in list(seen.complaints.items())[:3])


def _check_encoder(check: _Check, store: FeatureStore, encoders: Counter[str]) -> None:
    """Hold ``encoder.json`` against the shards, which carry the same text and give it back."""
    path, complaint = store.folder / "encoder.json", _encoder_complaint(store, encoders)
    if not complaint:
        return
    if not check.writes:
        check.add(path, complaint)
        return
    if path.exists():
        path.replace(path.with_name(f"{path.name}.damaged"))
    for text, _ in encoders.most_common(1):
        store.pin_encoder(json.loads(text))
        complaint += "; put back from the shards"
    check.add(path, complaint)


def _encoder_complaint(store: FeatureStore, encoders: Counter[str]) -> str:
    try:
        pinned = store.encoder()
    except StoreError:
        return "it is no JSON"
    if pinned is None:
        return "it is gone" if encoders else ""
    same = not encoders or _identity(pinned) in [_identity(json.loads(text)) for text in encoders]
    return "" if same else "it is not what the shards were made with"


def _identity(encoder: dict[str, Any]) -> dict[str, Any]:
    """What all shards of a store have in common: imported features may come from one file after another."""
    return {key: value for key, value in encoder.items() if key != "source"}


def _check_import(check: _Check, folder: Path, encoders: Counter[str]) -> None:
    """Only the user can bring the record of an import again: shards know neither classes nor what is current."""
    path = folder / IMPORTED
    try:
        if read_import(folder) is None and any(json.loads(text).get("imported") for text in encoders):
            check.add(path, GONE)
    except StoreError:
        check.add(path, "it is not what `mofore import` wrote")
        if check.writes:
            path.replace(path.with_name(f"{path.name}.damaged"))


def repair_command(workspace: Workspace, findings: Findings) -> str:
    """What makes anew, or brings again, what is damaged."""
    if findings.read_only:
        root = shlex.quote(str(workspace.root))
        return f"cp -r {root} COPY && mofore verify -w COPY"
    lost = [damage.path for damage in findings.damage if damage.videos or damage.path.endswith(IMPORTED)]
    folders = dict.fromkeys((workspace.root / path).parent for path in lost)
    commands = [command for folder in folders for command in _import_commands(workspace, folder)]
    return " && ".join([*commands, workspace.told("run")])


def _import_commands(workspace: Workspace, folder: Path) -> list[str]:
    record = read_import(folder)  # a damaged one was put aside
    if record is not None:
        return [record.command(workspace.root)]
    lost = folder.parent.name == "features" and folder.name.startswith("import-")
    return [workspace.told("import FEATURES")] if lost else []


def _check_outputs(check: _Check, record: StageRecord) -> None:
    """Read every output of a finished fit or index, whatever its size and time say."""
    wrong = {}
    for path, recorded in record.outputs.items():
        check.progress.pulse()
        file = check.workspace.root / path
        if not file.is_file() or file_sha256(file) != recorded.sha256:
            wrong[path] = "its content is not what was written" if file.is_file() else GONE
            check.add(file, wrong[path])
    check.findings.outputs += len(record.outputs)
    if not wrong or not check.writes:
        return
    if all(complaint == GONE for complaint in wrong.values()) and len(wrong) == len(record.outputs):
        check.ledger.drop_stage(record)  # deleted by someone, and not missed by the settings of today, perhaps
    elif any(record.outputs[path].size != UNTRUSTED for path in wrong):
        check.ledger.distrust(record, wrong)
