"""Objects of a store (s3://, gs://, ...), reached through fsspec, which is imported when one is named.

An object is known by its size and what the server says of its version, above all the ETag: the listing says both, so
that whether a video changed is known without reading it. Such a version takes the place of the digest of a file's
content, as ``etag:...``.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import CatalogError
from .remote_path import RemotePath, without_secrets
from .types import FileState

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PACKAGES = {"s3": "mofore[remote]", "s3a": "mofore[remote]", "gs": "mofore[gs]", "gcs": "mofore[gs]"}
BLOCK_BYTES = 4 << 20  # of a request
FORGET_S = 10.0  # a store that was just out of reach is not asked again by the same command: it tries for seconds
PAUSES_S = (0.5, 4.0)  # before a read that failed is tried again, beside what the store's own client tries
BLOCKS = 32  # of one object that a thread keeps in memory
Read = TypeVar("Read")
LASTING = (errno.ENOENT, errno.EACCES, errno.EBUSY)  # waiting does not mend them; EBUSY: replaced while it was read
# S3's codes of a server that refuses whoever asks, whatever is asked for: all of the store is out of reach.
NO_CREDENTIALS = (
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "NotSignedUp",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
)
# What tells one content of an object from another, the best first.
VERSIONS = ("ETag", "md5Hash", "etag", "generation", "LastModified", "mtime", "last_modified", "updated", "created")

WRITTEN = ("LastModified", "last_modified", "updated", "mtime", "created", "timeCreated")


def object_state(path: RemotePath) -> FileState:
    """Size and version of an object, by one request.

    Raises:
        OSError: if there is no such object, or the store cannot be reached.
    """
    try:
        state = ask_patiently(path, lambda: _state(filesystem(path).info(path.key)))
    except PermissionError:  # to which a server adds no reason, since it answers without a body
        ask_patiently(path, lambda: filesystem(path).cat_file(path.key, 0, 1))
        raise
    blocks = _held(path)
    if blocks is not None and blocks.state != state:
        _here.blocks = None
    return state


def objects_below(path: RemotePath) -> Iterator[tuple[str, FileState]]:
    """Every object below a prefix: its key from there on, and its state; as many requests as a list takes.

    Raises:
        OSError: if the store cannot be reached, or there is no such bucket.
        CatalogError: if it does not tell versions of its objects, or its package is missing.
    """
    since, error = _out_of_reach.get(path, (-FORGET_S, None))
    if error is not None and time.monotonic() - since < FORGET_S:
        raise error
    try:
        with reaching(path):
            found = filesystem(path).find(path.key, detail=True)
    except OSError as error:
        _out_of_reach[path] = time.monotonic(), error
        raise
    before = f"{path.key}/"
    for name in list(found):
        info = found.pop(name)  # a million take a gigabyte, which whoever takes them may need
        if info["type"] == "file" and (key := name.lstrip("/")).startswith(before):
            yield key.removeprefix(before), _state(info)


def open_object(path: RemotePath, *, silent: bool = False) -> RemoteFile:
    """The object as a file to read, anywhere in it.

    Args:
        path: of the object.
        silent: whether a read that fails is to look like the end of the file, and :func:`broken_read` says what it was:
            of what a read raises PyAV keeps one exception, and prints all further ones.

    Raises:
        OSError: if there is no such object, or the store cannot be reached.
    """
    blocks = _held(path)
    if blocks is None or blocks.error is not None:
        blocks = _here.blocks = ask_patiently(path, lambda: _Blocks(path))
    return RemoteFile(blocks, silent=silent)


def broken_read(path: RemotePath) -> OSError | None:
    """The error of the first read of the object that failed in this thread since it was opened, if one has."""
    blocks = _held(path)
    return None if blocks is None else blocks.error


def filesystem(path: RemotePath) -> Any:
    """fsspec's, made in the process that uses it: a child cannot go on with its parent's event loop.

    Raises:
        CatalogError: if its package is missing, or there is no such kind of store.
    """
    import fsspec

    protocol = path.protocol
    try:
        return fsspec.filesystem(protocol, use_listings_cache=False, **_options(protocol))
    except ImportError as error:
        package = PACKAGES.get(protocol)
        way = f"pip install '{package}'" if package else str(error)
        raise CatalogError(f"'{path}' cannot be read here, since a package is missing: {way}") from error
    except ValueError as error:
        raise CatalogError(f"'{path}': fsspec knows no {protocol}://; s3://, gs:// and abfs:// are some") from error


def _options(protocol: str) -> dict[str, Any]:
    """Of S3, a session that reads times as they are written there: of a long listing, botocore's parser takes most.

    With settings of fsspec's own, which name a profile perhaps, s3fs makes the session.
    """
    import fsspec.config

    if protocol not in ("s3", "s3a") or fsspec.config.conf.get("s3"):
        return {}
    return {"session": _session(os.getpid())}


@cache
def _session(_process: int) -> Any:
    from aiobotocore.session import AioSession

    session = AioSession()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    return session


def _timestamp(value: Any) -> datetime:
    from botocore.utils import parse_timestamp

    try:
        when = datetime.fromisoformat(value)
    except (TypeError, ValueError):  # a number, or as in headers
        found: datetime = parse_timestamp(value)
        return found
    return when if when.tzinfo else when.replace(tzinfo=UTC)


class _Blocks:
    """What is in memory of an object, for all that read it in a thread: a container is opened several times.

    Attributes:
        path: the object.
        size: in bytes.
        state: of the object that is read; once there is another one, reads fail where the store can see to it.
        error: of the first read that failed; all later ones fail with it.
    """

    def __init__(self, path: RemotePath) -> None:
        options = {"cache_type": "blockcache", "cache_options": {"maxblocks": BLOCKS}}
        store = filesystem(path)
        self._file = store.open(path.key, "rb", block_size=BLOCK_BYTES, **options)
        # What was asked for when it was opened, and is held on to, where the kind of file has that.
        self.path, self.state = path, _state(getattr(self._file, "details", None) or store.info(path.key))
        self.size = self.state.size
        self.error: OSError | None = None

    def read(self, at: int, count: int) -> bytes:
        """Bytes from ``at`` on; fewer at the end."""
        if self.error is not None:
            raise self.error
        try:
            return ask_patiently(self.path, lambda: self._bytes(at, count))
        except OSError as error:
            self.error = error
            raise

    def _bytes(self, at: int, count: int) -> bytes:
        self._file.seek(at)
        return bytes(self._file.read(count))


_out_of_reach: dict[RemotePath, tuple[float, OSError]] = {}  # by place: when, and why
_here = threading.local()  # .blocks: of the object that this thread has read last


def _held(path: RemotePath) -> _Blocks | None:
    blocks: _Blocks | None = getattr(_here, "blocks", None)
    return blocks if blocks is not None and blocks.path == path else None


class RemoteFile(io.RawIOBase):
    """A place in an object; ``name`` is the object's, by which FFmpeg tells some formats."""

    def __init__(self, blocks: _Blocks, *, silent: bool = False) -> None:
        self.name = blocks.path.name
        self._blocks, self._at, self._silent = blocks, 0, silent

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Bytes from the start."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go somewhere."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._blocks.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """As many bytes as there are, up to ``size``."""
        left = max(0, self._blocks.size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        try:
            found = self._blocks.read(self._at, wanted) if wanted else b""
        except OSError:
            if not self._silent:
                raise
            found = b""
        self._at += len(found)
        return found

    def readinto(self, buffer: WriteableBuffer) -> int:
        """As files have it."""
        view = memoryview(buffer).cast("B")
        found = self.read(len(view))
        view[: len(found)] = found
        return len(found)


def _state(info: Mapping[str, Any]) -> FileState:
    """Size, a number that stands for the version, and the version, of an entry of a listing."""
    name = next((name for name in VERSIONS if info.get(name)), None)
    if name is None:
        raise CatalogError(f"the store of '{info['name']}' does not tell versions of its objects: copy them to a disk")
    value = info[name].timestamp() if isinstance(info[name], datetime) else info[name]  # a list may have the other form
    version = f"{name.lower()}:{str(value).strip(chr(34))}"
    number = int.from_bytes(hashlib.sha256(version.encode()).digest()[:8]) >> 1  # as 64 bits with a sign hold it
    return FileState(int(info["size"] or 0), number, version)


def written_at(info: Mapping[str, Any]) -> float | None:
    """When an object was written, in seconds since the epoch, by an entry of a listing; None where that is not told."""
    said = next((info[name] for name in WRITTEN if info.get(name)), None)
    try:
        when = datetime.fromisoformat(said) if isinstance(said, str) else said
    except ValueError:
        return None
    if isinstance(when, datetime):
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return float(when) if isinstance(when, int | float) else None


@contextmanager
def reaching(path: RemotePath) -> Iterator[None]:
    """A block that reads or writes at ``path``: errors of a store as an OSError, since every kind of store has others.

    Raises:
        OSError: whatever it was.
    """
    try:
        yield
    except CatalogError:
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "no such object or bucket", str(path)) from error
    except Exception as error:  # botocore's, aiohttp's and google's are no OSError
        known = error.strerror if isinstance(error, OSError) else ""
        said = known or " ".join(str(error).split()) or type(error).__name__
        raise OSError(_number(error), without_secrets(said), str(path)) from error


def _number(error: Exception) -> int:
    """The system's number of an error of a store: EIO, what may pass by itself, unless it is known not to."""
    if isinstance(error, PermissionError):
        answer = getattr(error.__cause__, "response", None)
        code = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
        return errno.ECONNREFUSED if code in NO_CREDENTIALS else errno.EACCES
    # s3fs has EBUSY for an object that was replaced while it was read, and for a server that asks for patience (503).
    if isinstance(error, OSError) and error.errno == errno.EBUSY:
        return errno.EBUSY if type(error).__name__ == "FileExpired" else errno.EIO
    return error.errno if isinstance(error, OSError) and error.errno in LASTING else errno.EIO


def ask_patiently(path: RemotePath, ask: Callable[[], Read]) -> Read:
    """What ``ask`` gives, a read at ``path``; asked again after some seconds where the store or the line fails.

    Raises:
        OSError: if it goes on failing, or at once for what waiting does not mend.
    """
    for pause_s in (*PAUSES_S, None):
        try:
            with reaching(path):
                return ask()
        except OSError as error:
            if pause_s is None or error.errno != errno.EIO:
                raise
            time.sleep(pause_s)
    raise AssertionError("the last attempt returns or raises")
