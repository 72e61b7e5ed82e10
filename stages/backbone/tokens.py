"""Tokens of a transformer to one row: pooled, or averaged over a small grid (``extract.output``)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from ...data.backbone_output import Output
from ...data.errors import BackboneError


@dataclass(frozen=True, slots=True)
class TokenLayout:
    """Where the patches of a picture, or of a window, are among its tokens."""

    prefix: int  # tokens before those of patches: class token, registers
    cells: tuple[int, int, int]  # (T, H, W): patches in time, of height, of width
    time_last: bool = False  # whether the patches of one place follow one another, rather than those of one time

    def patches(self, tokens_BND: Tensor) -> Tensor:
        """Tokens of patches (B, T, H, W, D).

        Raises:
            BackboneError: if there are not so many tokens.
        """
        time, height, width = self.cells
        if tokens_BND.shape[1] != self.prefix + math.prod(self.cells):
            raise BackboneError(
                f"the backbone gives {tokens_BND.shape[1]} tokens where {self.prefix} and {time} x {height} x {width} "
                "were expected: take extract.output = pooled"
            )
        patches_BND = tokens_BND[:, self.prefix :]
        batch = len(patches_BND)
        if self.time_last:
            return patches_BND.reshape(batch, height, width, time, -1).movedim(3, 1)
        return patches_BND.reshape(batch, time, height, width, -1)


def pooled_tokens(tokens_BND: Tensor, layout: TokenLayout, pooling: str) -> Tensor:
    """Rows (B, D): the class token (``cls``), or the mean of the patches (``mean``)."""
    return tokens_BND[:, 0] if pooling == "cls" else tokens_BND[:, layout.prefix :].mean(dim=1)


def gridded(patches_BTHWD: Tensor, output: Output) -> Tensor:
    """Rows (B, cells x D): patches averaged over the cells of a grid, cell after cell, (T,) H and W.

    Raises:
        BackboneError: if the grid has more cells in a direction than there are patches.
    """
    *time, height, width = output.grid
    grid = (time[0] if time else 1, height, width)
    have = tuple(patches_BTHWD.shape[1:4])
    if any(cells > patches for cells, patches in zip(grid, have, strict=True)):
        raise BackboneError(
            f"extract.output: a grid of {'x'.join(map(str, output.grid))} is finer than the backbone's "
            f"{'x'.join(map(str, have))} patches (time, height, width)"
        )
    cells_BDTHW = functional.adaptive_avg_pool3d(patches_BTHWD.movedim(-1, 1), grid)
    return cells_BDTHW.movedim(1, -1).flatten(1)
