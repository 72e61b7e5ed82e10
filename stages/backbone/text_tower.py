"""Texts as vectors: the text tower of an open_clip model, whose vectors lie beside those of its pictures."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any

import numpy as np
import open_clip
import torch
from torch.nn import functional

from ...data.arrays import Float32
from ...data.backbone import parse_backbone
from ...data.errors import BackboneError, StageError
from .encoder import Encoder
from .hub import hub_access
from .open_clip_models import INSTALL_TEXT, PLACES, model_config
from .remarks import library_remarks

PIECES = re.compile("sentencepiece|protobuf|tiktoken")  # transformers asks for either where it reads a .model file


@torch.inference_mode()
def encode_text(encoder: Encoder, text: str) -> Float32:
    """Unit vector (D,) of a text; what is longer than the tower's context (77 tokens, as a rule) is cut.

    Raises:
        BackboneError: if the tokenizer needs a package that is not installed.
        StageError: if the tokenizer is one of the hub's and cannot be had.
    """
    tokens_1L = _tokenizer(encoder.provenance["backbone"])([text]).to(encoder.device)
    model: Any = encoder.model
    vector_1D = functional.normalize(model.encode_text(tokens_1L).float(), dim=1)
    return np.asarray(vector_1D[0].cpu().numpy())


def refuse_missing_tokenizer(backbone: str) -> None:
    """Find out, before anything is loaded, that a model's tokenizer needs a package that is missing.

    Raises:
        BackboneError: naming the package, and how to install it.
    """
    name = parse_backbone(backbone).name
    if name.startswith(PLACES):  # whose configuration is read with the model; open_clip's own tokenizer may do
        return
    text = model_config(name).get("text_cfg", {})
    if text.get("hf_tokenizer_name") and find_spec("transformers") is None:
        raise _missing(backbone, "transformers")


def _tokenizer(backbone: str) -> Any:
    refuse_missing_tokenizer(backbone)
    with hub_access(), library_remarks() as remarks:
        try:
            tokenizer = open_clip.get_tokenizer(parse_backbone(backbone).name)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            package = _package(error)
            if package:
                raise _missing(backbone, package) from error
            raise _unavailable(backbone, str(error) or type(error).__name__) from error
    if remarks:  # that it took another tokenizer in place of the model's
        raise _unavailable(backbone, remarks[0])
    return tokenizer


def _unavailable(backbone: str, reason: str) -> StageError:
    first = reason.strip().splitlines()[0]
    return StageError(
        f"the tokenizer of {backbone} could not be had: {first} Connect once (it is kept in the hub's cache)"
    )


def _package(error: Exception) -> str | None:
    """What is not installed, where that is the reason."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return error.name
    return "sentencepiece with protobuf" if PIECES.search(str(error)) else None


def _missing(backbone: str, package: str) -> BackboneError:
    return BackboneError(
        f"a text cannot be searched for: the tokenizer of {backbone} needs the package {package}, which is missing: "
        f"{INSTALL_TEXT}"
    )
