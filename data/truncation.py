"""Files that end before their container says: half a download decodes without complaint as a shorter video.

What a container promises is read from its own headers, in a few reads. A recorder that was cut off leaves no promise
(zero, all ones, "unknown"), and neither do streams (MPEG-TS, raw): of these nothing is said.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from .errors import VideoError
from .remote import RemoteFile, open_object
from .remote_path import RemotePath

UNKNOWN_32 = (0, 0xFFFFFFFF)
EBML, SEGMENT = 0x1A45DFA3, 0x18538067
FLV_HEADER, FLV_TAG = 9, 11  # bytes
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
ASF_BROADCAST = 1
BOXES = 100_000  # of an MP4 that are walked over; a fragmented one has two a fragment
MP4_FIRST = frozenset([b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"sidx", b"moof"])


def refuse_truncated(path: Path) -> None:
    """Refuse a file that is shorter than its container promises.

    Raises:
        VideoError: with both sizes.
        OSError: if it cannot be read.
    """
    with open_object(path) if isinstance(path, RemotePath) else path.open("rb") as handle:
        have = handle.seek(0, os.SEEK_END)
        promised = promised_bytes(handle, have)
    if promised > have:
        raise VideoError(f"truncated: {have:,} bytes of the {promised:,} that its header promises")


def promised_bytes(handle: BinaryIO | RemoteFile, have: int) -> int:
    """How long a file of ``have`` bytes should be at least; 0 where its container does not say."""
    handle.seek(0)
    head = handle.read(16)
    if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"WEBP"):
        return _riff(handle, have)
    if head[:4] == EBML.to_bytes(4, "big"):
        return _matroska(handle)
    if head[4:8] in MP4_FIRST:
        return _mp4(handle, have)
    if head[:4] == b"FLV\x01":
        return _flv(handle, have)
    return _asf(handle) if head == ASF_HEADER else 0


def _riff(handle: BinaryIO | RemoteFile, have: int) -> int:
    """The end of the last RIFF chunk: an AVI beyond 1 GB has several (OpenDML)."""
    at = 0
    while at + 12 <= have:
        handle.seek(at)
        head = handle.read(8)
        size = int.from_bytes(head[4:], "little")
        if head[:4] != b"RIFF" or size in UNKNOWN_32:
            break
        at += 8 + size + size % 2 * (at + 8 + size < have)
    return at


def _mp4(handle: BinaryIO | RemoteFile, have: int) -> int:
    """The end of the last box (ISO 14496-12, 4.2); a size of 0 means until the end of the file, wherever that is."""
    at = 0
    for _ in range(BOXES):
        if at + 8 > have:
            break
        handle.seek(at)
        head = handle.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if size < 8:
            return 0
        at += size
    return at


def _matroska(handle: BinaryIO | RemoteFile) -> int:
    """The end of the segment (RFC 8794 and 9559), whose size a live stream leaves unknown."""
    handle.seek(4)
    header = _ebml_size(handle)
    if header is None:
        return 0
    handle.seek(header, os.SEEK_CUR)
    if handle.read(4) != SEGMENT.to_bytes(4, "big"):
        return 0
    size = _ebml_size(handle)
    return 0 if size is None else handle.tell() + size


def _ebml_size(handle: BinaryIO | RemoteFile) -> int | None:
    """A size of 1 to 8 bytes, as many as its first byte has leading zeros; None for the unknown one, all ones."""
    first = handle.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    bits = 7 * (more + 1)
    size = int.from_bytes(first + handle.read(more), "big") & ((1 << bits) - 1)
    return None if size == (1 << bits) - 1 else size


def _flv(handle: BinaryIO | RemoteFile, have: int) -> int:
    """A whole FLV ends with the size of its last tag; one that does not lacks at least a byte."""
    if have < FLV_HEADER + 4 + FLV_TAG:
        return have + 1
    handle.seek(have - 4)
    last = int.from_bytes(handle.read(4), "big")
    if not FLV_TAG <= last <= have - FLV_HEADER - 8:
        return have + 1
    handle.seek(have - 4 - last)
    tag = handle.read(4)
    whole = tag[0] & 31 in (8, 9, 18) and int.from_bytes(tag[1:], "big") + FLV_TAG == last
    return have if whole else have + 1


def _asf(handle: BinaryIO | RemoteFile) -> int:
    """The file's size in its properties object, unless it is a broadcast's."""
    handle.seek(0)
    head = handle.read(4096)
    at = head.find(ASF_FILE_PROPERTIES)
    if at < 0 or len(head) < at + 92:
        return 0
    flags = int.from_bytes(head[at + 88 : at + 92], "little")
    return 0 if flags & ASF_BROADCAST else int.from_bytes(head[at + 40 : at + 48], "little")
