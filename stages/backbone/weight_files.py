"""Files of weights as people have them, read as nested dictionaries of named tensors; no code of a file is ever run.

The content decides, not the suffix: safetensors, what ``torch.save`` wrote (.pth, .pt, .bin, .ckpt), or an index of
several such files. Whatever else it is, a pointer, a web page, an archive of code, is said by name.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import struct
import tarfile
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ...cache.tensor_header import header_end
from ...data.errors import BackboneError
from ...data.weight_index import is_index, weight_files

# What reading bytes that are no checkpoint ends in; an unpickler on garbage can stumble in any of these ways.
UNREADABLE = (
    OSError, ValueError, RuntimeError, LookupError, EOFError, TypeError, AttributeError, MemoryError,
    struct.error, UnpicklingError, SafetensorError,
)  # fmt: skip
FOREIGN = (
    (b"version https://git-lfs", "a Git LFS pointer, not the weights it stands for: fetch them with `git lfs pull`"),
    (b"<!doctype html", "a web page, not weights: download the file itself (on a hub, its 'download' link)"),
    (b"<html", "a web page, not weights: download the file itself (on a hub, its 'download' link)"),
    (b"<?xml", "an XML answer, not weights: download the file again"),
    (b"\x89hdf", "an HDF5 file (Keras?): PyTorch weights are needed"),
    (b"gguf", "a GGUF file: PyTorch weights are needed"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"{", "JSON; of weights in several files, name the index, which ends in .index.json"),
)
SAVED = (b"PK", b"\x80")  # what torch.save writes: an archive, or before torch 1.6 a pickle (or a tar before that)
# Names that wrappers put into the middle of others; they never mean anything.
TRANSPARENT = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
ALONE = "in the program that made it, save the weights alone: torch.save(model.state_dict(), 'weights.pth')"
Tree = dict[str, Any]


def check_weights(path: Path) -> None:
    """Refuse, by a glance at its beginning, what cannot be a file of weights.

    Raises:
        BackboneError: if it is missing, a folder, empty, or recognisably something else.
    """
    if path.is_dir():
        raise BackboneError(f"extract.weights = '{path}' is a folder: name the file of weights in it, or its index")
    if not path.is_file():
        raise BackboneError(f"extract.weights = '{path}' is not a file")
    for file in weight_files(path):
        with file.open("rb") as handle:
            raw = handle.read(64)
        begin = raw.lstrip().lower()
        if not begin:
            raise _unreadable(file, "it is empty")
        for magic, what in FOREIGN:
            if begin.startswith(magic):
                raise _unreadable(file, f"it is {what}")
        if not (raw.startswith(SAVED) or raw[8:9] == b"{" or tarfile.is_tarfile(file)):
            raise _unreadable(file, f"it is neither safetensors nor what torch.save writes: {ALONE}")


def read_weights(path: Path) -> Tree:
    """What a file of weights, or an index of several, holds: tensors and dictionaries of them by name, on the CPU.

    Raises:
        BackboneError: if it cannot be read, or holds Python objects that only its own program can make again.
    """
    check_weights(path)
    tree: Tree = {}
    for file in weight_files(path):
        tree.update(_read(file))
    if is_index(path) and not all(isinstance(value, Tensor) for value in tree.values()):
        raise BackboneError(f"extract.weights = '{path}': its files hold something else than named tensors")
    return tree


def _read(path: Path) -> Tree:
    with path.open("rb") as handle:
        begin = handle.read(9)
    if begin[8:] == b"{" or (path.suffix == ".safetensors" and begin[:2] not in (b"PK", b"\x80\x02")):
        try:
            header_end(path)  # of a bomb, nothing is read
            return dict(load_file(path))
        except UNREADABLE as error:
            raise _unreadable(path, f"{type(error).__name__}: {_first_line(error)}") from error
    with _harmless():
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
        except UNREADABLE as error:
            raise _unreadable(path, _why(path, error)) from error
    if not isinstance(found, dict):
        raise BackboneError(f"extract.weights = '{path}' holds something else than named tensors: {ALONE}")
    return found


def _harmless() -> contextlib.AbstractContextManager[Any]:
    """Types beside torch's own that checkpoints hold and that are data alone: options, numpy's numbers, paths."""
    if not hasattr(torch.serialization, "safe_globals"):  # torch 2.4
        return contextlib.nullcontext()
    core = np._core if hasattr(np, "_core") else np.core  # type: ignore[attr-defined,unused-ignore]
    scalar: Any = core.multiarray.scalar
    numbers = {type(np.dtype(name)) for name in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")}
    types: list[Any] = [argparse.Namespace, np.dtype, scalar, *numbers, pathlib.PosixPath]
    # numpy 1 and 2 call it by different names, and files hold either; the pairs are known from torch 2.6 on.
    pairs = [(scalar, f"numpy.{name}.multiarray.scalar") for name in ("core", "_core")]
    pairs += [(pathlib.PosixPath, f"{name}.PosixPath") for name in ("pathlib", "pathlib._local")]
    if hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):  # 2.6
        types += pairs
    return torch.serialization.safe_globals(types)


def _why(path: Path, error: Exception) -> str:
    """What a file is that torch does not take, in mofore's words: torch's own advise to run the file's code."""
    inside = _archived(path)
    if any(name.endswith("constants.pkl") for name in inside):
        return (
            "it is a TorchScript archive: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth') makes one of it"
        )
    if any(name.endswith(".npy") for name in inside):
        return "it is a NumPy archive: PyTorch weights are needed"
    objects = _objects(path)
    if objects:
        return f"it holds Python objects beside tensors ({', '.join(objects[:3])}): {ALONE}"
    if isinstance(error, UnpicklingError):
        return f"it is damaged, or holds Python objects beside tensors: {ALONE}"
    told = _first_line(error)
    return type(error).__name__ + (f": {told}" if told and "weights_only" not in told.lower() else "")


def _archived(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return []


def _objects(path: Path) -> list[str]:
    """Full names of what a checkpoint would have to import, where torch can tell."""
    look = getattr(torch.serialization, "get_unsafe_globals_in_checkpoint", None)
    try:
        return sorted(look(path)) if look else []
    except UNREADABLE:
        return []


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _unreadable(path: Path, why: str) -> BackboneError:
    return BackboneError(
        f"extract.weights = '{path}' cannot be read as .safetensors or as a checkpoint of PyTorch (.pth, .pt, .bin, "
        f".ckpt): {why}"
    )
