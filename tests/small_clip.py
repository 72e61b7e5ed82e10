"""A small open_clip model with random weights, made without a hub."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mofore.stages.backbone.text_tower import open_clip

NAME = "small-for-tests"
SMALL = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def small_open_clip(folder: Path) -> tuple[Path, torch.nn.Module]:
    """Make its name known to open_clip; the file of its weights, and the model."""
    (folder / f"{NAME}.json").write_text(json.dumps(SMALL))
    open_clip.add_model_config(folder / f"{NAME}.json")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model(NAME, pretrained=None, load_weights=False).eval()
    weights = folder / "weights.safetensors"
    save_file(model.state_dict(), weights)
    return weights, model


def small_pretraining(
    monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, tags: dict[str, dict[str, Any]], **config: Any
) -> Path:
    """Make a model with pre-trainings known to open_clip for one test; all of them give the weights of a file."""
    factory, path = open_clip.factory, folder / f"{name}.safetensors"
    (folder / f"{name}.json").write_text(json.dumps({**SMALL, **config}))
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", [*factory._MODEL_CONFIG_PATHS])
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    open_clip.add_model_config(folder / f"{name}.json")
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, name, tags)
    monkeypatch.setattr(factory, "download_pretrained", lambda _cfg, **_options: path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(open_clip.create_model(name, pretrained=None).state_dict(), path)
    return path
