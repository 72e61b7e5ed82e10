"""OpenVINO in place of torch; what needs it is skipped where it is not installed (`pip install 'mofore[openvino]'`)."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mofore.data.errors import BackboneError, ConfigError, UsageError
from mofore.data.settings import ExtractSettings
from mofore.stages.backbone import openvino_engine
from mofore.stages.backbone.encoder import Encoder, load_encoder
from mofore.stages.backbone.network import ComputeMode
from mofore.stages.backbone.openvino_engine import OpenVinoNetwork, check_usable
from mofore.stages.machine.device import has_bfloat16
from mofore.tests.stages.backbone.own_backbones import HERE

CPU = torch.device("cpu")
OPENVINO = ComputeMode(engine="openvino")


@pytest.fixture
def openvino(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("CI", "true")  # importing it sends an event to Google Analytics elsewhere
    return pytest.importorskip("openvino")


def noise(count: int, *shape: int) -> Tensor:
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def loaded(backbone: str) -> tuple[Encoder, Tensor]:
    encoder = load_encoder(ExtractSettings(backbone=backbone), None, CPU)
    return encoder, noise(19, *encoder.input_shape)


def test_where_it_is_not_installed_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "is_installed", lambda: False)
    with pytest.raises(UsageError, match=r"not installed: pip install 'mofore\[openvino\]', or --set extract.engine=t"):
        check_usable(CPU)


def test_it_is_for_the_processor_alone() -> None:
    with pytest.raises(ConfigError, match=r"this would run on cuda: --set extract.device=cpu, or --set extract.engine"):
        check_usable(torch.device("cuda"))


@pytest.mark.parametrize("backbone", ["random:test_efficientnet", "random:test_vit", f"{HERE}:make_clips"])
def test_features_are_torchs_but_for_rounding(openvino: Any, backbone: str) -> None:
    encoder, frames = loaded(backbone)
    wanted, found = encoder.encode(frames), encoder.at(OPENVINO, frames).encode(frames)
    assert found.dtype == torch.float32
    assert torch.allclose(wanted, found, rtol=1e-4, atol=1e-4)  # sums in another order


def test_a_feature_depends_neither_on_threads_nor_on_what_else_is_in_the_batch(openvino: Any) -> None:
    encoder, frames = loaded("random:test_efficientnet")
    features = encoder.at(OPENVINO, frames).encode(frames)
    assert torch.equal(encoder.at(OPENVINO, frames[:3]).encode(frames[5:8]), features[5:8])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(threads, 2))
        assert torch.equal(encoder.at(OPENVINO, frames).encode(frames), features)
    finally:
        torch.set_num_threads(threads)


def test_it_tells_nobody_that_it_is_used(openvino: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry = pytest.importorskip("openvino_telemetry")
    monkeypatch.delenv("CI")
    encoder, frames = loaded("random:test_vit")
    encoder.at(OPENVINO, frames)
    assert "CI" not in os.environ
    assert telemetry.Telemetry().consent is False  # the one there is, as converting has left it


class Unknown(nn.Module):
    """An operation that OpenVINO has nothing for."""

    def forward(self, frames_BCHW: Tensor) -> Tensor:
        return torch.linalg.eigvals(frames_BCHW[:, 0].float()).real


def test_what_cannot_be_converted_is_said_with_the_way_out(openvino: Any) -> None:
    with pytest.raises(BackboneError, match=r"eigvals.*--set extract.engine=torch"):
        OpenVinoNetwork(Unknown(), "fp32", noise(4, 3, 8, 8))


def test_bf16_that_the_processor_has_not_is_refused(openvino: Any) -> None:
    if has_bfloat16(CPU):
        pytest.skip("this one has it")
    encoder, frames = loaded("random:test_vit")
    with pytest.raises(ConfigError, match=r"no bf16 here: --set extract.precision=fp32"):
        encoder.at(ComputeMode("bf16", engine="openvino"), frames)
