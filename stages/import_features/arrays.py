"""Arrays of features whose rows can be had, in whatever order their axes are: seen as (T, D).

What an axis means is decided over all arrays of a set, since one array cannot say it: (1, 10, D) is ten frames where
the others are (1, T, D), and one frame of ten crops where they are (T, 10, D).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...data.errors import FeaturesError
from .options import Reading, shown

KINDS = "float16, float32 or float64"
CROPS = (5, 10)  # of one frame, as they are usually taken
TIME_LAST = "if they are features by frames, say so with `--axis time-last`"


def unreadable(path: Path, error: Exception) -> FeaturesError:
    """The complaint of a file that is damaged, or of another kind than its name says."""
    return FeaturesError(f"'{path}' cannot be read ({shown(error)}): is it whole, and of the kind that its name says?")


class Table(Protocol):
    """An array of which rows can be had."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes, whatever these mean."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        """Some consecutive rows; of arrays that can be read so, any slices."""


@dataclass(frozen=True, slots=True)
class Part:
    """An array of a video: what it is called in messages, its shape and type, and how it is opened."""

    what: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    open: Callable[[], Table]


@dataclass(frozen=True, slots=True)
class Axes:
    """Which axis of an array is time, and which, if any, is of crops; the rest is the feature."""

    time: int = 0
    crops: int | None = None

    def shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """(T, D) of an array of this shape."""
        feature = [size for axis, size in enumerate(shape) if axis not in (self.time, self.crops)]
        return shape[self.time], prod(feature)

    def dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Of what is read: means of float16 are float32."""
        return dtype if self.crops is None else np.result_type(dtype, np.float32)

    def seen(self, table: Table) -> Table:
        """The array as (T, D)."""
        return table if self == Axes() and len(table.shape) == 2 else Rearranged(table, self)


class Rearranged:
    """An array seen as (T, D), whatever the order of its axes."""

    def __init__(self, table: Table, axes: Axes) -> None:
        self._table, self._axes = table, axes
        self.shape: tuple[int, ...] = axes.shape(table.shape)
        self.dtype = axes.dtype(table.dtype)

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        time = self._axes.time
        block = self._table[(slice(None),) * time + (rows,)] if time else self._table[rows]
        block = np.moveaxis(block, time, 0)
        if self._axes.crops is not None:
            block = block.mean(axis=self._axes.crops, dtype=self.dtype)
        return np.ascontiguousarray(block.reshape(len(block), self.shape[1]))


class Joined:
    """Arrays (T, D) of the same frames, side by side."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = tables
        self.shape: tuple[int, ...] = (tables[0].shape[0], sum(table.shape[1] for table in tables))
        self.dtype = np.result_type(*(table.dtype for table in tables))

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        return np.concatenate([table[rows] for table in self._tables], axis=1)


def find_axes(parts: Sequence[Part], reading: Reading) -> list[Axes]:
    """The axes of each array of a set, none of which is without frames.

    Raises:
        FeaturesError: if an array is not of floats, or has axes whose meaning neither the set nor ``reading`` says.
    """
    for part in parts:
        _check_kind(part)
    deep = [part for part in parts if _depth(part.shape) == 3]
    if reading.average_crops and not deep:
        raise FeaturesError(
            f"--average-crops: {parts[0].what} has shape {parts[0].shape}, without an axis of crops: leave it away"
        )
    if not deep:
        return [Axes(int(reading.time_last))] * len(parts)
    return [_deep_axes(part, deep, reading) for part in parts]


def _check_kind(part: Part) -> None:
    if _depth(part.shape) not in (2, 3) or not prod(part.shape):
        raise FeaturesError(f"{part.what} has shape {part.shape}: frames by features are needed, two dimensions")
    if part.dtype.kind != "f" or part.dtype.itemsize > 8:
        raise FeaturesError(f"{part.what} has type {shown(part.dtype)}: {KINDS} is needed")


def _depth(shape: tuple[int, ...]) -> int:
    """Number of axes without those of length 1 at the end, which pooling leaves behind."""
    depth = len(shape)
    while depth > 2 and shape[depth - 1] == 1:
        depth -= 1
    return depth


def _deep_axes(part: Part, deep: Sequence[Part], reading: Reading) -> Axes:
    if _depth(part.shape) == 2:
        if reading.average_crops:
            raise FeaturesError(f"--average-crops: {part.what} has shape {part.shape}, but {_alike(deep)}")
        return Axes(int(reading.time_last))
    if reading.average_crops:
        _check_crops(deep, reading)
        return Axes(0, 1)
    if all(one.shape[1] == 1 for one in deep):
        return Axes(2 if reading.time_last else 0)
    if all(one.shape[0] == 1 for one in deep):
        sizes = {one.shape[1] for one in deep}
        if len(sizes) == 1 and sizes <= set(CROPS) and not reading.time_last:
            (size,) = sizes
            raise FeaturesError(
                f"{deep[0].what} has shape {deep[0].shape}: one frame of {size} crops (say so with --average-crops), "
                f"or {size} frames (save array[0])"
            )
        return Axes(2 if reading.time_last else 1)
    odd = next(one for one in deep if 1 not in one.shape[:2] or one is deep[-1])
    raise FeaturesError(
        f"{odd.what} has shape {odd.shape}: frames by features are needed, two dimensions. If the second axis is of "
        "crops of the same frame, (T, crops, D), `--average-crops` takes their mean"
    )


def _check_crops(deep: Sequence[Part], reading: Reading) -> None:
    if reading.time_last:
        raise FeaturesError("--average-crops reads (T, crops, D): leave `--axis time-last` away, or move the axes")
    first, second = ({one.shape[axis] for one in deep} for axis in (0, 1))
    crops_first = len(first) == 1 and first <= set(CROPS) and not (len(second) == 1 and second <= set(CROPS))
    if len(second) > 1 or crops_first:
        raise FeaturesError(
            f"--average-crops reads (T, crops, D), with as many crops in every video, but {_alike(deep)}: "
            "save np.swapaxes(array, 0, 1) if the crops come first"
        )


def _alike(parts: Sequence[Part]) -> str:
    """One array and, if there is one, another of another shape."""
    other = next((part for part in parts if part.shape != parts[0].shape), None)
    more = f", {other.what} {other.shape}" if other else ""
    return f"{parts[0].what} has shape {parts[0].shape}{more}"
