"""A work folder's files in a store of objects: pushed there whole, and pulled from there by another machine.

Below the place lie ``objects/SHA256``, each file under the digest of its content, and ``mofore.json``, which names the
files of the folder by these. It is written last, after every object was verified, and says all: half an upload is an
object that nothing names. Who pulls while somebody pushes gets what was pushed before.

``remote.json`` in the work folder says what of it was equal to which place: what has not changed since is neither read
nor sent again, and neither side overwrites what it has not seen.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..data.errors import StoreError, UsageError
from ..data.progress import Progress, under_way
from ..data.remote import ask_patiently, filesystem, reaching, written_at
from ..data.remote_path import RemotePath
from ..data.types import FileState
from .atomic import json_bytes
from .fingerprint import CHUNK_BYTES, file_sha256
from .remote_memory import OBJECTS, Files, Known, files_of, rows_of_files
from .remote_objects import fetch
from .remote_shards import RemoteShard, RemoteShards, adopt, bring_back, is_shard, keep_to

MANIFEST, VERSION = "mofore.json", 1
PART_BYTES = 50 << 20  # of an upload in parts
LAST = ("ledger.jsonl", "mofore.toml")  # to be pulled: a folder without them is no work folder yet
# An object that no manifest names counts as sent for so long: then it is sent anew, before `gc --remote` may delete it.
LEFT_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Copied:
    """What was done: files and bytes that were sent or fetched, and files that there are."""

    files: int
    bytes: int
    total: int


def push(folder: Path, names: Iterable[str], place: RemotePath, progress: Progress, *, replace: bool = False) -> Copied:
    """Upload files of a work folder, and verify each; what is there already is not sent again.

    Args:
        folder: the work folder, which nobody else may write to meanwhile.
        names: of its files.
        place: where to.
        progress: told of every file.
        replace: what another folder has pushed there.

    Raises:
        UsageError: if ``place`` holds what this folder has not seen.
        StoreError: if what arrived is not what was sent.
        OSError: if the store cannot be reached.
    """
    known, there, shards = Known.of(folder), read_manifest(place), RemoteShards(folder)
    if there is not None and there.digest != (known.manifest if known.place == str(place) else "") and not replace:
        raise UsageError(
            f"'{place}' holds what another work folder, or another machine, has pushed: push to a place of its own, "
            "or replace it with --force"
        )
    verified = {state.sha256 for state in there.files.values()} if there else set[str]()
    sent = sent_bytes = 0
    files: Files = {}
    listed = sorted(names)
    with under_way(progress, "push", len(listed), "files"):
        for name in listed:
            progress.pulse()
            path, copy = folder / name, shards.find(name) if is_shard(name) else None
            away = copy if copy is not None and not path.exists() else None
            state = files[name] = away.state if away is not None else _state(path, known.files.get(name))
            if state.sha256 not in verified:
                was_sent = _send(away or path, state, place / OBJECTS / state.sha256)
                sent, sent_bytes = sent + was_sent, sent_bytes + was_sent * state.size
                verified.add(state.sha256)
            progress.advance(1)
    content = json_bytes({"version": VERSION, "files": rows_of_files(files)})
    with reaching(place):
        filesystem(place).pipe_file((place / MANIFEST).key, content)
    if (arrived := read_manifest(place)) is None or arrived.content != content:
        raise StoreError(f"'{place / MANIFEST}' is not what was sent: somebody else pushes there too; push again")
    Known(str(place), arrived.digest, files, known.cache_bytes).write(folder)
    return Copied(sent, sent_bytes, len(files))


def pull(
    folder: Path,
    place: RemotePath,
    tops: Sequence[str],
    progress: Progress,
    *,
    replace: bool = False,
    cache_bytes: int | None = None,
) -> Copied:
    """Fetch the files of a place into a work folder, each against its digest; what is there already is left.

    Args:
        folder: new, or one that pulled from there or pushed before.
        place: where from.
        tops: files and folders that may be in a work folder.
        progress: told of every file.
        replace: files that changed here.
        cache_bytes: how many bytes of shards may be on this disk, which are then fetched once they are read; None for
            all of them, at once.

    Raises:
        UsageError: if nothing was pushed to ``place``, files have changed here since, or one shard alone has more bytes
            than that.
        StoreError: if a file is not what was pushed, or is none of a work folder.
        OSError: if the store cannot be reached.
    """
    known, there = Known.of(folder), read_manifest(place)
    if there is None:
        raise UsageError(f"nothing was pushed to '{place}': see `mofore push`")
    files = there.files
    for name in files:
        if PurePosixPath(name).is_absolute() or ".." in name.split("/") or name.split("/")[0] not in tops:
            raise StoreError(f"'{place}' names '{name}', which is no file of a work folder: nothing was fetched")
    _refuse_small(files, cache_bytes)
    wanted = [name for name in files if not _is_there(folder / name, files[name])]
    gone = [name for name in known.files if name not in files and known.place == str(place)]
    changed = [name for name in (*wanted, *gone) if _has_changed(folder / name, known.files.get(name))]
    if changed and not replace:
        raise UsageError(
            f"{len(changed)} files of '{folder}' are not what was pushed ('{changed[0]}' is one): pull into a new "
            "folder, or replace them with --force"
        )
    if cache_bytes is not None:
        for name in filter(is_shard, wanted):  # changed, and to be replaced: what is pushed counts
            (folder / name).unlink(missing_ok=True)
        wanted = [name for name in wanted if not is_shard(name)]
    else:
        wanted = [name for name in wanted if not (is_shard(name) and bring_back(folder, name, files[name]))]
    with under_way(progress, "pull", len(wanted), "files"):
        for name in sorted(wanted, key=lambda name: (name in LAST and LAST.index(name) + 1, name)):
            progress.pulse()
            if name in LAST and cache_bytes is not None:  # a ledger without its shards would have them made again
                _expect(folder, place, files, cache_bytes)
            fetch(place / OBJECTS / files[name].sha256, folder / name, files[name], tick=progress.pulse)
            progress.advance(1)
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    Known(str(place), there.digest, files, cache_bytes).write(folder)
    _bound(folder, files, cache_bytes or 0)
    return Copied(len(wanted), sum(files[name].size for name in wanted), len(files))


def _expect(folder: Path, place: RemotePath, files: Files, cache_bytes: int) -> None:
    """Remember where shards are before the ledger comes: should the pull end here, what was pulled before works."""
    known = Known.of(folder)
    if known.place != str(place):
        known = Known(str(place))
    shards = {name: state for name, state in files.items() if is_shard(name)}
    Known(known.place, known.manifest, {**known.files, **shards}, cache_bytes).write(folder)


def _refuse_small(files: Files, cache_bytes: int | None) -> None:
    largest = max((state.size for name, state in files.items() if is_shard(name)), default=0)
    if cache_bytes is not None and cache_bytes < largest:
        raise UsageError(
            f"--cache {cache_bytes / 1e9:.3g}GB is less than one shard: the largest has {largest / 1e9:.3g} GB, and "
            "each process that reads needs room for one"
        )


def _bound(folder: Path, files: Files, cache_bytes: int) -> None:
    """Keep to the bound: shards that are in the bucket go to the copies, of which those used longest ago are deleted.

    With no bound, nothing but copies is looked at, which are all elsewhere by then.
    """
    if Known.of(folder).cache_bytes is not None:
        for name in filter(is_shard, files):
            if (folder / name).is_file():
                adopt(folder / name, folder, name)
    keep_to(folder, cache_bytes)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was pushed to a place: its files, and the manifest itself with its digest."""

    files: Files
    digest: str
    content: bytes


def read_manifest(place: RemotePath) -> Manifest | None:
    """What was pushed to a place; None if nothing was.

    Raises:
        StoreError: if it is damaged.
        OSError: if the store cannot be reached.
    """
    try:
        content = ask_patiently(place, lambda: bytes(filesystem(place).cat_file((place / MANIFEST).key)))
    except FileNotFoundError:
        return None
    try:
        whole = json.loads(content)
        if whole["version"] != VERSION:
            raise StoreError(f"'{place / MANIFEST}' is of another version of mofore")
        return Manifest(files_of(whole["files"]), hashlib.sha256(content).hexdigest(), content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"'{place / MANIFEST}' is damaged ({error}): push again with --force") from error


def _state(path: Path, known: FileState | None) -> FileState:
    found = path.stat()
    if known is not None and known.looks_like(found.st_size, found.st_mtime_ns):
        return known
    return FileState(found.st_size, found.st_mtime_ns, file_sha256(path))


def _is_there(path: Path, wanted: FileState) -> bool:
    """Whether a file is what was pushed; where only its time differs, that is set."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    if wanted.looks_like(found.st_size, found.st_mtime_ns):
        return True
    if found.st_size != wanted.size or file_sha256(path) != wanted.sha256:
        return False
    os.utime(path, ns=(wanted.mtime_ns, wanted.mtime_ns))
    return True


def _has_changed(path: Path, known: FileState | None) -> bool:
    """Whether a file is there that is not what both had in common."""
    return path.exists() and (known is None or _state(path, known).sha256 != known.sha256)


def _send(file: Path | RemoteShard, state: FileState, to: RemotePath) -> bool:
    """Upload a file unless it has arrived before, and verify it; returns whether it was sent."""
    if isinstance(file, RemoteShard):
        with file.here() as path:
            return _send(path, state, to)
    if _is_left(to) and _arrived(file, state, to):
        return False
    options = {"chunksize": PART_BYTES} if to.protocol in ("s3", "s3a") else {}
    ask_patiently(to, lambda: filesystem(to).put_file(str(file), to.key, **options))
    if not _arrived(file, state, to):
        raise StoreError(f"'{to}' is not what was sent of '{file}': is the connection sound? push again")
    return True


def _is_left(at: RemotePath) -> bool:
    """Whether an object is there that no manifest names, lately sent: an older one may be being deleted just now."""
    try:
        when = written_at(ask_patiently(at, lambda: filesystem(at).info(at.key)))
    except FileNotFoundError:
        return False
    return when is not None and time.time() - when < LEFT_S


def _arrived(path: Path, state: FileState, at: RemotePath) -> bool:
    """Whether an object is a file: by the server's own digest where that is one of the content, else by reading it."""
    info = ask_patiently(at, lambda: filesystem(at).info(at.key))
    if info["size"] != state.size:
        return False
    etags = _etags(path)
    if str(info.get("ETag", "")).strip('"') in etags or info.get("md5Hash") == _base64(etags[0]):
        return True
    return ask_patiently(at, lambda: _content_digest(at)) == state.sha256


def _base64(digest: str) -> str:
    """As Google says it."""
    return base64.b64encode(bytes.fromhex(digest)).decode()


def _content_digest(at: RemotePath) -> str:
    with filesystem(at).open(at.key, "rb", block_size=CHUNK_BYTES, cache_type="readahead") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _etags(path: Path) -> tuple[str, str]:
    """What S3 says of a file that was uploaded in one piece, and in parts: MD5 of the content, or of the parts' MD5."""
    whole, parts = hashlib.md5(usedforsecurity=False), []
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            whole.update(part)
            parts.append(hashlib.md5(part, usedforsecurity=False).digest())
    joined = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
    return whole.hexdigest(), f"{joined}-{len(parts)}"
