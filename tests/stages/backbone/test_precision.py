import copy
from typing import Any

import pytest
import torch

from mofore.data.errors import BackboneError, UsageError
from mofore.data.settings import ExtractSettings
from mofore.stages.backbone import network, openvino_engine
from mofore.stages.backbone import precision as arithmetic
from mofore.stages.backbone.encoder import Encoder, load_encoder
from mofore.stages.backbone.network import PLAIN, ComputeMode, lay_channels_last
from mofore.stages.backbone.precision import choose, parity, row_drift

CPU = torch.device("cpu")


def frames(count: int, side: int = 160) -> torch.Tensor:
    noise = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    return (noise * 255).to(torch.uint8)


def settled(backbone: str = "test_efficientnet", **settings: object) -> tuple[Encoder, dict[str, Any], list[str]]:
    chosen = ExtractSettings(**{"backbone": f"random:{backbone}", "compile": "off", **settings})
    notes: list[str] = []
    encoder = load_encoder(chosen, None, CPU)
    encoder, told = choose(encoder, chosen, frames(6), frames_to_come=0, note=notes.append)
    return encoder, told, notes


def test_automatic_precision_refuses_what_is_below_the_floor_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "has_bfloat16", lambda _device: True)
    encoder, told, _ = settled(parity_floor=1.0)  # no rounding can reach a cosine of one
    assert encoder.arithmetic.precision == told["precision"] == "fp32"
    assert told["measured"]["frames"] == 6
    assert 0.9 < told["measured"]["tried_cosine_min"]["bf16, folded"] < 1.0


def test_automatic_precision_takes_bf16_where_the_processor_has_it_and_it_is_ever_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arithmetic, "has_bfloat16", lambda _device: True)
    monkeypatch.setattr(arithmetic.Trials, "is_ever_faster", lambda *_: True)
    assert settled(parity_floor=0.9)[0].arithmetic == ComputeMode("bf16", folded=True)
    monkeypatch.setattr(arithmetic.Trials, "is_ever_faster", lambda *_: False)
    assert settled(parity_floor=0.9)[0].arithmetic == ComputeMode("fp32", folded=True)
    monkeypatch.setattr(arithmetic.Trials, "is_ever_faster", lambda *_: True)
    monkeypatch.setattr(arithmetic, "has_bfloat16", lambda _device: False)
    assert settled(parity_floor=0.9)[0].arithmetic == ComputeMode("fp32", folded=True)


def test_a_precision_that_is_asked_for_is_taken_and_measured() -> None:
    encoder, told, _ = settled(precision="bf16")
    assert encoder.arithmetic.precision == "bf16"
    assert 0.9 < told["measured"]["cosine_min"] < 1.0
    assert encoder.encode(frames(2)).dtype == torch.float32


def test_folding_is_taken_only_if_the_features_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settled(precision="fp32")[0].arithmetic == ComputeMode(folded=True)
    monkeypatch.setattr(network, "fold_batch_norms", lambda model, *_: torch.nn.Sequential(model, torch.nn.ReLU()))
    assert settled(precision="fp32")[0].arithmetic == PLAIN


def test_without_batch_norms_there_is_nothing_to_fold() -> None:
    assert settled("test_vit", precision="fp32")[0].arithmetic == PLAIN


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_vit", "test_resnet"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_feature_does_not_depend_on_its_row_in_the_batch(backbone: str, precision: str) -> None:
    encoder, told, _ = settled(backbone, precision=precision)
    assert told["measured"]["row_drift"] == 0.0 == row_drift(encoder, frames(6))


def test_a_compiler_that_fails_is_noted_and_the_eager_network_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> object:
        raise RuntimeError("no C++ compiler found")

    monkeypatch.setattr(torch, "compile", broken)
    encoder, told, notes = settled(compile="on", precision="fp32")
    assert not encoder.arithmetic.compiled
    assert told["compiled"] is False
    assert notes == ["not compiled: RuntimeError: no C++ compiler found"]


@pytest.mark.parametrize(("frames_to_come", "compiled"), [(0, False), (10**9, True)])
def test_a_job_is_compiled_if_it_is_long_enough_to_repay_it(
    frames_to_come: int, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda network, **_: network)
    monkeypatch.setattr(arithmetic.Trials, "is_ever_faster", lambda *_: True)
    settings = ExtractSettings(backbone="random:test_efficientnet", precision="fp32", engine="torch")
    encoder = load_encoder(settings, None, CPU)
    chosen, _ = choose(encoder, settings, frames(4), frames_to_come=frames_to_come, note=lambda _: None)
    assert chosen.arithmetic.compiled is compiled


class PretendedOpenVino(torch.nn.Module):
    """Torch's own features, all but ``error`` of them."""

    error = 0.0

    def __init__(self, network: torch.nn.Module, precision: str, example: torch.Tensor) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames_BCHW: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.network(frames_BCHW)
        return features + self.error * features.roll(1, 0)


class Inconvertible(PretendedOpenVino):
    def __init__(self, *_: object) -> None:
        raise BackboneError("OpenVINO cannot compute this backbone (aten::new)")


class Wrong(PretendedOpenVino):
    error = 0.2


def pretend_openvino(monkeypatch: pytest.MonkeyPatch, kind: type[torch.nn.Module], gain: float = 2.0) -> None:
    monkeypatch.setattr(openvino_engine, "is_installed", lambda: True)
    monkeypatch.setattr(network, "OpenVinoNetwork", kind)
    monkeypatch.setattr(arithmetic.Trials, "gain", lambda *_: gain)


def chosen_of(frames_to_come: int, **settings: object) -> tuple[ComputeMode, dict[str, Any], list[str]]:
    chosen = ExtractSettings(**{"backbone": "random:test_vit", "precision": "fp32", "compile": "off", **settings})
    notes: list[str] = []
    encoder = load_encoder(chosen, None, CPU)
    encoder, told = choose(encoder, chosen, frames(6), frames_to_come=frames_to_come, note=notes.append)
    return encoder.arithmetic, told, notes


LONG = 10**9


def test_without_openvino_auto_is_torch_and_records_what_it_always_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "is_installed", lambda: False)
    mode, told, notes = chosen_of(LONG)
    assert (mode, notes) == (PLAIN, [])
    assert list(told) == ["precision", "folded", "compiled", "measured"]
    assert ComputeMode.of(told) == PLAIN


def test_a_long_job_takes_the_faster_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_openvino(monkeypatch, PretendedOpenVino, gain=1.1)
    mode, told, _ = chosen_of(LONG)
    assert mode.engine == told["engine"] == "openvino"
    assert ComputeMode.of(told) == mode
    assert chosen_of(0)[0].engine == "torch"  # a short one does not repay the trial
    assert chosen_of(LONG, engine="torch")[0].engine == "torch"
    pretend_openvino(monkeypatch, PretendedOpenVino, gain=0.9)
    assert chosen_of(LONG)[0].engine == "torch"


@pytest.mark.parametrize(("gain", "compiles"), [(1.1, True), (2.0, False)])
def test_compiling_is_left_out_where_openvino_gains_more_than_it_ever_does(
    gain: float, compiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[object] = []
    monkeypatch.setattr(torch, "compile", lambda network, **_: compiled.append(network) or network)
    pretend_openvino(monkeypatch, PretendedOpenVino, gain)
    assert chosen_of(LONG, compile="auto")[0].engine == "openvino"
    assert bool(compiled) is compiles


def test_what_openvino_cannot_compute_goes_on_in_torch_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_openvino(monkeypatch, Inconvertible)
    mode, _, notes = chosen_of(LONG)
    assert mode == PLAIN
    assert notes == ["goes on in torch: OpenVINO cannot compute this backbone (aten::new)"]
    with pytest.raises(BackboneError, match="aten::new"):
        chosen_of(0, engine="openvino")


def test_other_features_than_torchs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_openvino(monkeypatch, Wrong)
    mode, told, notes = chosen_of(LONG)
    assert mode == PLAIN
    assert told["measured"]["tried_cosine_min"]["fp32, openvino"] < 0.99
    assert notes[0].startswith("goes on in torch: OpenVINO gives other features than torch (centred cosine 0.")
    with pytest.raises(BackboneError, match="other features"):
        chosen_of(0, engine="openvino")


def test_openvino_that_is_asked_for_and_not_installed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "is_installed", lambda: False)
    with pytest.raises(UsageError, match=r"pip install 'mofore\[openvino\]'"):
        chosen_of(0, engine="openvino")


@pytest.mark.real
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch within its own compiler
def test_compiled_features_are_the_eager_ones(shared: object) -> None:
    encoder, told, notes = settled(compile="on", precision="fp32")
    if notes:
        pytest.skip(notes[0])
    assert encoder.arithmetic.compiled
    assert told["measured"]["cosine_min"] > 0.99999
    assert told["measured"]["row_drift"] == 0.0


def test_parity_is_taken_of_what_tells_frames_apart() -> None:
    common = torch.zeros(4, 8)
    common[:, 0] = 100.0
    exact, wrong = common.clone(), common.clone()
    exact[:, 1:5] += torch.eye(4)
    wrong[:, 1:5] += torch.eye(4).roll(1, 0)  # every frame has another one's part
    assert float(torch.nn.functional.cosine_similarity(exact, wrong).min()) > 0.999
    assert float(parity(exact, wrong).max()) < 0.5
    assert parity(exact, exact).tolist() == [1.0] * 4


def test_parity_of_a_small_error_is_the_cosine_of_centred_features() -> None:
    draw = torch.Generator().manual_seed(0)
    exact = torch.randn(64, 32, generator=draw) + 5
    rounded = exact + 0.02 * torch.randn(64, 32, generator=draw)
    mean = exact.mean(dim=0)
    wanted = torch.nn.functional.cosine_similarity(exact - mean, rounded - mean)
    assert torch.allclose(parity(exact, rounded), wanted, atol=2e-4)


def test_frames_that_are_all_the_same_are_compared_as_they_are() -> None:
    exact = torch.ones(3, 4)
    assert parity(exact, exact * 1.01).tolist() == pytest.approx([1.0] * 3)


def test_a_frame_at_the_mean_is_judged_by_the_others_distance() -> None:
    exact = torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.0, 0.0]])  # the last is the mean
    assert float(parity(exact, exact + 1e-3)[2]) > 0.999


def test_kernels_are_laid_channels_last_those_of_one_pixel_too() -> None:
    """Left as they are, convolutions of 1 x 1 take a slower road."""
    conv = torch.nn.Conv2d
    kernels = torch.nn.ModuleList([conv(8, 8, 1), conv(8, 8, 3), conv(8, 8, 3, groups=8)])
    laid = [layer.weight.stride() for layer in lay_channels_last(copy.deepcopy(kernels))]
    assert laid == [layer.weight.stride() for layer in copy.deepcopy(kernels).to(memory_format=torch.channels_last)]
    assert laid[0] == (8, 1, 8, 8)
    deep = torch.nn.Conv3d(8, 8, 1)  # of which torch's own way makes an error
    assert lay_channels_last(deep) is deep
