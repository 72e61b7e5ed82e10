"""Our road against transformers' own processor and model, on tiny models of each family with random weights.

Pixels may differ by one level of 255 where a processor rounds otherwise (DINOv3's resizes floats); features of the same
pixels differ by what the order of sums does. Both are stated below.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mofore.data.errors import BackboneError, StageError
from mofore.data.settings import ExtractSettings
from mofore.stages.backbone.encoder import Encoder, load_encoder
from mofore.tests.stages.backbone.tiny_models import FAMILIES, FRAMES, SIDE, TOWER, save_tiny, transformers

CPU = torch.device("cpu")
VIDEO = ("vjepa2", "videomae", "timesformer", "vivit", "xclip")
IMAGES = ("dinov3", "siglip", "clip")
ROUNDING = 1e-5  # of features of the same pixels, absolute, where they are of order one
PIXEL = 1.01 / 255  # of pixels before they are divided by the deviation


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tiny")
    return {name: save_tiny(name, root / name) for name in FAMILIES}


def pictures(frames: int = FRAMES, height: int = 48, width: int = 60) -> np.ndarray:
    """Smooth moving pictures, uint8 (T, H, W, 3)."""
    t, y, x = np.meshgrid(np.arange(frames), np.arange(height), np.arange(width), indexing="ij")
    waves = [np.sin((x + c * y) / 7 + t / 3 + c) for c in range(3)]
    return (127.5 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)


def encoder(folder: Path, weights: Path | None = None, **settings: Any) -> Encoder:
    return load_encoder(ExtractSettings(backbone=f"hf:{folder}", **settings), weights, CPU)


def our_input(loaded: Encoder, frames_THWC: np.ndarray) -> torch.Tensor:
    frames_TCHW = loaded.preprocess(torch.from_numpy(frames_THWC))
    return frames_TCHW if loaded.windows is None else frames_TCHW[None]


def their_input(folder: Path, frames_THWC: np.ndarray, *, video: bool) -> torch.Tensor:
    if video:
        made = transformers.AutoVideoProcessor.from_pretrained(folder)(
            [torch.from_numpy(frames_THWC).permute(0, 3, 1, 2)], return_tensors="pt"
        )
    else:
        made = transformers.AutoImageProcessor.from_pretrained(folder)(
            [torch.from_numpy(frame).permute(2, 0, 1) for frame in frames_THWC], return_tensors="pt"
        )
    (pixels,) = (made[name] for name in ("pixel_values_videos", "pixel_values") if name in made)
    return pixels


def their_model(folder: Path) -> Any:
    return transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()


def their_features(name: str, folder: Path, pixels: torch.Tensor) -> torch.Tensor:
    """As each family's documentation says."""
    model = their_model(folder)
    with torch.inference_mode():
        match name:
            case "vjepa2":
                return model.get_vision_features(pixels).mean(dim=1)
            case "videomae":
                return model(pixels).last_hidden_state.mean(dim=1)
            case "timesformer" | "vivit":
                return model(pixels).last_hidden_state[:, 0]
            case "dinov3":
                return model(pixels).pooler_output
            case "xclip":
                found = model.get_video_features(pixels)
            case _:
                found = model.get_image_features(pixels)
    return found if isinstance(found, torch.Tensor) else found.pooler_output


@pytest.mark.parametrize("name", [*VIDEO, *IMAGES])
@pytest.mark.parametrize("size", [(48, 60), (61, 33), (32, 32)])
def test_pixels_are_those_of_the_models_own_processor(
    name: str, size: tuple[int, int], folders: dict[str, Path]
) -> None:
    loaded, frames = encoder(folders[name]), pictures(FRAMES, *size)
    ours = loaded.preprocess.normalise(our_input(loaded, frames))
    theirs = their_input(folders[name], frames, video=name in VIDEO)
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= PIXEL / min(loaded.preprocess.std)


@pytest.mark.parametrize("name", [*VIDEO, *IMAGES])
def test_features_are_those_of_processor_and_model(name: str, folders: dict[str, Path]) -> None:
    loaded, frames = encoder(folders[name]), pictures()
    ours = loaded.encode(our_input(loaded, frames))
    theirs = their_features(name, folders[name], their_input(folders[name], frames, video=name in VIDEO))
    assert ours.shape == theirs.shape
    scale = float(theirs.abs().max())
    assert scale > 0.05, "features that could not fail"
    if name == "dinov3":  # whose processor resizes floats, so that pixels differ by up to a level
        assert float(torch.cosine_similarity(ours, theirs).min()) > 0.9999
    else:
        assert torch.allclose(ours, theirs, atol=2 * ROUNDING * max(1.0, scale))
    same_pixels = their_features(name, folders[name], loaded.preprocess.normalise(our_input(loaded, frames)))
    assert torch.allclose(ours, same_pixels, atol=ROUNDING * max(1.0, scale))


@pytest.mark.parametrize(("name", "frames"), [("vjepa2", 4), ("vjepa2", 16), ("timesformer", 4)])
def test_windows_of_another_length_where_the_model_takes_them(name: str, frames: int, folders: dict[str, Path]) -> None:
    loaded = encoder(folders[name], window=frames)
    assert loaded.input_shape == (frames, 3, SIDE, SIDE)
    shown = our_input(loaded, pictures(frames))
    theirs = their_features(name, folders[name], loaded.preprocess.normalise(shown))
    assert torch.allclose(loaded.encode(shown), theirs, atol=2 * ROUNDING * max(1.0, float(theirs.abs().max())))


def test_a_length_that_the_positions_do_not_take_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(BackboneError, match="was made for 8 frames"):
        encoder(folders["videomae"], window=4)
    with pytest.raises(BackboneError, match="one frame at a time"):
        encoder(folders["clip"], window=4)


def test_the_attentive_pooler_is_the_classifiers_own(folders: dict[str, Path]) -> None:
    folder = folders["vjepa2_head"]
    loaded = encoder(folder, pooling="attentive")
    shown = our_input(loaded, pictures())
    model = transformers.VJEPA2ForVideoClassification.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        tokens = model.vjepa2.get_vision_features(loaded.preprocess.normalise(shown))
        theirs = model.pooler(tokens)
    assert torch.allclose(loaded.encode(shown), theirs, atol=ROUNDING * max(1.0, float(theirs.abs().max())))
    mean = encoder(folder).encode(shown)
    assert not torch.allclose(mean, theirs, atol=0.01)
    with pytest.raises(BackboneError, match=r"no attentive head, take extract\.pooling = mean"):
        encoder(folders["vjepa2"], pooling="attentive")
    with pytest.raises(BackboneError, match="no such head"):
        encoder(folders["videomae"], pooling="attentive")


def test_an_intermediate_layer_is_the_hidden_state_that_transformers_reports(folders: dict[str, Path]) -> None:
    for name in ("vjepa2", "videomae", "clip"):
        loaded = encoder(folders[name], output="layer:1", pooling="mean")
        shown = our_input(loaded, pictures())
        model, pixels = their_model(folders[name]), loaded.preprocess.normalise(shown)
        body = model.vision_model if name == "clip" else model
        with torch.inference_mode():
            hidden = body(pixels, output_hidden_states=True).hidden_states[1]
        theirs = hidden[:, 1 if name == "clip" else 0 :].mean(dim=1)
        assert torch.allclose(loaded.encode(shown), theirs, atol=ROUNDING * max(1.0, float(theirs.abs().max()))), name
    with pytest.raises(BackboneError, match="has 0 to 2"):
        encoder(folders["clip"], output="layer:9").encode(our_input(loaded, pictures()))


@pytest.mark.parametrize("name", ["vjepa2", "timesformer", "xclip", "dinov3"])
def test_tokens_on_their_finest_grid_are_the_models_own(name: str, folders: dict[str, Path]) -> None:
    """Cell after cell, time first: so a grid as fine as the patches is all of them, and a coarser one their means."""
    times = {"vjepa2": 4, "timesformer": 8, "xclip": 8, "dinov3": 1}[name]
    fine, mean = (encoder(folders[name], output=f"tokens:{t}x{s}x{s}") for t, s in ((min(times, 4), 4), (1, 1)))
    shown = our_input(fine, pictures())
    model, pixels = their_model(folders[name]), fine.preprocess.normalise(shown)
    with torch.inference_mode():
        if name == "vjepa2":
            tokens = model.get_vision_features(pixels).view(1, 4, 4, 4, 32)
        elif name == "timesformer":  # one place after another, each at all times
            tokens = model(pixels).last_hidden_state[:, 1:].view(1, 4, 4, 8, 32).permute(0, 3, 1, 2, 4)
        elif name == "xclip":
            tokens = model.vision_model(pixels.flatten(0, 1)).last_hidden_state[:, 1:].view(1, 8, 4, 4, 32)
        else:
            tokens = model(pixels).last_hidden_state[:, 5:].view(8, 1, 4, 4, 32)
    cells = tokens.unflatten(1, (min(times, 4), -1)).mean(dim=2)
    bound = 2 * ROUNDING * max(1.0, float(tokens.abs().max()))
    assert torch.allclose(fine.encode(shown), cells.flatten(1), atol=bound)
    assert torch.allclose(mean.encode(shown), tokens.mean(dim=(1, 2, 3)), atol=bound)
    with pytest.raises(BackboneError, match="finer than the backbone's"):
        encoder(folders[name], output="tokens:5x5").encode(shown)


@pytest.mark.parametrize("name", ["vjepa2", "dinov3", "clip", "siglip"])
def test_pictures_of_another_size_where_the_model_takes_them(name: str, folders: dict[str, Path]) -> None:
    loaded = encoder(folders[name], image_size=48)
    shown = our_input(loaded, pictures(FRAMES, 96, 120))
    assert shown.shape[-2:] == (48, 48)
    rows = loaded.encode(shown)
    assert torch.isfinite(rows).all()
    assert rows.shape[1] == encoder(folders[name]).encode(our_input(encoder(folders[name]), pictures())).shape[1]


@pytest.mark.parametrize("name", ["videomae", "timesformer", "vivit", "xclip"])
def test_pictures_of_another_size_are_refused_where_it_does_not(name: str, folders: dict[str, Path]) -> None:
    with pytest.raises(BackboneError, match="pictures of its own size alone"):
        encoder(folders[name], image_size=48)


@pytest.mark.parametrize("pooler", [True, False])
def test_a_pooler_that_has_no_weights_is_not_drawn_at_random(pooler: bool, tmp_path: Path) -> None:
    model = transformers.ViTModel(transformers.ViTConfig(**TOWER), add_pooling_layer=pooler).eval()
    model.save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(tmp_path)
    first, second = encoder(tmp_path), encoder(tmp_path, seed=1)
    shown = our_input(first, pictures(2))
    with torch.inference_mode():
        found = model(first.preprocess.normalise(shown))
    theirs = found.pooler_output if pooler else found.last_hidden_state[:, 0]
    assert torch.allclose(first.encode(shown), theirs, atol=ROUNDING)
    assert first.provenance["weights_sha256"] == second.provenance["weights_sha256"]


def test_patches_that_a_model_merges_are_not_taken_for_a_grid(tmp_path: Path) -> None:
    config = transformers.SwinConfig(
        image_size=SIDE, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=4
    )
    transformers.SwinModel(config).save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(tmp_path)
    mean, grid = encoder(tmp_path, pooling="mean"), encoder(tmp_path, output="tokens:2x2")
    shown = our_input(mean, pictures(2))
    with torch.inference_mode():
        theirs = their_model(tmp_path)(mean.preprocess.normalise(shown)).last_hidden_state.mean(dim=1)
    assert torch.allclose(mean.encode(shown), theirs, atol=ROUNDING * max(1.0, float(theirs.abs().max())))
    with pytest.raises(BackboneError, match="where this backbone's patches are is not known"):
        grid.encode(shown)


def test_a_folder_of_weights_stands_for_the_hub(folders: dict[str, Path]) -> None:
    """``--weights DIR`` beside a name of the hub, which is not asked."""
    named = load_encoder(ExtractSettings(backbone="hf:facebook/vjepa2-tiny"), folders["vjepa2"], CPU)
    direct = encoder(folders["vjepa2"])
    shown = our_input(direct, pictures())
    assert torch.equal(named.encode(shown), direct.encode(shown))
    assert named.provenance["weights_sha256"] == direct.provenance["weights_sha256"]
    assert named.provenance["windows"] == {"length": 8, "hop": 8, "pads": True}


def test_what_is_no_model_is_refused_with_a_way_out(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BackboneError, match=r"config\.json and model\.safetensors"):
        encoder(tmp_path / "empty")
    with pytest.raises(BackboneError, match="does not exist"):
        encoder(tmp_path / "nowhere")
    with pytest.raises(BackboneError, match=f"name '{folders['clip']}'"):
        encoder(folders["clip"], folders["clip"] / "model.safetensors")


def test_weights_that_lack_tensors_are_not_filled_up_at_random(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in folders["videomae"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    lost = next(name for name in tensors if "layer.1." in name)
    del tensors[lost]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match="1 tensors are missing"):
        encoder(tmp_path)


def test_transformers_that_is_missing_is_said_with_what_to_install(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mofore.stages.backbone import hf_models

    monkeypatch.setattr(hf_models, "find_spec", lambda _name: None)
    with pytest.raises(BackboneError, match=r"pip install 'mofore\[hf\]'"):
        encoder(folders["clip"])


def test_a_hub_that_is_out_of_reach_is_said_with_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    from mofore.stages.backbone import hub

    monkeypatch.setattr(hub, "_resolves", lambda _endpoint: False)
    with pytest.raises(StageError, match="--weights"):
        load_encoder(ExtractSettings(backbone="hf:nobody/nothing-of-that-name"), None, CPU)
