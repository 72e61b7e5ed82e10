"""Where a stage computes."""

from __future__ import annotations

import torch

from ..data.errors import ConfigError


def pick_device(wish: str) -> torch.device:
    """Device for a setting; "auto" is cuda where there is one.

    Raises:
        ConfigError: if cuda is asked for and there is none.
    """
    if wish == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = 'cuda', but torch finds no CUDA device: use device = 'auto' or 'cpu'")
    return torch.device("cuda" if wish != "cpu" and torch.cuda.is_available() else "cpu")
