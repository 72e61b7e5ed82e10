"""Checkpoints: named tensors and a JSON object in one safetensors file, published whole."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.errors import StoreError
from .atomic import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

_META = "mofore"


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

    try:
        return load_file(path), read_meta(path)
    except (OSError, SafetensorError) as error:
        raise StoreError(f"the checkpoint '{path}' cannot be read ({error}): run `mofore fit --force`") from error


def read_meta(path: Path) -> dict[str, Any]:
    """The meta object alone, without torch.

    Raises:
        StoreError: if the file is damaged.
    """
    try:
        with path.open("rb") as handle:
            (size,) = struct.unpack("<Q", handle.read(8))
            header = json.loads(handle.read(size))
        meta: dict[str, Any] = json.loads(header["__metadata__"][_META])
    except (struct.error, ValueError, KeyError, MemoryError, OverflowError) as error:
        raise StoreError(f"the checkpoint '{path}' is damaged ({error!r}): run `mofore fit --force`") from error
    return meta
