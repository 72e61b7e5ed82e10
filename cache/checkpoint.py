"""Checkpoints: named tensors and a JSON object in one safetensors file, published whole."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..data.errors import StoreError
from ..data.storage import refuse_lost
from .atomic import write_bytes
from .positioned import read_at
from .tensor_header import header_end, read_header, span_of

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.arrays import Float32, Int64

Read = TypeVar("Read")
_META = "mofore"
_NUMBERED = "resume-{:09d}.safetensors"


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Publish ``tensors`` (any device) and ``meta`` as one file."""
    from safetensors.torch import save  # planning reads `meta` alone and must not load torch

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(whole, {_META: json.dumps(dict(meta), allow_nan=False)}))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and the meta object of a checkpoint.

    Raises:
        StoreError: if the file is damaged or missing.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    meta = read_meta(path)  # before all else, since it refuses what is no plausible header
    try:
        return load_file(path), meta
    except (OSError, SafetensorError) as error:
        refuse_lost(error, path)
        raise StoreError(f"the checkpoint '{path}' cannot be read ({error}): run `mofore fit --force`") from error


def read_rows(path: Path, name: str, rows: Int64) -> Float32:
    """Some rows (M, E) of a float32 matrix of a checkpoint; the others stay on the disk.

    Raises:
        StoreError: if the file is damaged or missing, or holds no such matrix.
    """
    import numpy as np

    try:
        header, begin = read_header(path)
        tensor = header[name]
        start, _ = span_of(tensor, begin, path.stat().st_size)
        width = math.prod(tensor["shape"][1:])
        with path.open("rb") as handle:
            pieces = [read_at(handle.fileno(), 4 * width, start + 4 * width * row) for row in rows.tolist()]
        return np.frombuffer(b"".join(pieces), "<f4").reshape(len(rows), width)
    except (OSError, ValueError, KeyError, TypeError) as error:
        refuse_lost(error, path)
        raise StoreError(f"the rows of '{path}' cannot be read ({error}): see `mofore verify`") from error


def load_arrays(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Some tensors of a checkpoint, those of ``names`` that it holds, as numpy arrays: without torch.

    Raises:
        StoreError: if the file is damaged or missing.
    """
    from safetensors import SafetensorError, safe_open

    try:
        header_end(path)
        with safe_open(path, "np") as file:
            held = set(file.keys())
            return {name: file.get_tensor(name) for name in names if name in held}
    except (OSError, ValueError, SafetensorError) as error:
        refuse_lost(error, path)
        raise StoreError(f"'{path}' cannot be read ({error}): run `mofore index --force`") from error


def save_numbered(
    folder: Path, step: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], *, keep: int
) -> None:
    """Publish the checkpoint of a step to resume from, and drop all but the latest ``keep``."""
    save_checkpoint(folder / _NUMBERED.format(step), tensors, meta)
    for path in numbered(folder)[keep:]:
        path.unlink()


def load_latest(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The latest checkpoint that can be read; None if there is none."""
    return _latest(folder, load_checkpoint)


def latest_step(folder: Path) -> int:
    """Step of the latest checkpoint that can be read, without torch; 0 if there is none."""
    return _latest(folder, lambda path: int(read_meta(path)["step"])) or 0


def _latest(folder: Path, read: Callable[[Path], Read]) -> Read | None:
    for path in numbered(folder):
        with suppress(StoreError):
            return read(path)
    return None


def numbered(folder: Path) -> list[Path]:
    """Checkpoints to resume from, the latest first."""
    return sorted(folder.glob(_NUMBERED.replace("{:09d}", "*")), reverse=True)


def remove_numbered(folder: Path) -> None:
    """Delete all checkpoints to resume from."""
    for path in numbered(folder):
        path.unlink()


def read_meta(path: Path) -> dict[str, Any]:
    """The meta object alone, without torch.

    Raises:
        StoreError: if the file is damaged.
    """
    try:
        header, _ = read_header(path)
        meta: dict[str, Any] = json.loads(header["__metadata__"][_META])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        refuse_lost(error, path)
        raise StoreError(f"the checkpoint '{path}' is damaged ({error!r}): run `mofore fit --force`") from error
    return meta
