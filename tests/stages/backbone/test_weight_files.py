"""Weights as people have them: wrapped, prefixed, in several files; and what is none, said by name."""

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mofore.data.errors import BackboneError
from mofore.data.settings import ExtractSettings
from mofore.stages.backbone.encoder import Encoder, load_encoder
from mofore.stages.backbone.weight_files import check_weights, read_weights
from mofore.stages.backbone.weight_fit import Taker, fit_weights

CPU = torch.device("cpu")
Tensors = dict[str, Tensor]


def made(name: str, classes: int = 10) -> Any:
    import timm

    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(7)
        return timm.create_model(name, num_classes=classes)


@pytest.fixture(scope="module")
def state() -> Tensors:
    """With a classifier, as checkpoints have it."""
    return dict(made("test_vit").state_dict())


def loaded(path: Path, backbone: str = "timm:test_vit", **settings: Any) -> Encoder:
    return load_encoder(ExtractSettings(backbone=backbone, **settings), path, CPU)


def digest(encoder: Encoder) -> str:
    return str(encoder.provenance["weights_sha256"])


@pytest.fixture(scope="module")
def plain(state: Tensors, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plain") / "weights.pth"
    torch.save(state, path)
    encoder = loaded(path)
    assert encoder.notes == ()
    return digest(encoder)


def begun(prefix: str) -> Callable[[Tensors], Any]:
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


WRAPPED: dict[str, Callable[[Tensors], Any]] = {
    "DataParallel": begun("module."),
    "a Lightning module": lambda state: {
        "state_dict": begun("model.")(state),
        "epoch": 3,
        "hyper_parameters": {"a": 1},
    },
    "OpenMMLab": lambda state: {"meta": {"x": 1}, "state_dict": begun("backbone.")(state)},
    "torch.compile": begun("_orig_mod."),
    "an encoder in a model": begun("model.encoder."),
    "DINO's teacher": lambda state: {"teacher": begun("backbone.")(state), "epoch": 1},
    "timm's training script": lambda state: {"state_dict": state, "args": argparse.Namespace(lr=0.1), "epoch": 1},
    "numpy's numbers": lambda state: {"model": state, "best": np.float64(81.2)},
    "half precision": lambda state: {name: t.half() if t.is_floating_point() else t for name, t in state.items()},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_the_same_weights_in_any_wrapper_are_the_same(kind: str, state: Tensors, plain: str, tmp_path: Path) -> None:
    exact = {name: tensor.half().float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    path, reference = tmp_path / "weights.ckpt", tmp_path / "reference.pth"
    torch.save(WRAPPED[kind](exact), path)
    torch.save(exact, reference)
    encoder = loaded(path)
    assert digest(encoder) == digest(loaded(reference))
    wrapped = kind not in ("half precision", "torch.compile")
    assert any("taken from" in note for note in encoder.notes) == wrapped


def test_an_average_comes_before_what_it_averages_and_it_is_said(state: Tensors, plain: str, tmp_path: Path) -> None:
    other = {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    torch.save({"state_dict": other, "state_dict_ema": state}, tmp_path / "weights.pth")
    encoder = loaded(tmp_path / "weights.pth")
    assert digest(encoder) == plain
    assert encoder.notes == (
        "weights of 'weights.pth': taken from key 'state_dict_ema'; not from key 'state_dict', which differs",
    )


def test_of_equals_that_differ_none_is_chosen(state: Tensors, tmp_path: Path) -> None:
    other = {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    torch.save({"one": state, "other": other}, tmp_path / "weights.pth")
    with pytest.raises(BackboneError, match="holds different weights of timm:test_vit: key 'one'; key 'other'"):
        loaded(tmp_path / "weights.pth")


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_weights_in_several_files_are_read_by_their_index(
    kind: str, state: Tensors, plain: str, tmp_path: Path
) -> None:
    names = sorted(state)
    parts = {f"model-{n}.{kind}": {name: state[name] for name in names[n::2]} for n in (0, 1)}
    for file, tensors in parts.items():
        if kind == "safetensors":
            save_file(tensors, tmp_path / file)
        else:
            torch.save(tensors, tmp_path / file)
    index = tmp_path / f"model.{kind}.index.json"
    index.write_text(json.dumps({"weight_map": {name: file for file, part in parts.items() for name in part}}))
    assert digest(loaded(index)) == plain
    (tmp_path / f"model-1.{kind}").unlink()
    with pytest.raises(BackboneError, match=rf"of which 1 are not beside it \(first: model-1\.{kind}\)"):
        loaded(index)


# The classifier of these lies where timm's configuration does not say, or has batch norms of its own.
@pytest.mark.parametrize("name", ["levit_128s", "efficientvit_m0", "repvit_m0_9", "shvit_s1", "iformer_t"])
def test_checkpoints_with_classifiers_of_their_own_load(name: str, tmp_path: Path) -> None:
    import timm

    if not timm.is_model(name):
        pytest.skip(f"this timm has no {name}")
    model = made(name, 1000)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    encoder = loaded(tmp_path / "weights.pth", f"timm:{name}")
    size = encoder.preprocess.size
    pictures = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model.eval().reset_classifier(0)
    with torch.inference_mode():
        wanted = model(encoder.preprocess.normalise(pictures))
    assert torch.allclose(encoder.encode(pictures), wanted, atol=1e-4)


def test_metas_dinov2_loads(tmp_path: Path) -> None:
    name = "vit_small_patch14_dinov2.lvd142m"
    state = {**made(name, 0).state_dict(), "mask_token": torch.zeros(1, 384)}
    torch.save(state, tmp_path / "dinov2_vits14_pretrain.pth")
    assert loaded(tmp_path / "dinov2_vits14_pretrain.pth", f"timm:{name}").preprocess.size == (518, 518)


def test_a_model_with_kernels_of_five_dimensions_runs(tmp_path: Path) -> None:
    encoder = load_encoder(ExtractSettings(backbone="random:lambda_resnet26t", image_size=128), None, CPU)
    assert encoder.encode(torch.zeros(1, 3, *encoder.preprocess.size, dtype=torch.uint8)).shape == (1, 2048)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused_by_name(value: float, state: Tensors, tmp_path: Path) -> None:
    broken = {name: tensor.clone() for name, tensor in state.items()}
    broken["cls_token"][0, 0, 0] = value
    torch.save(broken, tmp_path / "weights.pth")
    with pytest.raises(BackboneError, match="cls_token holds 1 values that are not finite"):
        loaded(tmp_path / "weights.pth")


def test_a_refusal_names_the_prefix_that_comes_nearest(state: Tensors, tmp_path: Path) -> None:
    lacking = {f"net.trunk.{name}": tensor for name, tensor in state.items() if name != "pos_embed"}
    torch.save(lacking, tmp_path / "weights.pth")
    with pytest.raises(BackboneError) as refused:
        loaded(tmp_path / "weights.pth")
    assert "1 of 78 tensors are missing (first: pos_embed)" in str(refused.value)
    assert "names that begin with 'net.trunk.': 'net.trunk.cls_token'" in str(refused.value)


class Foreign:
    """What only its own program can make again."""


@pytest.mark.parametrize("archived", [True, False])
def test_a_files_code_is_not_run_and_nobody_is_told_to(archived: bool, state: Tensors, tmp_path: Path) -> None:
    torch.save(
        {"state_dict": state, "config": Foreign()},
        tmp_path / "weights.pth",
        _use_new_zipfile_serialization=archived,  # older files are no archives
    )
    with pytest.raises(BackboneError) as refused:
        loaded(tmp_path / "weights.pth")
    assert "holds Python objects beside tensors" in str(refused.value)
    assert "torch.save(model.state_dict(), 'weights.pth')" in str(refused.value)
    assert "weights_only" not in str(refused.value)
    assert "can still be loaded" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        (b'{"a": 1}', "JSON; of weights in several files, name the index"),
    ],
)
def test_what_is_no_file_of_weights_is_said_by_name(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(BackboneError, match=said):
        check_weights(path)
    with pytest.raises(BackboneError, match=said):
        read_weights(path)


def test_garbage_is_refused_without_torchs_advice(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(BackboneError, match="cannot be read as") as refused:
        read_weights(path)
    assert "weights_only" not in str(refused.value)


def test_weights_tuned_at_a_size_are_not_resampled(tmp_path: Path) -> None:
    model = made("test_vit")
    model.set_input_size(img_size=(96, 96))
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    encoder = loaded(tmp_path / "weights.pth", image_size=96)
    assert torch.equal(encoder.model.state_dict()["pos_embed"], model.state_dict()["pos_embed"])
    assert encoder.preprocess.size == (96, 96)
    assert encoder.notes == (), "nothing is said of what was tried and dropped"


def test_a_converter_may_put_another_tensor_under_a_name_without_having_resampled_it() -> None:
    """As timm's of Swin does, which counts its layers from another number."""
    model = nn.ModuleDict({"one": nn.Conv2d(2, 3, 1), "two": nn.Conv2d(3, 4, 3)})
    one, two = model["one"].state_dict(), model["two"].state_dict()
    tree = {**{f"two.{name}": tensor for name, tensor in one.items()}, **{f"three.{n}": t for n, t in two.items()}}
    earlier = {"two": "one", "three": "two"}

    def convert(tensors: Tensors) -> Tensors:
        return {f"{earlier[name.partition('.')[0]]}.{name.partition('.')[2]}": t for name, t in tensors.items()}

    fit = fit_weights(tree, Taker(model, "toy", convert=convert), Path("weights.pth"))
    assert fit.told() == ""
    assert torch.equal(fit.tensors["two.weight"], two["weight"])


def test_a_kernel_that_a_converter_resizes_is_another_models() -> None:
    model = nn.ModuleDict({"patches": nn.Conv2d(3, 4, 8)})
    tree = dict(nn.ModuleDict({"patches": nn.Conv2d(3, 4, 4)}).state_dict())

    def convert(tensors: Tensors, _model: nn.Module) -> Tensors:
        wide = nn.functional.interpolate(tensors["patches.weight"], (8, 8))
        return {**tensors, "patches.weight": wide}

    with pytest.raises(BackboneError, match="1 have another shape"):
        fit_weights(tree, Taker(model, "toy", convert=convert), Path("weights.pth"))


def test_a_model_is_the_one_that_timm_makes_for_pretrained_weights(tmp_path: Path) -> None:
    """timm gives this one other constants then: features with those of an untrained model would be others."""
    torch.save(made("fbnetc_100").state_dict(), tmp_path / "weights.pth")
    norms = [m for m in loaded(tmp_path / "weights.pth", "timm:fbnetc_100").model.modules() if hasattr(m, "eps")]
    assert {norm.eps for norm in norms} == {1e-3}
