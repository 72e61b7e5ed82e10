"""The datasets of an HDF5 file, none of which is read where a part of it lies in a file that is missing.

HDF5 reads a virtual dataset whose source is gone, and external storage that is too short, as fill values: zeros that
nobody wrote, without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ...data.errors import FeaturesError
from .arrays import Table, unreadable
from .options import shown

ERRORS = (OSError, ValueError, RuntimeError, KeyError)
DEEPEST = 16  # virtual datasets of virtual datasets


class Hdf5Arrays(Mapping[str, Table]):
    """The datasets at the top of an HDF5 file; ``below`` finds those in its groups too."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self._path, self._file = path, file

    def __getitem__(self, name: str) -> Hdf5Table:
        try:
            found = self._file.get(name)
        except ERRORS as error:
            raise unreadable(self._path, error) from error
        if not isinstance(found, h5py.Dataset):
            raise KeyError(name)
        return Hdf5Table(self._path, found)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._file if isinstance(self._file.get(name), h5py.Dataset))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def below(self) -> Iterator[tuple[str, tuple[int, ...], np.dtype[Any]]]:
        """Path, shape and type of every dataset, those of groups too; a group is entered once.

        Raises:
            FeaturesError: if something is a link to what is not there.
        """
        groups, seen = [("", self._file)], set()
        while groups:
            prefix, group = groups.pop()
            where = h5py.h5o.get_info(group.id)
            if (where.fileno, where.addr) in seen:
                continue
            seen.add((where.fileno, where.addr))
            for name in group:
                item = self._at(group, name)
                if isinstance(item, h5py.Dataset):
                    yield prefix + name, item.shape or (), item.dtype
                elif isinstance(item, h5py.Group):
                    groups.append((f"{prefix}{name}/", item))

    def _at(self, group: h5py.Group, name: str) -> Any:
        """The group or dataset of that name; a link that leads nowhere is refused by name."""
        try:
            found = group.get(name)
            link = None if found is not None else group.get(name, getlink=True)
        except ERRORS as error:
            raise unreadable(self._path, error) from error
        if link is not None:
            file = f" of '{shown(link.filename)}'" if isinstance(link, h5py.ExternalLink) else ""
            raise FeaturesError(
                f"'{self._path}': {shown(name)} is a link to {shown(getattr(link, 'path', 'something'))}{file}, "
                "which is not there: bring it, or remove the link"
            )
        return found


class Hdf5Table:
    """A dataset of an HDF5 file.

    Raises:
        FeaturesError: if it is kept in other files, and one of them is missing.
    """

    def __init__(self, path: Path, dataset: h5py.Dataset) -> None:
        _check_elsewhere(path, dataset)
        self._path, self._dataset = path, dataset
        self.shape: tuple[int, ...] = dataset.shape or ()
        self.dtype: np.dtype[Any] = dataset.dtype

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        try:
            return np.asarray(self._dataset[rows])
        except ERRORS as error:
            raise unreadable(self._path, error) from error


def _check_elsewhere(path: Path, dataset: h5py.Dataset, depth: int = 0) -> None:
    what = f"'{path}': {shown(dataset.name.lstrip('/'))}"
    if dataset.is_virtual:
        _check_sources(path, dataset, what, depth)
    for name, offset, size in dataset.external or ():
        file = Path(name)
        if not file.is_file():
            raise FeaturesError(
                f"{what} is stored in the external file '{shown(file)}', which is not there (HDF5 looks for it "
                f"from the current folder, '{Path.cwd()}'): bring it, or run the command where it is"
            )
        if size != h5py.h5f.UNLIMITED and file.stat().st_size < offset + size:
            raise FeaturesError(
                f"{what} is stored in the external file '{shown(file)}', which has {file.stat().st_size:,} bytes "
                f"instead of {offset + size:,}: bring it whole"
            )


def _check_sources(path: Path, dataset: h5py.Dataset, what: str, depth: int) -> None:
    """Every source of a virtual dataset must be there, and every element of it must come from one."""
    if depth > DEEPEST:
        raise FeaturesError(f"{what} is a virtual dataset of virtual datasets, more than {DEEPEST} deep")
    mapped, checked = 0, set()
    for source in dataset.virtual_sources():
        mapped += source.vspace.get_select_npoints()
        if (source.file_name, source.dset_name) not in checked:
            checked.add((source.file_name, source.dset_name))
            _check_source(path, dataset, source, what, depth)
    if mapped < prod(dataset.shape):
        raise FeaturesError(
            f"{what} is a virtual dataset of which {prod(dataset.shape) - mapped:,} of {prod(dataset.shape):,} values "
            "come from no file and read as zeros: make it of its sources anew"
        )


def _check_source(path: Path, dataset: h5py.Dataset, source: Any, what: str, depth: int) -> None:
    name = source.file_name.replace("%b", "0")  # the first of a series
    if name == ".":
        _check_dataset(path, dataset.file, source.dset_name, f"{what} is a virtual dataset of", depth)
        return
    file = _found(path, name)
    if file is None:
        raise FeaturesError(
            f"{what} is a virtual dataset, whose source '{shown(name)}' is not there (looked for from "
            f"'{path.absolute().parent}' and from the current folder): its values would read as zeros. Bring the file"
        )
    try:
        with h5py.File(file, "r") as opened:
            _check_dataset(file, opened, source.dset_name, f"{what} is a virtual dataset of '{file}',", depth)
    except OSError as error:
        raise FeaturesError(f"{what} is a virtual dataset, whose source '{file}' cannot be read: {error}") from error


def _check_dataset(path: Path, file: h5py.File, name: str, what: str, depth: int) -> None:
    found = None
    with suppress(KeyError):
        found = file[name.replace("%b", "0")]
    if not isinstance(found, h5py.Dataset):
        raise FeaturesError(f"{what} {shown(name)}, which is not there: its values would read as zeros")
    _check_elsewhere(path, found, depth + 1)


def _found(path: Path, name: str) -> Path | None:
    """The file that HDF5 would take: where its name says, beside the file that names it, or from the current folder."""
    beside = (path.absolute().parent, path.resolve().parent)
    named = Path(name)
    places = [named] if named.is_absolute() else []
    relative = named.name if named.is_absolute() else name
    places += [*(folder / relative for folder in beside), Path(relative)]
    return next((place for place in places if place.is_file()), None)
