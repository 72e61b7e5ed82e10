"""Packages that losses are held against, where they are installed (`pip install 'mofore[lightly]'`)."""

import warnings
from typing import Any

import pytest

from mofore.stages.backbone.torchvision_ops import import_torchvision


def lightly_loss() -> Any:
    """The losses of lightly, which imports torchvision; the test is skipped without it."""
    pytest.importorskip("lightly_utils")
    import_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        return pytest.importorskip("lightly.loss")
