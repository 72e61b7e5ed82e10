"""The one place that makes ``import torchvision`` work beside a torch of another build.

timm and open_clip import torchvision for its transforms. A torchvision built for CUDA cannot load its C++
operators beside a CPU torch, and then fails on registering a fake ``torchvision::nms``. Declaring the two
operators it misses is enough; nothing here calls them. Where torchvision loads by itself, nothing is done.
"""

from __future__ import annotations

import importlib
import sys

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []  # a library must stay alive for its operators to


def import_torchvision() -> None:
    """Import torchvision, declaring its missing operators if that is what it fails on."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms" + _SCHEMA)
        library.define("qnms" + _SCHEMA)
        _declared.append(library)
        importlib.import_module("torchvision")
