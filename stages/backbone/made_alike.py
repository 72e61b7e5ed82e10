"""Whether an encoder is the one that stored features were made with: weights, preprocessing, activation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...data.backbone import parse_backbone
from ...data.colours import COLOURS, FIRST_PYAV
from .encoder import Encoder

DECISIVE = {
    "weights_sha256": "weights",
    "preprocess": "preprocessing",
    "quick_gelu": "activation",
    "windows": "windows",
    "own_version": "version",
}


def difference(pinned: Mapping[str, Any], encoder: Encoder) -> str | None:
    """How ``encoder`` differs from the provenance of a store, in words; None if it would make the same features."""
    here = encoder.provenance
    for name, word in DECISIVE.items():
        before, now = _before(pinned, name), json.loads(json.dumps(here.get(name)))
        if before is None or before == now:
            continue
        if name == "preprocess":
            keys = [key for key in now if before.get(key) != now[key] and (key != "fill" or _pads(now))]
            if not keys:
                continue
            return f"{word} {_listed(before, keys)} of {here['backbone']}, which is now {_listed(now, keys)}"
        if name == "quick_gelu":
            return f"{word} {_gelu(before)} of {here['backbone']}, which is now {_gelu(now)}"
        if name in ("windows", "own_version"):
            return f"{word} {before} of {here['backbone']}, which is now {now}"
        return f"{word} {before[:12]} of {here['backbone']}, which are now {now[:12]}"
    return None


def pixel_difference(pinned: Mapping[str, Any], encoder: Encoder) -> str | None:
    """How the pixels differ that ``encoder`` would see from those of a store's frames, in words.

    The device that resizes them decides their last bits, which queries may do without; frames of one store may not.
    """
    here, before = encoder.provenance["pixels"], pinned.get("pixels")
    if before is None:  # begun before this was recorded: on a processor, in the colours of that PyAV
        pyav = str(pinned.get("versions", {}).get("av", FIRST_PYAV)).partition(".")[0]
        before = {"device": "cpu", "colours": COLOURS if int(pyav) >= FIRST_PYAV else 1}
    if before["colours"] != here["colours"]:
        return f"colours of another version (number {before['colours']}, now {here['colours']})"
    if before["device"] != here["device"]:
        return f"pixels of device {before['device']}, while this run's would be of {here['device']}"
    if before.get("resize", 1) != here.get("resize", 1):
        return f"pixels resized in arithmetic number {before.get('resize', 1)}, which is now {here.get('resize', 1)}"
    return None


def _before(pinned: Mapping[str, Any], name: str) -> Any:
    """What a store says; None if it says nothing.

    Stores begun before the activation was recorded were made with the one of the model's configuration.
    """
    backbone = parse_backbone(pinned["backbone"]) if "backbone" in pinned else None
    if name != "quick_gelu" or name in pinned or backbone is None or backbone.library != "open_clip":
        return pinned.get(name)
    from .open_clip_models import PLACES, model_config

    if backbone.name.startswith(PLACES):
        return None
    return bool(model_config(backbone.name).get("quick_gelu", False))


def _pads(preprocess: Mapping[str, Any]) -> bool:
    """Whether a picture can be smaller than what the backbone sees, so that it matters what it is filled up with."""
    seen, resized = preprocess["size"], preprocess["scale"]
    return preprocess["fit"] == "longest" or any(have < want for have, want in zip(resized, seen, strict=True))


def _listed(preprocess: Mapping[str, Any], keys: list[str]) -> str:
    return ", ".join(f"{key} {preprocess.get(key)}" for key in keys)


def _gelu(quick: bool) -> str:
    return "QuickGELU" if quick else "GELU"
