from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mofore.data.backbone import parse_backbone
from mofore.data.errors import BackboneError, StageError
from mofore.data.settings import ExtractSettings
from mofore.stages.backbone import hub
from mofore.stages.backbone.encoder import Encoder, check_name, load_encoder, timm
from mofore.stages.backbone.open_clip_models import open_clip

CPU = torch.device("cpu")
SMALL = "test_efficientnet"


def frames(count: int, side: int = 160) -> torch.Tensor:
    noise = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    return (noise * 255).to(torch.uint8)


def encoder(backbone: str, weights: Path | None = None, **settings: int) -> Encoder:
    return load_encoder(ExtractSettings(backbone=backbone, **settings), weights, CPU)


def test_random_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = encoder(f"random:{SMALL}").encode(frames(2))
    torch.manual_seed(2)
    assert torch.equal(encoder(f"random:{SMALL}").encode(frames(2)), first)
    assert not torch.equal(encoder(f"random:{SMALL}", seed=1).encode(frames(2)), first)


def test_loading_leaves_the_callers_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    encoder(f"random:{SMALL}")
    assert torch.equal(torch.rand(3), expected)


def test_features_are_timms_own() -> None:
    loaded = encoder(f"random:{SMALL}")
    model = timm.create_model(SMALL, num_classes=0).eval()
    model.load_state_dict(loaded.model.state_dict())
    x = frames(3)
    with torch.inference_mode():
        theirs = model(loaded.preprocess.normalise(x))
    assert torch.allclose(loaded.encode(x), theirs, atol=1e-5)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_local_weights_are_loaded_and_their_classifier_is_left_out(tmp_path: Path, suffix: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(9)
        whole = timm.create_model(SMALL, num_classes=7)
    path = tmp_path / f"weights{suffix}"
    state = whole.state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    loaded = encoder(f"timm:{SMALL}", path).model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.items())


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    with pytest.raises(BackboneError, match=rf"are not the weights of timm:{SMALL}: \d+ of \d+ tensors are missing"):
        encoder(f"timm:{SMALL}", path)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors", "weights.bin"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x02junk", bytes(range(256)) * 40])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BackboneError, match="cannot be read as"):
        encoder(f"timm:{SMALL}", path)


def test_a_checkpoint_of_other_things_than_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"epoch": 3, "names": ["a"]}, path)
    with pytest.raises(BackboneError, match="something else than named tensors"):
        encoder(f"timm:{SMALL}", path)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    import os
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"state_dict": Evil()}))
    with pytest.raises(BackboneError, match="cannot be read as"):
        encoder(f"timm:{SMALL}", path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("timm:resnet5O", "unknown name 'resnet5O'; did you mean resnet50"),
        ("timm:resnet50.a1_in2k", "unknown pre-training 'a1_in2k'; did you mean a1_in1k"),
        ("random:nonsense_model_xyz", "unknown name 'nonsense_model_xyz'"),
        ("timm:botnet50ts_256", "timm has no weights for botnet50ts_256: .* or take random:botnet50ts_256"),
        ("open_clip:ViT-B-33/openai", "unknown name 'ViT-B-33'; did you mean ViT-B-32"),
        ("open_clip:ViT-B-32/openia", "unknown pre-training 'openia'; did you mean openai"),
    ],
)
def test_an_unknown_backbone_is_named_with_the_nearest(backbone: str, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        check_name(parse_backbone(backbone), with_weights=False)


def test_a_tag_beside_weights_must_be_known_too() -> None:
    with pytest.raises(BackboneError, match="unknown pre-training 'openia'; did you mean openai"):
        check_name(parse_backbone("open_clip:ViT-B-32/openia"), with_weights=True)
    check_name(parse_backbone("open_clip:ViT-B-32"), with_weights=True)


@pytest.mark.parametrize("backbone", ["timm:mobilenetv2_100.ra_in1k", "open_clip:RN50/openai"])
def test_an_unreachable_hub_is_said_at_once(backbone: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "_resolves", lambda _endpoint: False)
    with pytest.raises(StageError, match="could not be had from the model hub"):
        encoder(backbone)


def test_open_clip_features_are_its_own(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        model = open_clip.create_model("ViT-B-32", pretrained=None, load_weights=False).eval()
    path = tmp_path / "clip.safetensors"
    save_file(model.state_dict(), path)
    loaded = encoder("open_clip:ViT-B-32/laion2b_s34b_b79k", path)
    x = frames(2, side=224)
    with torch.inference_mode():
        theirs = model.encode_image(loaded.preprocess.normalise(x))
    assert loaded.preprocess.size == (224, 224)
    assert torch.allclose(loaded.encode(x), theirs, atol=1e-4)


def test_another_image_size_is_taken_by_transformers_and_convolutions() -> None:
    for name in ("test_vit", SMALL):
        small = encoder(f"random:{name}", image_size=96)
        assert small.preprocess.size == (96, 96)
        assert small.encode(frames(2, side=96)).shape[0] == 2


def test_cuda_is_refused_where_there_is_none() -> None:
    from mofore.data.errors import ConfigError
    from mofore.stages.machine.device import pick_device

    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device"):
            pick_device("cuda")
    assert pick_device("cpu") == CPU
