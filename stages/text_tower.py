"""Texts as vectors: the text tower of an open_clip model, whose vectors lie beside those of its pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..data.arrays import Float32
from ..data.backbone import parse_backbone
from ..data.errors import StageError
from .encoders import Encoder
from .hub import hub_access
from .torchvision_ops import import_torchvision

import_torchvision()

import open_clip  # noqa: E402 - torchvision must be importable first


@torch.inference_mode()
def encode_text(encoder: Encoder, text: str) -> Float32:
    """Unit vector (D,) of a text; what is longer than the tower's context (77 tokens, as a rule) is cut.

    Raises:
        StageError: if the tokenizer is one of the hub's and cannot be had.
    """
    tokens_1L = _tokenizer(encoder.provenance["backbone"])([text]).to(encoder.device)
    model: Any = encoder.model
    vector_1D = functional.normalize(model.encode_text(tokens_1L).float(), dim=1)
    return np.asarray(vector_1D[0].cpu().numpy())


def _tokenizer(backbone: str) -> Any:
    with hub_access():
        try:
            return open_clip.get_tokenizer(parse_backbone(backbone).name)
        except (OSError, RuntimeError, ValueError, ImportError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise StageError(
                f"the tokenizer of {backbone} could not be had: {first} Connect once (it is kept in the hub's cache)"
            ) from error
