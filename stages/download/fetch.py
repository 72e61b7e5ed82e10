"""Fetch an archive over HTTP: resumed after whatever ended the last attempt, and there only when it is whole.

Range and If-Range (RFC 9110, sections 13.1.5 and 14) make a server send the rest of the same file, or all of
another one. Where the server gave no validator, or ignores the range, the file starts over. Rejected: passing over
a bad certificate, which is the user's to decide.
"""

from __future__ import annotations

import re
import shlex
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from ..._version import __version__
from ...cache.part_file import Origin, PartFile
from ...data.errors import StageError
from ...data.progress import Progress
from ...data.ucf101 import Archive
from ...data.wording import size_text
from .byte_meter import ByteMeter, check_space

ATTEMPTS = 6  # in a row that bring nothing new
LONGEST_WAIT_S = 60.0
TIMEOUT_S = 60.0
CHUNK_BYTES = 1 << 18
PASSING = frozenset([408, 416, 425, 429, 500, 502, 503, 504])  # statuses that may be others next time
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _Dropped(Exception):
    """The transfer ended early, in a way that may be better next time."""


def fetch(
    archive: Archive,
    folder: Path,
    *,
    progress: Progress,
    unpacking: bool = True,
    wait: Callable[[float], None] = time.sleep,
) -> Path:
    """Bring ``archive`` into ``folder``, going on from what an earlier run left.

    A file of that name that is there already is taken, unless the server says that its size is another.

    Args:
        archive: what to fetch.
        folder: where to; it exists.
        progress: is told the megabytes; its safe points are between chunks.
        unpacking: whether room for what it unpacks to is needed as well.
        wait: waits that many seconds between attempts.

    Returns:
        The path of the whole file.

    Raises:
        StageError: if the server refuses, brings nothing new in ATTEMPTS attempts, or the disk has no room.
    """
    target = folder / archive.name
    if target.is_file():
        _check_present(archive, target, progress)
        return target
    part = PartFile(target)
    best, vain = part.size, 0
    while not part.whole:
        try:
            _transfer(archive, part, progress, unpacking)
            break
        except _Dropped as drop:
            vain = 0 if part.size > best else vain + 1
            best = max(best, part.size)
            if vain == ATTEMPTS:
                raise _by_hand(archive, target, f"{drop} ({ATTEMPTS} attempts)") from drop
            pause = min(2.0**vain, LONGEST_WAIT_S)
            progress.note(f"{archive.name}: {drop}; {size_text(part.size)} are there; on again in {pause:.0f} s")
        wait(pause)
    part.publish()
    return target


def _transfer(archive: Archive, part: PartFile, progress: Progress, unpacking: bool) -> None:
    """One connection: what it brings is added to ``part``."""
    with closing(_answer(archive, part)) as response, part:
        _adopt(response, archive, part, progress)
        total = part.origin.total if part.origin else None
        if total is not None:
            what = f"'{archive.name}'" + (" and what it unpacks to" if unpacking else "")
            check_space(part.target.parent, total - part.size + (total if unpacking else 0), what)
        meter = ByteMeter(progress, "download", (total or 0) - part.size)
        try:
            for chunk in _chunks(response):
                part.append(chunk)
                meter.add(len(chunk))
        finally:
            progress.finish()
    if total is not None and part.size > total:
        part.discard()
        raise _Dropped(f"more came than the {total:,} bytes that were announced")
    if total is not None and part.size < total:
        raise _Dropped(f"the connection ended after {part.size:,} of {total:,} bytes")


def _answer(archive: Archive, part: PartFile) -> HTTPResponse:
    """Ask for the file, or for the rest of it."""
    headers = {"User-Agent": f"mofore/{__version__}"}
    origin = part.origin
    if origin is not None and part.size and origin.url == archive.url and origin.validator:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": origin.validator}
    try:
        response: HTTPResponse = urlopen(Request(archive.url, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as error:
        raise _refusal(error, archive, part) from error
    except (OSError, HTTPException) as error:
        raise _failure(error, archive, part.target) from error
    return response


def _refusal(error: HTTPError, archive: Archive, part: PartFile) -> Exception:
    """What an error status means; 416 says that the server's file is shorter than what is here."""
    error.close()
    what = f"the server answered {error.code} {error.reason}"
    if error.code not in PASSING:
        return _by_hand(archive, part.target, what)
    if error.code == 416:
        part.discard()
    return _Dropped(what)


def _failure(error: OSError | HTTPException, archive: Archive, target: Path) -> Exception:
    """What it means that there is no answer at all."""
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        curl = f"curl -L -C - -k -o {shlex.quote(str(target))} {shlex.quote(archive.url)}"
        return _by_hand(archive, target, f"its certificate was refused ({reason.verify_message})", f"`{curl}`")
    return _Dropped(f"no connection ({reason})")


def _by_hand(archive: Archive, target: Path, what: str, tool: str = "a browser, say") -> StageError:
    return StageError(
        f"{archive.url} could not be fetched: {what}. Run the same command again later; or fetch it by hand ({tool}) "
        f"to '{target}' and run the same command again; or name a mirror with {archive.option}"
    )


def _adopt(response: HTTPResponse, archive: Archive, part: PartFile, progress: Progress) -> None:
    """Decide from the answer's head whether what is here goes on or starts over."""
    if response.headers.get_content_type() == "text/html":
        raise _by_hand(archive, part.target, "the server answered with a web page")
    if response.status == 206 and _goes_on(response, part):
        progress.note(f"{archive.name}: goes on after {size_text(part.size)}")
        return
    if part.size:
        progress.note(f"{archive.name}: starts over; the server has another file or sends no parts")
    if response.status != 200:
        part.discard()
        raise _Dropped(f"the answer ({response.status} {response.reason}) does not go on from what is here")
    length = response.headers.get("Content-Length", "")
    part.begin(_origin(response, archive.url, int(length) if length.isdecimal() else None))


def _goes_on(response: HTTPResponse, part: PartFile) -> bool:
    """Whether the answer is the rest of the very file that ``part`` is the beginning of."""
    match, before = CONTENT_RANGE.match(response.headers.get("Content-Range", "")), part.origin
    if match is None or before is None or int(match[1]) != part.size:
        return False
    total = before.total if match[2] == "*" else int(match[2])
    now = _origin(response, before.url, total)
    return total == before.total and now.validator in (None, before.validator)


def _origin(response: HTTPResponse, url: str, total: int | None) -> Origin:
    return Origin(url, response.headers.get("ETag"), response.headers.get("Last-Modified"), total)


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    """The answer's body; only reading is guarded, so that a full disk is not taken for a lost connection."""
    while True:
        try:
            chunk = response.read1(CHUNK_BYTES)
        except (OSError, HTTPException) as error:
            raise _Dropped(f"the connection was lost ({error})") from error
        if not chunk:
            return
        yield chunk


def _check_present(archive: Archive, target: Path, progress: Progress) -> None:
    """A file that is there is taken if its size is the server's, or if the server can't be asked."""
    size, total = target.stat().st_size, _ask_size(archive)
    if total is None:
        progress.note(f"{archive.name}: taken as it is ({size_text(size)}); its server did not tell the size")
    elif total != size:
        raise StageError(
            f"'{target}' has {size:,} bytes, but {archive.url} has {total:,}: delete it, and run the same command "
            "again to fetch it; or put the whole file there"
        )


def _ask_size(archive: Archive) -> int | None:
    """How long the server says the file is, or None if it can't be asked."""
    request = Request(archive.url, headers={"User-Agent": f"mofore/{__version__}"}, method="HEAD")
    try:
        with urlopen(request, timeout=TIMEOUT_S) as response:
            if response.headers.get_content_type() == "text/html":
                return None
            length = response.headers.get("Content-Length", "")
    except HTTPError as error:
        error.close()
        return None
    except (OSError, HTTPException):
        return None
    return int(length) if length.isdecimal() else None
