"""Texts beside pictures: a small open_clip model with random weights, the library's own tokenizer and towers."""

import logging

import numpy as np
import pytest
import torch

from mofore.data.errors import BackboneError, StageError
from mofore.data.settings import ExtractSettings
from mofore.stages.backbone import text_tower
from mofore.stages.backbone.encoder import Encoder, load_encoder
from mofore.stages.backbone.text_tower import encode_text, open_clip, refuse_missing_tokenizer
from mofore.stages.search.encoder import QueryEncoder

from ...small_clip import NAME, small_open_clip


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


def test_another_tokenizer_in_place_of_the_models_is_refused(
    small: tuple[Encoder, torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    def falls_back(_name: str) -> object:
        logging.warning("Could not load config. Falling back to using model_id for tokenizer.")
        return open_clip.SimpleTokenizer()

    monkeypatch.setattr(text_tower.open_clip, "get_tokenizer", falls_back)
    with pytest.raises(StageError, match="could not be had: Could not load config"):
        encode_text(small[0], "x")


NEEDING = [
    name for name in open_clip.list_models() if text_tower.model_config(name)["text_cfg"].get("hf_tokenizer_name")
]


def test_a_missing_package_is_named_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tower, "find_spec", lambda _name: None)
    worldwide = {name for name in open_clip.list_models() if "worldwide" in name}  # from 3.1 on
    assert {"ViT-B-16-SigLIP2", "ViT-L-14-CLIPA", *worldwide} <= set(NEEDING)
    said = r"the tokenizer of open_clip:\S+ needs the package transformers, .*: pip install 'mofore\[text\]'"
    for name in NEEDING:
        with pytest.raises(BackboneError, match=said):
            refuse_missing_tokenizer(f"open_clip:{name}/x")
    for name in ("ViT-B-32", "MobileCLIP2-S0", "PE-Core-B-16"):
        refuse_missing_tokenizer(f"open_clip:{name}/x")
    settings = ExtractSettings(backbone="open_clip:ViT-B-16-SigLIP2/webli")
    with pytest.raises(BackboneError, match=said):  # and not that its weights cannot be had
        QueryEncoder(settings, None, {}).of_text("x")


@pytest.mark.parametrize(
    ("error", "package"),
    [
        (ModuleNotFoundError("No module named 'transformers'", name="transformers"), "transformers"),
        (ValueError("`tiktoken` is required to read a `tiktoken` file."), "sentencepiece with protobuf"),
        (ImportError("\nT5Converter requires the protobuf library"), "sentencepiece with protobuf"),
    ],
)
def test_what_a_tokenizer_needs_is_named(
    small: tuple[Encoder, torch.nn.Module], monkeypatch: pytest.MonkeyPatch, error: Exception, package: str
) -> None:
    def failing(_name: str) -> None:
        raise error

    monkeypatch.setattr(text_tower.open_clip, "get_tokenizer", failing)
    with pytest.raises(BackboneError, match=rf"needs the package {package}, .*'mofore\[text\]'"):
        encode_text(small[0], "x")
