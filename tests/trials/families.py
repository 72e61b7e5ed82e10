"""The smallest model of every family of timm, with random weights, against timm's own transform and forward pass.

python -m mofore.tests.trials.families [NAME ...]

For each: it loads, sees the pixels that timm's transform gives (to within what uint8 resizing rounds), gives timm's
own features, and the same again with its batch norms folded. Exit code 1 if one does not.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from mofore.data.errors import MoforeError
from mofore.data.settings import ExtractSettings
from mofore.stages.backbone.encoder import Encoder, load_encoder
from mofore.stages.backbone.network import ComputeMode

SMALL = ("test_", "atto", "femto", "pico", "nano", "xxs", "xs", "tiny", "mini", "_t", "small", "_s", "m0", "b0", "18")
PIXELS = 1.0  # levels that pixels may differ by on average
OFF = 1e-3  # of the length of a feature


def smallest(family: str) -> str | None:
    """The model of a family whose name promises the fewest parameters."""
    import timm

    return min(timm.list_models(module=family), key=_promise, default=None)


def _promise(name: str) -> tuple[int, list[int], str]:
    rank = next((number for number, word in enumerate(SMALL) if word in name), len(SMALL))
    return rank, [int(number) for number in re.findall(r"\d+", name)], name


def complaint(name: str) -> str:
    """What is wrong with a model, or nothing."""
    import timm
    from timm.data import create_transform, resolve_model_data_config

    try:
        encoder = load_encoder(ExtractSettings(backbone=f"random:{name}"), None, torch.device("cpu"))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model: Any = timm.create_model(name, num_classes=0).eval()
        picture = _picture()
        own_1CHW = create_transform(**resolve_model_data_config(model), is_training=False)(Image.fromarray(picture))[
            None
        ]
        ours_BCHW = encoder.preprocess(torch.from_numpy(picture)[None])
        std_C = torch.tensor(encoder.preprocess.std).view(3, 1, 1)
        off = float(((encoder.preprocess.normalise(ours_BCHW) - own_1CHW) * std_C * 255).abs().mean())
        if off > PIXELS:
            return f"pixels differ by {off:.2f} levels"
        return _features_complaint(encoder, model, ours_BCHW.repeat(2, 1, 1, 1))
    except (MoforeError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, AssertionError) as error:
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:110]}"


@torch.inference_mode()
def _features_complaint(encoder: Encoder, model: Any, frames_BCHW: torch.Tensor) -> str:
    wanted_BD = model(encoder.preprocess.normalise(frames_BCHW))
    for arithmetic in (ComputeMode(), ComputeMode(folded=True)):
        found_BD = encoder.at(arithmetic, frames_BCHW).encode(frames_BCHW)
        if found_BD.shape != wanted_BD.shape:
            return f"features of shape {tuple(found_BD.shape)}, timm's are {tuple(wanted_BD.shape)}"
        # Not a cosine: random weights may give features too small for torch's.
        if float(((found_BD - wanted_BD).norm(dim=1) / wanted_BD.norm(dim=1)).max()) > OFF:
            return f"{arithmetic}: features are others than timm's"
    return ""


def _picture() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Smooth, 240 x 320, in colours."""
    y, x = np.mgrid[0:240, 0:320]
    waves = [128 + 100 * np.sin(x / (17 + 5 * c) + c) * np.cos(y / (23 - 4 * c)) for c in range(3)]
    return np.stack(waves, 2).astype(np.uint8)


def examine(names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Family, model and complaint of each."""
    import timm

    if names:
        yield from ((name, name, complaint(name)) for name in names)
        return
    for family in timm.list_modules():
        name = smallest(family)
        if name is not None:
            yield family, name, complaint(name)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    names: list[str] = parser.parse_args().names
    warnings.simplefilter("ignore")
    looked = wrong = 0
    for family, name, said in examine(names):
        looked, wrong = looked + 1, wrong + bool(said)
        print(f"{'WRONG' if said else 'right'}  {family}: {name}{': ' if said else ''}{said}", flush=True)
    print(f"{looked} families, {wrong} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
