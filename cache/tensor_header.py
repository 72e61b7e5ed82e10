"""The header of a safetensors file, read in bounded memory whatever the file says of itself.

Format: eight bytes with the length of the header (unsigned, little endian), the header in JSON, the tensors. A hostile
file may promise a header of petabytes, or hold one that is a hundred megabytes of names: neither is read.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

MOST_BYTES = 16 << 20  # of a header; a tensor takes about a hundred, so 150,000 of them


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and the byte of the file at which the tensors begin.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it has no header, or none of a plausible size.
    """
    begin = header_end(path)
    try:
        with path.open("rb") as handle:
            handle.seek(8)
            header = json.loads(handle.read(begin - 8))
    except RecursionError as error:
        raise ValueError("its header is lists within lists") from error
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return header, begin


def header_end(path: Path) -> int:
    """The byte at which the tensors begin; the header itself is not read.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is too short to be one, or its header longer than it, or than :data:`MOST_BYTES`.
    """
    with path.open("rb") as handle:
        start = handle.read(8)
    if len(start) < 8:
        raise ValueError(f"it has {len(start)} bytes")
    (length,) = struct.unpack("<Q", start)
    size = path.stat().st_size
    if 8 + length > size:
        raise ValueError(f"it promises a header of {length:,} bytes, but has {size:,}")
    if length > MOST_BYTES:
        raise ValueError(f"its header has {length:,} bytes, more than the {MOST_BYTES:,} of any real model")
    return 8 + int(length)


def span_of(tensor: dict[str, Any], begin: int, size: int) -> tuple[int, int]:
    """First byte of a float32 tensor and its end, in a file of ``size`` bytes whose tensors start at ``begin``.

    Raises:
        ValueError: if it is no float32, or its shape is not what the file holds.
    """
    if tensor["dtype"] != "F32":
        raise ValueError(f"it is {tensor['dtype']}, not F32")
    start, end = (begin + int(offset) for offset in tensor["data_offsets"])
    if not begin <= start <= end <= size or end - start != 4 * math.prod(tensor["shape"]):
        raise ValueError(f"its shape is {tensor['shape']}, which is not what the file holds")
    return start, end
