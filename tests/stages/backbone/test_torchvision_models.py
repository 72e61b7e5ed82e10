"""torchvision's models with seeded random weights from a file: nothing is fetched."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mofore.data.errors import BackboneError
from mofore.data.settings import ExtractSettings
from mofore.stages.backbone import torchvision_models
from mofore.stages.backbone.encoder import Encoder, check_name, load_encoder
from mofore.stages.backbone.encoder import parse_backbone as parse

models = pytest.importorskip("torchvision.models")


def saved(name: str, folder: Path) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    model = models.get_model(name, weights=None).eval()
    torch.save(model.state_dict(), folder / "weights.pth")
    return model, folder / "weights.pth"


def encoder(name: str, weights: Path, **settings: Any) -> Encoder:
    return load_encoder(ExtractSettings(backbone=f"torchvision:{name}", **settings), weights, torch.device("cpu"))


@pytest.mark.parametrize(("name", "frames"), [("r3d_18", 4), ("resnet18", 0)])
def test_pixels_and_features_are_torchvisions_own(name: str, frames: int, tmp_path: Path) -> None:
    """Features to 1e-4 of the largest, for convolutions over channels last sum in another order; pixels to a level."""
    model, weights = saved(name, tmp_path)
    loaded = encoder(name, weights, window=frames)
    pictures = np.random.default_rng(0).integers(0, 256, (max(frames, 1), 120, 160, 3), np.uint8)
    tensor_TCHW = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    ours = loaded.preprocess(torch.from_numpy(pictures))
    shown = ours[None] if frames else ours
    preset = models.get_model_weights(name).DEFAULT.transforms()
    theirs = preset(tensor_TCHW)  # of a video (C, T, H, W)
    normalised = loaded.preprocess.normalise(ours)
    own = normalised.transpose(0, 1) if frames else normalised
    assert own.shape == theirs.shape
    assert float((own - theirs).abs().max()) <= 1.01 / 255 / min(loaded.preprocess.std)
    model.fc = nn.Identity()
    with torch.inference_mode():
        expected = model(own[None] if frames else own).flatten(1)
    found = loaded.encode(shown)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 1e-4 * float(expected.abs().max())


@pytest.mark.parametrize(
    ("name", "size", "resized"), [("s3d", (224, 224), (256, 256)), ("mvit_v2_s", (224, 224), (256, 256))]
)
def test_what_video_models_see_is_as_their_weights_say(
    name: str, size: tuple[int, int], resized: tuple[int, int]
) -> None:
    made = torchvision_models.preset_preprocess(models.get_model_weights(name).DEFAULT.transforms())
    preset = models.get_model_weights(name).DEFAULT.transforms()
    assert (made.size, made.scale, made.mean) == (size, resized, tuple(preset.mean))
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 120, 160, 3), np.uint8))
    ours, theirs = made.normalise(made(pictures)), preset(pictures.permute(0, 3, 1, 2)).transpose(0, 1)
    assert float((ours - theirs).abs().max()) <= 1.01 / 255 / min(made.std)


def test_a_length_that_the_model_was_not_built_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="takes 16 frames"):
        encoder("mvit_v2_s", tmp_path, window=8)
    _, weights = saved("resnet18", tmp_path)
    with pytest.raises(BackboneError, match="one frame at a time"):
        encoder("resnet18", weights, window=8)
    with pytest.raises(BackboneError, match=r"extract\.output"):
        encoder("resnet18", weights, output="layer:2")


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(BackboneError, match="did you mean r3d_18"):
        check_name(parse("torchvision:r3d_81"), with_weights=False)


def test_a_torchvision_that_cannot_be_imported_is_said_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torchvision.models", None)
    monkeypatch.delattr(__import__("torchvision"), "models")
    with pytest.raises(BackboneError, match=r"pip install torch==2\.14\.1 torchvision==0\.29\.1"):
        torchvision_models.check_torchvision(parse("torchvision:r3d_18"))
