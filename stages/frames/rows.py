"""Where the frames of a run are taken from: the memory of a device, or the files of a store that is larger."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from ...cache.shard_rows import ShardRows
from ...data.arrays import Float16

Item = TypeVar("Item")


class FrameRows(Protocol):
    """N rows of D features."""

    @property
    def device(self) -> torch.device:
        """Where rows that are taken come to lie."""

    @property
    def width(self) -> int:
        """D, numbers in a row."""

    def __len__(self) -> int: ...

    def take(self, rows_R: Tensor) -> Tensor:
        """Rows, in any order: (R, D) float16."""

    def span(self, first: int, end: int) -> Tensor:
        """The rows from ``first`` to before ``end``, float16."""

    def ahead(self, items: Iterator[Item]) -> Iterator[Item]:
        """Things made from the rows; each may be made while the one before is in use."""


@dataclass(frozen=True, slots=True)
class ResidentRows:
    """Rows in the memory of one device."""

    features_ND: Tensor

    @property
    def device(self) -> torch.device:
        """Where the rows lie, which is where those that are taken stay."""
        return self.features_ND.device

    @property
    def width(self) -> int:
        """D, numbers in a row."""
        return int(self.features_ND.shape[1])

    def __len__(self) -> int:
        return len(self.features_ND)

    def take(self, rows_R: Tensor) -> Tensor:
        """Rows, in any order: (R, D) float16."""
        return self.features_ND.index_select(0, rows_R)

    def span(self, first: int, end: int) -> Tensor:
        """A view of the rows from ``first`` to before ``end``."""
        return self.features_ND[first:end]

    def ahead(self, items: Iterator[Item]) -> Iterator[Item]:
        """The items as they come: nothing has to be waited for."""
        return items


@dataclass(frozen=True, slots=True)
class FiledRows:
    """Rows in the shards of a store, read as they are asked for and brought to ``device``."""

    rows: ShardRows
    device: torch.device

    @property
    def width(self) -> int:
        """D, numbers in a row, as the store has them."""
        return self.rows.shape[1]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows_R: Tensor) -> Tensor:
        """Read rows, in any order: (R, D) float16.

        Raises:
            StoreError: if a shard is gone, was changed, or cannot be read.
        """
        return torch.from_numpy(self.rows.take(rows_R.cpu().numpy())).to(self.device)

    def span(self, first: int, end: int) -> Tensor:
        """Read the rows from ``first`` to before ``end``; raises as :meth:`take`."""
        return torch.from_numpy(self.rows.take(np.arange(first, end))).to(self.device)

    def ahead(self, items: Iterator[Item]) -> Iterator[Item]:
        """The items, the next one always in the making, so that reading goes on beside computing.

        Not so on a GPU: a step that is being recorded as a graph suffers no other thread that calls it.
        """
        return items if self.device.type == "cuda" else made_ahead(items)


def frame_rows(features_ND: Float16 | ShardRows, device: torch.device) -> FrameRows:
    """Rows of a table: moved to ``device`` (on the CPU, without a copy), or left in their shards."""
    if isinstance(features_ND, ShardRows):
        return FiledRows(features_ND, device)
    return ResidentRows(torch.from_numpy(np.asarray(features_ND)).to(device))


def made_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items in the same order, each made in a thread while the one before is in use."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as executor:
        waiting = executor.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = executor.submit(next, items, None)
            yield item
