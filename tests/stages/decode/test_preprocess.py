"""Our preprocessing against the transforms that timm and open_clip use themselves."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from mofore.data.errors import BackboneError
from mofore.stages.backbone.encoder import timm
from mofore.stages.backbone.open_clip_models import open_clip
from mofore.stages.decode.preprocess import Preprocess, open_clip_preprocess, timm_preprocess

SIZES = [(240, 320), (320, 240), (97, 131), (224, 224), (480, 270)]


def picture(height: int, width: int) -> np.ndarray:
    """Smooth waves with some noise: like a photograph, unlike noise alone, which no two resizers agree on."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / 40
    waves = np.stack([np.sin(x + y), np.cos(x * 1.3 - y), np.sin(2 * y)], axis=-1)
    return np.clip(128 + 90 * waves + rng.normal(0, 6, waves.shape), 0, 255).astype(np.uint8)


def ours(preprocess: Preprocess, image: np.ndarray) -> torch.Tensor:
    return preprocess.normalise(preprocess(torch.from_numpy(image)[None]))[0]


def assert_alike(mine: torch.Tensor, theirs: torch.Tensor, std: tuple[float, ...]) -> None:
    """PIL rounds after each of its two passes and torch does not: a few levels of 255, and mostly none."""
    assert mine.shape == theirs.shape
    levels = (mine - theirs).abs() * 255 * torch.tensor(std).view(3, 1, 1)
    assert levels.max() < 4.0
    assert levels.mean() < 0.5


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
def test_timm_sees_the_same_picture(size: tuple[int, int], interpolation: str, crop_mode: str) -> None:
    config = {
        "input_size": (3, 160, 160), "interpolation": interpolation, "crop_pct": 0.875, "crop_mode": crop_mode,
        "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225),
    }  # fmt: skip
    theirs = timm.data.create_transform(**config, is_training=False)
    image = picture(*size)
    assert_alike(ours(timm_preprocess(config), image), theirs(Image.fromarray(image)), (0.229, 0.224, 0.225))


def pretrained_configs() -> list[dict[str, Any]]:
    """One of each way in which timm's pretrained models are shown a picture, at a side that is quick."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name in timm.list_pretrained():
        pretrained = timm.get_pretrained_cfg(name).to_dict()
        config = timm.data.resolve_data_config(pretrained_cfg=pretrained)
        _, height, width = config["input_size"]
        key = (config["crop_mode"], config["crop_pct"], config["interpolation"], height / width)
        found[key] = {**config, "input_size": (3, round(112 * height / width), 112)}
    return list(found.values())


def test_every_way_of_timms_pretrained_models_is_reproduced() -> None:
    image = picture(97, 131)
    configs = pretrained_configs()
    assert {config["crop_mode"] for config in configs} == {"center", "squash", "border"}
    assert max(config["crop_pct"] for config in configs) > 1  # the crop is then larger than the picture
    for config in configs:
        theirs = timm.data.create_transform(**config, is_training=False)(Image.fromarray(image))
        assert_alike(ours(timm_preprocess(config), image), theirs, config["std"])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
def test_a_crop_larger_than_the_picture_is_padded_as_timm_pads_it(size: tuple[int, int], crop_mode: str) -> None:
    config = {
        "input_size": (3, 160, 161), "interpolation": "bicubic", "crop_pct": 1.15, "crop_mode": crop_mode,
        "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225),
    }  # fmt: skip
    theirs = timm.data.create_transform(**config, is_training=False)
    image = picture(*size)
    assert_alike(ours(timm_preprocess(config), image), theirs(Image.fromarray(image)), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resize_mode", ["shortest", "squash", "longest"])
def test_open_clip_sees_the_same_picture(size: tuple[int, int], resize_mode: str) -> None:
    config = {
        "size": 160, "interpolation": "bicubic", "resize_mode": resize_mode, "fill_color": 0,
        "mean": (0.48, 0.46, 0.41), "std": (0.27, 0.26, 0.28),
    }  # fmt: skip
    theirs = open_clip.image_transform(
        160, is_train=False, mean=config["mean"], std=config["std"], resize_mode=resize_mode,
        interpolation="bicubic", fill_color=0,
    )  # fmt: skip
    image = picture(*size)
    assert_alike(ours(open_clip_preprocess(config), image), theirs(Image.fromarray(image)), (0.27, 0.26, 0.28))


def test_an_interpolation_that_cannot_be_reproduced_is_refused() -> None:
    with pytest.raises(BackboneError, match="'lanczos'"):
        Preprocess((8, 8), (8, 8), "squash", "lanczos", (0, 0, 0), (1, 1, 1))


def test_what_the_crop_leaves_out_need_not_be_made() -> None:
    """Pixel for pixel the crop of the whole resized frame, for odd sizes, enlarged and made smaller."""
    rng = np.random.default_rng(1)
    for _ in range(300):
        height, width, side = (int(n) for n in rng.integers(10, 140, 3))
        scale = int(side / rng.choice([0.7, 0.875, 0.95, 1.0]))
        fit: Any = rng.choice(["shortest", "squash"])
        mode = str(rng.choice(["bilinear", "bicubic"]))
        preprocess = Preprocess((side, side), (scale, scale), fit, mode, (0.5,) * 3, (0.5,) * 3)
        frames = torch.from_numpy(rng.integers(0, 256, (int(rng.integers(1, 7)), height, width, 3), np.uint8))
        whole = frames.permute(0, 3, 1, 2)
        target = preprocess.resized(height, width)
        if target != (height, width):
            whole = functional.interpolate(whole, target, mode=mode, antialias=True, align_corners=False)
        assert torch.equal(preprocess(frames), preprocess.crop_or_pad(whole)), (height, width, side, scale, fit, mode)
