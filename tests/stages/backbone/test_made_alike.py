"""An encoder of the same name that would make other features than the store's is told apart."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from mofore.data.settings import ExtractSettings
from mofore.stages.backbone.encoder import Encoder, load_encoder
from mofore.stages.backbone.made_alike import difference


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(ExtractSettings(backbone="random:test_efficientnet"), None, torch.device("cpu"))


def stored(encoder: Encoder, **changed: Any) -> dict[str, Any]:
    pinned: dict[str, Any] = json.loads(json.dumps({**encoder.provenance, **changed}))
    return pinned


def test_what_was_stored_of_an_encoder_is_alike(encoder: Encoder) -> None:
    assert difference(stored(encoder), encoder) is None
    assert difference({}, encoder) is None


def test_other_weights_and_another_preprocessing_are_named(encoder: Encoder) -> None:
    assert "weights 123 of random:test_efficientnet" in (
        difference(stored(encoder, weights_sha256="123"), encoder) or ""
    )
    before = {**encoder.preprocess.describe(), "fit": "squash"}
    said = difference(stored(encoder, preprocess=before), encoder)
    assert said == "preprocessing fit squash of random:test_efficientnet, which is now fit shortest"


def test_what_pictures_are_padded_with_matters_where_they_are(encoder: Encoder) -> None:
    other = stored(encoder, preprocess={**encoder.preprocess.describe(), "fill": (9, 9, 9)})
    assert difference(other, encoder) is None
    for pads in ({"fit": "longest"}, {"scale": (100, 100)}):
        now = {**encoder.preprocess.describe(), **pads}
        padding = replace(encoder, provenance={**encoder.provenance, "preprocess": now})
        other = stored(padding, preprocess={**now, "fill": (9, 9, 9)})
        assert "preprocessing fill [9, 9, 9] of" in (difference(other, padding) or "")


def test_the_activation_of_a_store_that_does_not_say_is_the_models(encoder: Encoder) -> None:
    old = stored(encoder, backbone="open_clip:ViT-B-32/openai")
    del old["quick_gelu"]
    now = replace(encoder, provenance={**encoder.provenance, "backbone": old["backbone"], "quick_gelu": True})
    said = "activation GELU of open_clip:ViT-B-32/openai, which is now QuickGELU"
    assert difference(old, now) == said
    assert difference({**old, "quick_gelu": True}, now) is None
    assert difference({**old, "backbone": "open_clip:ViT-B-32-quickgelu/openai"}, now) is None
