"""Where the frames of a run are taken from: the memory of a device, or the files of a store that is larger."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ...cache.shard_rows import ShardRows
from ...data.arrays import Float16

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class FrameRows:
    """N rows of D features, float16."""

    features_ND: Tensor | ShardRows  # on the device; or in the shards of a store, read as they are asked for
    device: torch.device  # where rows that are taken come to lie

    @classmethod
    def of(cls, features_ND: Float16 | ShardRows, device: torch.device) -> FrameRows:
        """Rows of a table: moved to ``device`` (on the CPU, without a copy), or left in their shards."""
        if isinstance(features_ND, ShardRows):
            return cls(features_ND, device)
        return cls(torch.from_numpy(np.asarray(features_ND)).to(device), device)

    @property
    def width(self) -> int:
        """D, numbers in a row."""
        return int(self.features_ND.shape[1])

    def __len__(self) -> int:
        return len(self.features_ND)

    def take(self, rows_R: Tensor) -> Tensor:
        """Rows, in any order: (R, D) float16.

        Raises:
            StoreError: if a shard is gone, was changed, or cannot be read.
        """
        if isinstance(self.features_ND, ShardRows):
            return torch.from_numpy(self.features_ND.take(rows_R.cpu().numpy())).to(self.device)
        return self.features_ND.index_select(0, rows_R)

    def span(self, first: int, end: int) -> Tensor:
        """The rows from ``first`` to before ``end``, in memory as a view; raises as :meth:`take`."""
        if isinstance(self.features_ND, ShardRows):
            return torch.from_numpy(self.features_ND.take(np.arange(first, end))).to(self.device)
        return self.features_ND[first:end]

    def ahead(self, items: Iterator[Item]) -> Iterator[Item]:
        """Things made from the rows; of rows in files the next one always in the making, to read beside computing.

        Not so on a GPU: a step that is being recorded as a graph suffers no other thread that calls it.
        """
        filed = isinstance(self.features_ND, ShardRows) and self.device.type != "cuda"
        return made_ahead(items) if filed else items


def made_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items in the same order, each made in a thread while the one before is in use."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as executor:
        waiting = executor.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = executor.submit(next, items, None)
            yield item
