"""A work folder's files in a store of objects: pushed there whole, and pulled from there by another machine.

Below the place lie ``objects/SHA256``, each file under the digest of its content, and ``mofore.json``, which names the
files of the folder by these. It is written last, after every object was verified, and says all: half an upload is an
object that nothing names. Who pulls while somebody pushes gets what was pushed before.

``remote.json`` in the work folder says what of it was equal to which place: what has not changed since is neither read
nor sent again, and neither side overwrites what it has not seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Self

from ..data.errors import StoreError, UsageError
from ..data.progress import Progress, under_way
from ..data.remote import filesystem, reaching
from ..data.remote_path import RemotePath
from ..data.types import FileState
from .atomic import json_bytes, published, write_json
from .fingerprint import CHUNK_BYTES, file_sha256

MANIFEST, MEMORY, OBJECTS, VERSION = "mofore.json", "remote.json", "objects", 1
PART_BYTES = 50 << 20  # of an upload in parts
LAST = ("ledger.jsonl", "mofore.toml")  # to be pulled: a folder without them is no work folder yet
SHA256 = re.compile(r"[0-9a-f]{64}")

Files = dict[str, FileState]  # by path relative to the work folder


@dataclass(frozen=True, slots=True)
class Copied:
    """What was done: files and bytes that were sent or fetched, and files that there are."""

    files: int
    bytes: int
    total: int


@dataclass(frozen=True, slots=True)
class Known:
    """What a work folder and a place had in common."""

    place: str = ""
    manifest: str = ""  # its digest
    files: Mapping[str, FileState] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> Self:
        """What is remembered; nothing where that cannot be read."""
        try:
            left = json.loads((folder / MEMORY).read_bytes())
            return cls(left["place"], left["manifest"], _files(left["files"]))
        except (OSError, ValueError, KeyError, TypeError, StoreError):
            return cls()


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
    known, there = Known.of(folder), _read(place)
    if there is not None and there[1] != (known.manifest if known.place == str(place) else "") and not replace:
        raise UsageError(
            f"'{place}' holds what another work folder, or another machine, has pushed: push to a place of its own, "
            "or replace it with --force"
        )
    verified = {state.sha256 for state in there[0].values()} if there else set[str]()
    sent = sent_bytes = 0
    files: Files = {}
    listed = sorted(names)
    with under_way(progress, "push", len(listed), "files"):
        for name in listed:
            progress.pulse()
            state = files[name] = _state(folder / name, known.files.get(name))
            if state.sha256 not in verified:
                was_sent = _send(folder / name, state, place / OBJECTS / state.sha256)
                sent, sent_bytes = sent + was_sent, sent_bytes + was_sent * state.size
                verified.add(state.sha256)
            progress.advance(1)
    content = json_bytes({"version": VERSION, "files": _rows(files)})
    with reaching(place):
        filesystem(place).pipe_file((place / MANIFEST).key, content)
    if (arrived := _read(place)) is None or arrived[2] != content:
        raise StoreError(f"'{place / MANIFEST}' is not what was sent: somebody else pushes there too; push again")
    _remember(folder, place, content, files)
    return Copied(sent, sent_bytes, len(files))


def pull(folder: Path, place: RemotePath, tops: Sequence[str], progress: Progress, *, replace: bool = False) -> Copied:
    """Fetch the files of a place into a work folder, each against its digest; what is there already is left.

    Args:
        folder: new, or one that pulled from there or pushed before.
        place: where from.
        tops: files and folders that may be in a work folder.
        progress: told of every file.
        replace: files that changed here.

    Raises:
        UsageError: if nothing was pushed to ``place``, or files have changed here since.
        StoreError: if a file is not what was pushed, or is none of a work folder.
        OSError: if the store cannot be reached.
    """
    known, there = Known.of(folder), _read(place)
    if there is None:
        raise UsageError(f"nothing was pushed to '{place}': see `mofore push`")
    files = there[0]
    for name in files:
        if PurePosixPath(name).is_absolute() or ".." in name.split("/") or name.split("/")[0] not in tops:
            raise StoreError(f"'{place}' names '{name}', which is no file of a work folder: nothing was fetched")
    wanted = [name for name in files if not _is_there(folder / name, files[name])]
    gone = [name for name in known.files if name not in files and known.place == str(place)]
    changed = [name for name in (*wanted, *gone) if _has_changed(folder / name, known.files.get(name))]
    if changed and not replace:
        raise UsageError(
            f"{len(changed)} files of '{folder}' are not what was pushed ('{changed[0]}' is one): pull into a new "
            "folder, or replace them with --force"
        )
    with under_way(progress, "pull", len(wanted), "files"):
        for name in sorted(wanted, key=lambda name: (name in LAST and LAST.index(name) + 1, name)):
            progress.pulse()
            _fetch(place / OBJECTS / files[name].sha256, folder / name, files[name])
            progress.advance(1)
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    _remember(folder, place, there[2], files)
    return Copied(len(wanted), sum(files[name].size for name in wanted), len(files))


def _read(place: RemotePath) -> tuple[Files, str, bytes] | None:
    """The files of a place, and its manifest and the digest of that; None where there is none."""
    try:
        with reaching(place):
            content = bytes(filesystem(place).cat_file((place / MANIFEST).key))
    except FileNotFoundError:
        return None
    try:
        whole = json.loads(content)
        if whole["version"] != VERSION:
            raise StoreError(f"'{place / MANIFEST}' is of another version of mofore")
        return _files(whole["files"]), hashlib.sha256(content).hexdigest(), content
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"'{place / MANIFEST}' is damaged ({error}): push again with --force") from error


def _files(rows: Mapping[str, Any]) -> Files:
    files = {str(name): FileState(int(size), int(mtime_ns), sha) for name, (size, mtime_ns, sha) in rows.items()}
    for name, state in files.items():
        if not isinstance(state.sha256, str) or not SHA256.fullmatch(state.sha256):
            raise StoreError(f"the digest of '{name}' is none")
    return files


def _rows(files: Files) -> dict[str, list[int | str]]:
    return {name: [state.size, state.mtime_ns, state.sha256] for name, state in files.items()}


def _remember(folder: Path, place: RemotePath, manifest: bytes, files: Files) -> None:
    digest = hashlib.sha256(manifest).hexdigest()
    write_json(folder / MEMORY, {"place": str(place), "manifest": digest, "files": _rows(files)})


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


def _send(path: Path, state: FileState, to: RemotePath) -> bool:
    """Upload a file unless it has arrived before, and verify it; returns whether it was sent."""
    store = filesystem(to)
    with reaching(to):
        arrived = store.exists(to.key) and _arrived(path, state, to)
        if not arrived:
            store.put_file(str(path), to.key, **({"chunksize": PART_BYTES} if to.protocol in ("s3", "s3a") else {}))
    if not arrived and not _arrived(path, state, to):
        raise StoreError(f"'{to}' is not what was sent of '{path}': is the connection sound? push again")
    return not arrived


def _arrived(path: Path, state: FileState, at: RemotePath) -> bool:
    """Whether an object is a file: by the server's own digest where that is one of the content, else by reading it."""
    with reaching(at):
        info = filesystem(at).info(at.key)
        if info["size"] != state.size:
            return False
        if str(info.get("ETag", "")).strip('"') in _etags(path):
            return True
        with filesystem(at).open(at.key, "rb", block_size=CHUNK_BYTES, cache_type="readahead") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == state.sha256


def _etags(path: Path) -> tuple[str, str]:
    """What S3 says of a file that was uploaded in one piece, and in parts: MD5 of the content, or of the parts' MD5."""
    whole, parts = hashlib.md5(usedforsecurity=False), []
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            whole.update(part)
            parts.append(hashlib.md5(part, usedforsecurity=False).digest())
    joined = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
    return whole.hexdigest(), f"{joined}-{len(parts)}"


def _fetch(at: RemotePath, path: Path, state: FileState) -> None:
    with published(path) as temporary:
        with reaching(at):
            filesystem(at).get_file(at.key, str(temporary))
        if temporary.stat().st_size != state.size or file_sha256(temporary) != state.sha256:
            raise StoreError(f"'{at}' is not what was pushed as '{path.name}': push it again with --force")
        os.utime(temporary, ns=(state.mtime_ns, state.mtime_ns))
