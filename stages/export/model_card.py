"""What lies beside an exported model: what goes in, what comes out, and how a video becomes a vector; JSON and text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cache.atomic import write_bytes, write_json
from ...data.fit_settings import FitSettings
from .network import FORMS, TOLERANCE, UnitEmbedder

CARD, README, CENTER = "model.json", "README.md", "center.npy"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from.

    Attributes:
        space: mofore, predict or fit:KEY.
        digest: of its networks and settings, as an index of the space has it.
        views: of a video that are averaged.
        encoder: what made the features: backbone, weights, picture size, mean and deviation, ...
        sampling: of the frames: stride, fps.
        centered: whether a mean lies beside it.
    """

    space: str
    digest: str
    views: int
    encoder: Mapping[str, Any]
    sampling: Mapping[str, Any]
    centered: bool


def describe(
    model: UnitEmbedder,
    widths: tuple[int, int],
    settings: FitSettings,
    source: Source,
    differences: Mapping[str, float],
) -> dict[str, Any]:
    """The card as JSON has it.

    Args:
        model: that was written.
        widths: D of a frame's features, E of an embedding.
        settings: of its fit.
        source: where it comes from.
        differences: of the written forms to the model.
    """
    frames: int | str = model.frames or "any"
    return {
        "input": {
            "features": {"shape": ["clips", model.frames or "frames", widths[0]], "dtype": "float32"},
            **({"times_s": {"shape": ["clips", model.frames or "frames"], "dtype": "float32"}} if model.timed else {}),
            "frames": frames,
            "backbone": dict(source.encoder),
            "sampling": dict(source.sampling),
        },
        "output": {"embedding": {"shape": ["clips", widths[1]], "dtype": "float32"}, "unit_length": True},
        "video": _pooling(settings, source.views),
        "space": source.space,
        "model": source.digest,
        "center": CENTER if source.centered else None,
        "files": {form: {"file": FORMS[form], "difference": found} for form, found in differences.items()},
        "tolerance": TOLERANCE,
        "fit": settings.identity(),
    }


def _pooling(settings: FitSettings, views: int) -> dict[str, Any]:
    """How the embedding of a whole video is made."""
    if settings.video_pooling == "whole":
        return {"pooling": "whole"}
    return {
        "pooling": "views",
        "views": views,
        "clip_length": settings.clip_length,
        "span": settings.span,
        "unit": settings.unit,
        "frames_once": settings.aggregator == "mean",  # where a short video's frames repeat within a clip
    }


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Publish the card as JSON, and as a text with code that runs."""
    write_json(folder / CARD, dict(card))
    write_bytes(folder / README, _text(card).encode())


def _text(card: Mapping[str, Any]) -> str:
    given = card["input"]
    features, timed = given["features"], "times_s" in given
    lines = "\n".join(f"- {name}: `{value}`" for name, value in _told(given["backbone"], given["sampling"]).items())
    also = " and `times_s`, the seconds of the frames from the first of each clip" if timed else ""
    center = (
        "\n`center.npy` is the mean that `mofore search` subtracts: compare `v = e - center; v /= norm(v)`.\n"
        if card["center"]
        else ""
    )
    return f"""# A video embedder made by mofore

In: `features`, float32, {features["shape"]}{also}. Features are the backbone's, one vector a frame, in order of time:

{lines}

Out: `embedding`, float32, {card["output"]["embedding"]["shape"]}, of unit length, in the space `{card["space"]}`.
{center}
{_example(card)}
Each file was held against the networks that it was made of: no component differs by more than {card["tolerance"]:g}.
`model.safetensors` holds the weights alone, under the names of `mofore.open(...).model.embedder`.
"""


def _told(encoder: Mapping[str, Any], sampling: Mapping[str, Any]) -> dict[str, Any]:
    """What the text says of how the features are made; the rest is in the JSON."""
    pictures = {name: encoder.get("preprocess", {}).get(name) for name in ("size", "interpolation", "mean", "std")}
    named = {name: encoder.get(name) for name in ("backbone", "weights", "weights_sha256", "features", "precision")}
    return {name: value for name, value in {**named, **pictures, **sampling}.items() if value not in (None, 0)}


def _example(card: Mapping[str, Any]) -> str:
    """Code that makes a video's vector; without ONNX the JSON says how."""
    if "onnx" not in card["files"]:
        return "How a whole video becomes one vector is in `model.json`, under `video`.\n"
    return f"""How a whole video becomes one vector (the frames of a video differ in number, so one video at a time):

```python
{_code(card)}
```
"""


def _code(card: Mapping[str, Any]) -> str:
    video, timed = card["video"], "times_s" in card["input"]
    head = """import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")


def embed(features, times_s):  # (T, D), and the seconds (T,) of the frames
"""
    if video["pooling"] == "whole":
        return f"""{head}    return session.run(None, {{"features": features[None].astype(np.float32)}})[0][0]"""
    views, length, span = video["views"], video["clip_length"], video["span"]
    once = video["frames_once"]
    clips = '"features": features[rows].astype(np.float32)'
    clips += ', "times_s": (times_s[rows] - times_s[rows][:, :1]).astype(np.float32)' if timed else ""
    if video["unit"] == "frames":
        rows = f"""    span = min(len(features), {int(span)})
    start = {_spread("(len(features) - span)", views, "//")}
    step = np.arange({length}) * span // {length}
    rows = start[:, None] + {"np.unique(step)" if once else "step"}"""
    else:
        rows = f"""    passed_s = times_s - times_s[0]
    extent_s = passed_s[-1] * len(features) / max(1, len(features) - 1)
    span_s = min(extent_s, {span})
    start_s = {_spread("(extent_s - span_s)", views, "/")}
    when_s = start_s[:, None] + np.arange({length}) * span_s / {length}
    rows = np.clip(np.searchsorted(passed_s, when_s + 0.002, side="right") - 1, 0, len(features) - 1)"""
    unit = f"session.run(None, {{{clips}}})[0]"
    if once and video["unit"] == "seconds":
        unit = (
            "np.concatenate(\n        [\n            session.run(None, {'features': features[None, np.unique(row)]"
            ".astype(np.float32)})[0]\n            for row in rows\n        ]\n    )"
        )
    return f"""{head}{rows}
    unit = {unit}
    mean = unit.mean(axis=0)
    return mean / np.linalg.norm(mean)"""


def _spread(room: str, views: int, divided: str) -> str:
    """Where the views begin, see :func:`mofore.data.clips.spread_views`."""
    return f"np.arange({views}) * {room} {divided} {views - 1}" if views > 1 else f"np.array([{room} {divided} 2])"
