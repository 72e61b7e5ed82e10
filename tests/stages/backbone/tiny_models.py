"""Tiny models of each family of transformers, with random weights, in folders as ``save_pretrained`` writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mofore.stages.backbone import hf_models  # noqa: F401 - makes torchvision importable, which transformers asks for

transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install 'mofore[hf]'")

SIDE, FRAMES = 32, 8
TOWER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": SIDE,
    "patch_size": 8,
}
TEXT = {"vocab_size": 99, **{name: TOWER[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")}}
TEXT |= {"intermediate_size": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
CROP = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}


def _vjepa2(head: bool = False) -> tuple[Any, Any]:
    config = transformers.VJEPA2Config(
        **{name: TOWER[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "patch_size")},
        crop_size=SIDE,
        frames_per_clip=FRAMES,
        mlp_ratio=2.0,
        pred_hidden_size=24,
        pred_num_hidden_layers=1,
        pred_num_attention_heads=2,
        pred_num_mask_tokens=2,
        num_pooler_layers=1,
    )
    kind = transformers.VJEPA2ForVideoClassification if head else transformers.VJEPA2Model
    return kind(config), transformers.VJEPA2VideoProcessor(crop_size=SIDE)


def _videomae() -> tuple[Any, Any]:
    config = transformers.VideoMAEConfig(**TOWER, num_frames=FRAMES, tubelet_size=2)
    return transformers.VideoMAEModel(config), transformers.VideoMAEImageProcessor(**CROP)


def _timesformer() -> tuple[Any, Any]:
    config = transformers.TimesformerConfig(**TOWER, num_frames=FRAMES)
    return transformers.TimesformerModel(config), transformers.VideoMAEImageProcessor(**CROP)


def _vivit() -> tuple[Any, Any]:
    tower = {name: value for name, value in TOWER.items() if name != "patch_size"}
    config = transformers.VivitConfig(**tower, num_frames=FRAMES, tubelet_size=[2, 8, 8])
    model = transformers.VivitModel(config, add_pooling_layer=False)
    return model, transformers.VivitImageProcessor(size={"shortest_edge": 36}, crop_size=CROP["crop_size"])


def _xclip() -> tuple[Any, Any]:
    mit = {"mit_hidden_size": 16, "mit_intermediate_size": 32, "mit_num_hidden_layers": 1, "mit_num_attention_heads": 2}
    vision = {**TOWER, **mit, "num_frames": FRAMES}
    config = transformers.XCLIPConfig(
        text_config=TEXT, vision_config=vision, projection_dim=16, prompt_num_attention_heads=2
    )
    return transformers.XCLIPModel(config), transformers.VideoMAEImageProcessor(**CROP)


def _dinov3() -> tuple[Any, Any]:
    config = transformers.DINOv3ViTConfig(**TOWER, num_register_tokens=4)
    size = {"height": SIDE, "width": SIDE}
    return transformers.DINOv3ViTModel(config), transformers.DINOv3ViTImageProcessor(size=size)


def _siglip() -> tuple[Any, Any]:
    text = {**TEXT, "projection_size": 32}
    config = transformers.SiglipConfig(text_config=text, vision_config=TOWER)
    return transformers.SiglipModel(config), transformers.SiglipImageProcessor(size={"height": SIDE, "width": SIDE})


def _clip() -> tuple[Any, Any]:
    config = transformers.CLIPConfig(text_config=TEXT, vision_config=TOWER, projection_dim=16)
    return transformers.CLIPModel(config), transformers.CLIPImageProcessor(**CROP)


FAMILIES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "vjepa2": _vjepa2,
    "vjepa2_head": lambda: _vjepa2(head=True),
    "videomae": _videomae,
    "timesformer": _timesformer,
    "vivit": _vivit,
    "xclip": _xclip,
    "dinov3": _dinov3,
    "siglip": _siglip,
    "clip": _clip,
}


def save_tiny(name: str, folder: Path) -> Path:
    """Write one into a folder; its weights are spread so that features differ between inputs."""
    torch.manual_seed(0)
    model, processor = FAMILIES[name]()
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.ndim > 1:
                tensor.normal_(0.0, 0.2)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
