"""What of a backbone is stored: ``extract.output``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from .errors import ConfigError

MOST_CELLS = 64  # of a grid: a row is so many times as wide as the model
PARTS = re.compile(r"(?:layer:(?P<layer>\d+))?,?(?:tokens:(?P<grid>\d+(?:x\d+){1,2}))?")


@dataclass(frozen=True, slots=True)
class Output:
    """A layer of a backbone and what becomes of its tokens."""

    layer: int | None = None  # as the library counts them, 0 being what goes into the first; None for the model's end
    grid: tuple[int, ...] = ()  # (H, W) or (T, H, W) cells that tokens are averaged over; empty if they are pooled

    @property
    def plain(self) -> bool:
        """Whether it is what the model itself gives."""
        return self == Output()


def parse_output(text: str) -> Output:
    """Parse ``pooled``, ``layer:N``, ``tokens:HxW``, ``tokens:TxHxW`` or ``layer:N,tokens:HxW``.

    Raises:
        ConfigError: if it is none of these, or the grid is empty or has more than :data:`MOST_CELLS` cells.
    """
    found = PARTS.fullmatch(text)
    if text == "pooled":
        return Output()
    if not text or found is None or text.startswith(",") or text.endswith(","):
        raise ConfigError(
            f"extract.output = {text!r}: pooled, layer:N, tokens:HxW, tokens:TxHxW or layer:N,tokens:HxW is needed, "
            "for example layer:18 or tokens:2x2"
        )
    layer, grid = found["layer"], tuple(int(side) for side in (found["grid"] or "").split("x") if side)
    if grid and not 1 <= math.prod(grid) <= MOST_CELLS:
        raise ConfigError(
            f"extract.output = {text!r}: a grid of 1 to {MOST_CELLS} cells is needed, not {math.prod(grid)}"
        )
    return Output(None if layer is None else int(layer), grid)
