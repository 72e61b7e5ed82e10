"""Preprocessing, activation and size of open_clip's models: as the pre-training says, by tag and from a file."""

import copy
import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from mofore.data.backbone import Backbone, parse_backbone
from mofore.data.errors import BackboneError, StageError
from mofore.data.settings import ExtractSettings
from mofore.stages.backbone import hub, open_clip_models
from mofore.stages.backbone.encoder import Encoder, load_encoder
from mofore.stages.backbone.open_clip_models import create, find_recipe, has_quick_gelu, open_clip
from mofore.stages.decode.preprocess import open_clip_preprocess

from ...small_clip import SMALL, small_pretraining
from ..decode.test_preprocess import assert_alike, ours, picture

CPU = torch.device("cpu")
factory, transform = open_clip.factory, open_clip.transform
TAGS = open_clip.list_pretrained()
Register = Callable[..., Path]


class Built(nn.Module):
    """What open_clip's factory asked for, in place of a model."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        size = config["vision_cfg"]["image_size"]
        self.visual: Any = nn.Module()
        self.visual.image_size = tuple(size) if isinstance(size, list) else (size, size)
        self.visual.set_input_size = lambda _size: None
        self.quick_gelu = bool(config.get("quick_gelu", False))


@pytest.fixture
def unbuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip's own factory, but that it neither fetches nor builds."""
    for name in ("CLIP", "CustomTextCLIP", "CoCa"):
        monkeypatch.setattr(factory, name, Built)
    monkeypatch.setattr(factory, "download_pretrained", lambda *_args, **_options: "file")
    monkeypatch.setattr(factory, "load_checkpoint", lambda *_args, **_options: {})
    monkeypatch.setattr(open_clip_models, "find_spec", lambda _name: object())
    # Else open_clip installs one that shows everything.
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])


def made(backbone: Backbone, *, from_file: bool) -> Any:
    recipe = find_recipe(backbone, None, from_file=from_file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return create(backbone, recipe, 0, from_file=from_file)


@pytest.mark.usefixtures("unbuilt")
@pytest.mark.parametrize("from_file", [False, True])
def test_every_tag_is_preprocessed_and_activated_as_it_says(from_file: bool) -> None:
    assert len(TAGS) > 150
    for name, tag in TAGS:
        model = made(Backbone("open_clip", name, tag), from_file=from_file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = factory.create_model_and_transforms(name, tag)[0]
        assert model.visual.preprocess_cfg == theirs.visual.preprocess_cfg, (name, tag)
        said = open_clip.get_pretrained_cfg(name, tag).get("quick_gelu", theirs.quick_gelu)
        assert model.quick_gelu == said, (name, tag)


@pytest.mark.usefixtures("unbuilt")
def test_a_tag_of_quick_gelu_builds_what_the_variant_of_that_name_builds() -> None:
    found = 0
    for name, tag in TAGS:
        variant = f"{name}-quickgelu"
        if open_clip.get_pretrained_cfg(name, tag).get("quick_gelu") and variant in open_clip.list_models():
            plain, quick = open_clip_models.model_config(name), open_clip_models.model_config(variant)
            assert {**plain, "quick_gelu": True} == quick
            assert made(Backbone("open_clip", name, tag), from_file=False).quick_gelu
            found += 1
    assert found > 20


def test_every_way_of_preprocessing_is_open_clips_own_transform() -> None:
    image, seen = picture(120, 90), set()
    for name, tag in TAGS:
        said = dict(open_clip_models.recipe_of_tag(name, tag).preprocess)
        key = json.dumps(said)
        if key not in seen:
            seen.add(key)
            config = {**said, "size": 64}
            theirs = transform.image_transform_v2(transform.PreprocessCfg(**config), is_train=False)
            assert_alike(ours(open_clip_preprocess(config), image), theirs(Image.fromarray(image)), said["std"])
    assert len(seen) > 5


@pytest.mark.parametrize(
    ("backbone", "groups"),
    [
        ("open_clip:ViT-B-32", ["QuickGELU: openai, laion400m_e31", "; GELU: laion2b_e16, laion2b_s34b_b79k"]),
        ("open_clip:ViT-L-14", ["mean (0.5, 0.5, 0.5), std (0.5, 0.5, 0.5): laion2b_s32b_b82k"]),
        ("open_clip:ViT-H-14-quickgelu", ["resize_mode shortest: metaclip_fullcc", "resize_mode squash: dfn5b"]),
    ],
)
def test_a_file_is_refused_where_the_models_tags_differ(backbone: str, groups: list[str]) -> None:
    with pytest.raises(BackboneError, match=f"write {backbone}/TAG") as refused:
        find_recipe(parse_backbone(backbone), None, from_file=True)
    assert all(group in str(refused.value) for group in groups)


def test_a_file_takes_what_all_tags_of_its_model_say() -> None:
    recipe = find_recipe(parse_backbone("open_clip:ViT-B-16-SigLIP2"), None, from_file=True)
    assert recipe == open_clip_models.recipe_of_tag("ViT-B-16-SigLIP2", "webli")
    assert recipe.preprocess["resize_mode"] == "squash"


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Register:
    """Make a small model with a pre-training known to open_clip; its weights are a file."""

    def register(name: str, tag: dict[str, Any], **config: Any) -> Path:
        return small_pretraining(monkeypatch, tmp_path, name, {"its_tag": tag}, **config)

    return register


def loaded(backbone: str, weights: Path | None, image_size: int = 0) -> Encoder:
    return load_encoder(ExtractSettings(backbone=backbone, image_size=image_size), weights, CPU)


def frames(side: int) -> torch.Tensor:
    noise = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    return (noise * 255).to(torch.uint8)


TAG = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2), "interpolation": "bilinear", "resize_mode": "squash"}
TRUNK = {"image_size": 160, "timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "token"}


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("from_file", [True, False])
def test_the_activation_is_the_tags_and_not_the_models(register: Register, quick: bool, from_file: bool) -> None:
    path = register("small-act", {**TAG, "quick_gelu": quick}, quick_gelu=not quick)
    encoder = loaded("open_clip:small-act/its_tag", path if from_file else None)
    assert has_quick_gelu(encoder.model) is quick
    assert encoder.provenance["quick_gelu"] is quick
    assert (encoder.preprocess.mean, encoder.preprocess.fit) == (TAG["mean"], "squash")


@pytest.mark.parametrize("vision", [None, TRUNK])
def test_another_image_size_gives_the_same_features_by_tag_and_from_a_file(
    register: Register, vision: dict[str, Any] | None
) -> None:
    path = register("small-size", TAG, **({"vision_cfg": vision} if vision else {}))
    side = 96 if vision else 64
    by_tag = loaded("open_clip:small-size/its_tag", None, side)
    from_file = loaded("open_clip:small-size/its_tag", path, side)
    assert by_tag.preprocess == from_file.preprocess
    assert from_file.preprocess.size == (side, side)
    assert torch.equal(by_tag.encode(frames(side)), from_file.encode(frames(side)))
    assert by_tag.provenance["weights_sha256"] == from_file.provenance["weights_sha256"]
    tuned = path.with_name("tuned.safetensors")  # that is, of this size already
    save_file({name: tensor.contiguous() for name, tensor in from_file.model.state_dict().items()}, tuned)
    assert torch.equal(
        loaded("open_clip:small-size/its_tag", tuned, side).encode(frames(side)), by_tag.encode(frames(side))
    )


def test_texts_of_another_length_are_resampled_as_by_tag(register: Register, tmp_path: Path) -> None:
    register("small-text", TAG)
    short = {**SMALL["text_cfg"], "context_length": 32}
    path = register("small-short", TAG, text_cfg=short)
    state = open_clip_models.fitted_to_size(
        factory.load_state_dict(str(path)), open_clip.create_model("small-text", pretrained=None), 32
    )
    assert state["positional_embedding"].shape == (77, 32)


def test_an_attention_pool_of_one_size_is_said_before_anything_is_fetched() -> None:
    with pytest.raises(BackboneError, match=r"extract\.image_size = 288: the attention pool of open_clip:RN50/openai"):
        loaded("open_clip:RN50/openai", None, 288)


def test_text_towers_of_transformers_name_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_clip_models, "find_spec", lambda _name: None)
    with pytest.raises(BackboneError, match=r"package transformers, which is missing: pip install 'mofore\[text\]'"):
        loaded("open_clip:roberta-ViT-B-32/laion2b_s12b_b32k", None)


def test_what_open_clip_warns_of_is_a_note(register: Register) -> None:
    register("small-warned", TAG, quick_gelu=True)  # the tag says nothing of it: the model's own is taken
    encoder = loaded("open_clip:small-warned/its_tag", None)
    assert encoder.provenance["quick_gelu"] is True
    (note,) = encoder.notes
    assert "QuickGELU mismatch" in note
    assert loaded("open_clip:small-warned/its_tag", register("small-warned", TAG)).notes == ()


def test_positions_that_open_clip_resamples_are_a_note(register: Register) -> None:
    register("small-resized", TAG)
    (note,) = loaded("open_clip:small-resized/its_tag", None, 64).notes
    assert note.startswith("Resizing position embedding grid-size from (2, 2) to (4, 4)")


def test_loading_leaves_logging_and_the_random_state_alone(register: Register) -> None:
    path, root = register("small-quiet", TAG), logging.getLogger()
    before, state = (root.handlers[:], root.level, logging.getLogger("huggingface_hub").level), torch.get_rng_state()
    loaded("open_clip:small-quiet", path)
    assert (root.handlers[:], root.level, logging.getLogger("huggingface_hub").level) == before
    assert torch.equal(torch.get_rng_state(), state)


def test_a_folder_that_holds_no_model_is_not_a_matter_of_the_hub(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"local-dir:.*' cannot be loaded: .*open_clip_config\.json"):
        loaded(f"open_clip:local-dir:{tmp_path}", None)


def test_a_repositorys_own_configuration_is_enough_for_weights_of_a_file(
    register: Register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = register("small-hub", {})
    config = {"model_cfg": {**SMALL, "quick_gelu": True}, "preprocess_cfg": TAG}
    monkeypatch.setattr(factory, "_get_hf_config", lambda *_args, **_options: copy.deepcopy(config))
    monkeypatch.setattr(hub, "_resolves", lambda _endpoint: False)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    encoder = loaded("open_clip:hf-hub:somebody/small", weights)
    assert (encoder.preprocess.fit, encoder.provenance["quick_gelu"], encoder.notes) == ("squash", True, ())


@pytest.mark.parametrize("backbone", ["open_clip:ViT-B-32/openai", "open_clip:hf-hub:nobody/nothing"])
def test_an_unreachable_hub_is_said(backbone: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "_resolves", lambda _endpoint: False)
    with pytest.raises(StageError, match="could not be had from the model hub"):
        loaded(backbone, None)


def test_a_folder_of_its_own_configuration_says_how_it_is_used(register: Register, tmp_path: Path) -> None:
    weights = register("small-folder", {})
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": {**SMALL, "quick_gelu": True}, "preprocess_cfg": TAG})
    )
    (folder / "open_clip_model.safetensors").write_bytes(weights.read_bytes())
    for path in (None, weights):
        encoder = loaded(f"open_clip:local-dir:{folder}", path)
        assert (encoder.preprocess.interpolation, encoder.provenance["quick_gelu"]) == ("bilinear", True)
        assert encoder.provenance["weights"] == (path.name if path else "folder")
        assert encoder.notes == ()
