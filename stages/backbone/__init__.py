"""Frozen encoders: weights, precision, blocks."""

from .torchvision_ops import import_torchvision

import_torchvision()  # before timm and open_clip, which every module here may then import as any other package
