"""``mofore push`` and ``mofore pull``: a work folder to a store of objects, and from there to another machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...cache.ledger import PARTS, Ledger
from ...cache.remote_copy import Copied, pull, push
from ...cache.remote_memory import Known
from ...cache.remote_shards import RemoteShards
from ...data.errors import StageError, UsageError
from ...data.progress import Progress
from ...data.remote_path import RemotePath
from ...data.wording import counted
from .. import road
from ..workspace import Workspace

FILES = ("mofore.toml", "ledger.jsonl", "metrics.json", "runs.json", "videos.json")
_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[KMGTkmgt])(?P<binary>i?)[Bb]?")
FOLDERS = ("features", "sweep", *(stage.name for stage in (*road.ROAD, *road.OPTIONAL)))


def push_folder(workspace: Workspace, url: str | None, progress: Progress, *, replace: bool = False) -> str:
    """Push what is finished; returns what to say of it.

    Raises:
        UsageError: if no place is known, parts are at work, or the place holds what this folder has not seen.
        WorkspaceError: if a run is at work.
        StageError: if the store cannot be reached.
    """
    place = _place(workspace.root, url, "push")
    with workspace.alone():
        if any(workspace.parts.glob("*.jsonl")):
            raise UsageError(f"parts of an extraction wait in '{PARTS}': `{workspace.told('extract')}` takes them up")
        names = {*finished_files(workspace.root), *shards_away(workspace)}
        with reached(place):
            copied = push(workspace.root, names, place, progress, replace=replace)
    return f"pushed {_told(copied)}, to {place}"


def pull_folder(
    root: Path, url: str | None, progress: Progress, *, replace: bool = False, cache: str | None = None
) -> str:
    """Pull a work folder; returns what to say of it.

    Args:
        root: the work folder.
        url: where from; None for where it was pushed to or pulled from last.
        progress: told of every file.
        replace: files that changed here.
        cache: how much room shards may take here, as "20GB", or "all"; None for what was said last, at first "all".

    Raises:
        UsageError: if no place is known, nothing was pushed there, or files changed here since.
        WorkspaceError: if a run is at work.
        StageError: if the store cannot be reached.
    """
    place = _place(root, url, "pull")
    bound = Known.of(root).cache_bytes if cache is None else read_bound(cache)
    root.mkdir(parents=True, exist_ok=True)
    with Workspace(root).alone(), reached(place):
        copied = pull(root, place, (*FILES, *FOLDERS), progress, replace=replace, cache_bytes=bound)
    return f"pulled {_told(copied)}, from {place}{_kept(root)}"


def read_bound(text: str) -> int | None:
    """Bytes of "20GB", "512 MiB"; None of "all".

    Raises:
        UsageError: if it is neither.
    """
    if text.strip().lower() == "all":
        return None
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--cache {text} is no size: give one as 20GB, 500MB or 1.5TB, or all")
    step = 1024 if match["binary"] else 1000
    return int(float(match["number"]) * step ** ("KMGT".index(match["unit"].upper()) + 1))


def shards_away(workspace: Workspace) -> Iterator[str]:
    """Shards of a work folder that are in a bucket, and need not be here; no longer those that were replaced since."""
    remote = RemoteShards(workspace.root)
    if remote.limit is None:
        return
    for key, shards in Ledger.open(workspace.ledger).shards.items():
        for name in remote.of_store(key):
            if name in shards:
                yield workspace.relative(workspace.store(key) / name)


def finished_files(root: Path) -> Iterator[str]:
    """Files of a work folder that a run has finished: no videos, no logs, nothing of what is being made."""
    for top in (*FILES, *FOLDERS):
        for path in [root / top] if top in FILES else sorted((root / top).rglob("*")):
            name = path.relative_to(root)
            unfinished = any(part.startswith((".", "resume-")) for part in name.parts) or "partial" in name.parts[2:3]
            if path.is_file() and not path.is_symlink() and not unfinished and path.suffix not in (".tmp", ".damaged"):
                yield name.as_posix()


def _place(root: Path, url: str | None, command: str) -> RemotePath:
    text = url or Known.of(root).place
    if not text:
        raise UsageError(f"no place is known of '{root}': name one, mofore {command} s3://BUCKET/FOLDER -w {root}")
    return RemotePath.parse(text)


@contextmanager
def reached(place: RemotePath) -> Iterator[None]:
    """A block that needs a store of objects.

    Raises:
        StageError: if that cannot be reached, or refuses.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None or not str(error.filename).startswith(f"{place.protocol}://"):
            raise
        raise StageError(f"'{error.filename}': {error.strerror}; the same command goes on where it was") from error


def _kept(root: Path) -> str:
    remote = RemoteShards(root)
    if remote.limit is None:
        return ""
    count, size, here = remote.amount()
    return (
        f"; {counted(count, 'shard')} ({size / 1e9:.3g} GB) fetched as they are read, {here / 1e9:.3g} of at most "
        f"{remote.limit / 1e9:.3g} GB here"
    )


def _told(copied: Copied) -> str:
    return f"{copied.files:,} of {counted(copied.total, 'file')} ({copied.bytes / 1e6:,.1f} MB; the others were there)"
