"""The name of a feature store: readable, and another for whatever changes the features."""

from __future__ import annotations

import re

from ..cache.fingerprint import KEY_LENGTH, stage_fingerprint
from ..data.backbone import parse_backbone
from ..stages import versions
from .config import Config


def store_key(config: Config, weights_digest: str, device: str = "cpu") -> str:
    """Name of the store of an encoder: readable, and another for whatever changes the features.

    Args:
        config: whose ``[extract]`` counts.
        weights_digest: of the file of local weights; empty without one.
        device: "cpu" or "cuda", where the pictures are resized.
    """
    backbone = parse_backbone(config.extract.backbone)
    identity = {**config.extract.identity(), "backbone": str(backbone)}
    if not config.extract.backbone.startswith("random:"):
        del identity["seed"]
    if config.extract.precision != "auto":
        del identity["parity_floor"]
    if config.extract.engine == "torch":  # it made the stores of earlier versions, which `auto` goes on with
        del identity["engine"]
    if backbone.library == "open_clip":
        identity["preprocessing"] = "of the tag"  # earlier versions took OpenAI's, and GELU, for some
    if device != "cpu":
        identity["pixels"] = device
    print_ = stage_fingerprint("extract", versions.EXTRACT, identity, weights_digest)
    if backbone.imported:  # which no setting of the extraction changes
        print_ = stage_fingerprint("import", versions.IMPORT, {"backbone": str(backbone)}, "")
    slug = re.sub(r"[^A-Za-z0-9_.]+", "-", config.extract.backbone).strip("-")
    return f"{slug[:60]}-{print_[:KEY_LENGTH]}"
