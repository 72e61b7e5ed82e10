"""Texts beside pictures: a small open_clip model with random weights, the library's own tokenizer and towers."""

import numpy as np
import pytest
import torch

from mofore.data.errors import StageError
from mofore.data.settings import ExtractSettings
from mofore.stages import text_tower
from mofore.stages.encoders import Encoder, load_encoder
from mofore.stages.text_tower import encode_text, open_clip

from ..small_clip import NAME, small_open_clip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Encoder, torch.nn.Module]:
    """An encoder that loaded the weights of a model, and that model."""
    weights, model = small_open_clip(tmp_path_factory.mktemp("open_clip"))
    settings = ExtractSettings(backbone=f"open_clip:{NAME}", weights=str(weights))
    return load_encoder(settings, weights, torch.device("cpu")), model


def test_a_text_has_the_models_own_vector(small: tuple[Encoder, torch.nn.Module]) -> None:
    encoder, model = small
    text = "a video of a person playing the guitar."
    with torch.inference_mode():
        theirs = model.encode_text(open_clip.get_tokenizer(NAME)([text]), normalize=True)[0]  # type: ignore[operator]
    mine = encode_text(encoder, text)
    assert mine == pytest.approx(theirs.numpy(), abs=1e-5)
    assert np.linalg.norm(mine) == pytest.approx(1)
    assert mine @ encode_text(encoder, "a video of swimming.") < 0.9999


def test_a_text_lies_in_the_space_of_pictures(small: tuple[Encoder, torch.nn.Module]) -> None:
    encoder, _ = small
    features = encoder.encode(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    assert features.shape[1:] == encode_text(encoder, "x" * 2000).shape


def test_a_tokenizer_that_cannot_be_had_is_said(
    small: tuple[Encoder, torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(_name: str) -> None:
        raise OSError("no route\nto the hub")

    monkeypatch.setattr(text_tower.open_clip, "get_tokenizer", unreachable)
    with pytest.raises(StageError, match=f"the tokenizer of open_clip:{NAME} could not be had: no route Connect once"):
        encode_text(small[0], "x")
