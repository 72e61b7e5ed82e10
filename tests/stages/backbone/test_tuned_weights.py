"""Tuned weights build and preprocess as the encoder that they were tuned from, wherever their file lies."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mofore.cache.checkpoint import save_checkpoint
from mofore.data.settings import ExtractSettings
from mofore.stages.backbone.encoder import Encoder, load_encoder
from mofore.stages.backbone.tuned_weights import ENCODER, describe_encoder, read_carried

from ...small_clip import small_pretraining

CPU = torch.device("cpu")
NAME = "small-tuned"
TAGS = {
    "quick": {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2), "interpolation": "bilinear", "resize_mode": "squash",
              "quick_gelu": True},
    "plain": {},
}  # fmt: skip
X = (torch.rand(2, 40, 64, 3, generator=torch.Generator().manual_seed(0)) * 255).to(torch.uint8)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of a model whose two pre-trainings differ."""
    return small_pretraining(monkeypatch, tmp_path, NAME, TAGS)


def loaded(backbone: str, weights: Path | None, **settings: Any) -> Encoder:
    return load_encoder(ExtractSettings(backbone=backbone, **settings), weights, CPU)


def tuned(encoder: Encoder, path: Path) -> Path:
    meta = {"backbone": "x", ENCODER: describe_encoder(encoder.provenance)}
    save_checkpoint(path, encoder.model.state_dict(), meta)
    return path


def features(encoder: Encoder) -> torch.Tensor:
    return encoder.encode(encoder.preprocess(X))


def test_tuned_weights_are_used_as_they_were_tuned_with_or_without_the_tag(weights: Path, tmp_path: Path) -> None:
    before = loaded(f"open_clip:{NAME}/quick", weights)
    path = tuned(before, tmp_path / "tuned.safetensors")
    moved = shutil.copy(path, tmp_path / "elsewhere.safetensors")
    for backbone in (f"open_clip:{NAME}/quick", f"open_clip:{NAME}"):
        after = loaded(backbone, moved)
        assert after.preprocess == before.preprocess
        assert torch.equal(features(after), features(before))
        assert after.notes == ()
    other = loaded(f"open_clip:{NAME}/plain", moved)
    assert torch.equal(features(other), features(before))
    assert other.notes == (
        f"'elsewhere.safetensors' was tuned from open_clip:{NAME}/quick: its preprocessing is taken, not that of "
        f"open_clip:{NAME}/plain",
    )


@pytest.mark.parametrize("backbone", ["random:test_vit", "random:test_efficientnet"])
def test_the_size_that_weights_were_tuned_at_is_theirs_unless_another_is_asked_for(
    backbone: str, tmp_path: Path
) -> None:
    before = loaded(backbone, None, image_size=96)
    path = tuned(before, tmp_path / "tuned.safetensors")
    after = loaded(backbone, path)
    assert after.preprocess == before.preprocess
    assert torch.equal(features(after), features(before))
    if "vit" not in backbone:
        assert loaded(backbone, path, image_size=64).preprocess == loaded(backbone, None, image_size=64).preprocess


def test_an_open_clip_model_that_was_tuned_at_another_size_loads_at_it(weights: Path, tmp_path: Path) -> None:
    before = loaded(f"open_clip:{NAME}/quick", weights, image_size=64)
    again = loaded(f"open_clip:{NAME}", tuned(before, tmp_path / "tuned.safetensors"))
    assert again.preprocess == before.preprocess
    assert torch.equal(features(again), features(before))
    assert again.provenance["settings"]["image_size"] == 64


def test_what_a_library_now_says_otherwise_does_not_change_tuned_weights(tmp_path: Path) -> None:
    before = loaded("random:test_efficientnet", None)
    other = replace(before.preprocess, fit="squash", mean=(0.0, 0.0, 0.0))
    provenance = {**before.provenance, "preprocess": other.describe()}
    path = tmp_path / "tuned.safetensors"
    save_checkpoint(path, before.model.state_dict(), {ENCODER: describe_encoder(provenance)})
    assert loaded("random:test_efficientnet", path).preprocess == other


def test_files_of_others_carry_nothing(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"x")
    (tmp_path / "w.pth").write_bytes(b"x")
    for path in (weights, tmp_path / "broken.safetensors", tmp_path / "w.pth", tmp_path / "none.safetensors", None):
        assert read_carried(path) is None
