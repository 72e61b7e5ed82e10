"""Exported models give what the networks give, for every aggregator and number of clips and frames."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from mofore.data.errors import StageError, UsageError
from mofore.data.fit_settings import FitSettings
from mofore.stages.export import network
from mofore.stages.export.network import UnitEmbedder, write_model
from mofore.stages.model.embedding import embedder_of
from mofore.stages.model.forecaster import make_forecaster

WIDTH = 12
SMALL = {"hidden_width": 8, "embedding_width": 8, "clip_length": 4}


def made(**given: Any) -> UnitEmbedder:
    settings = FitSettings(**{**SMALL, **given})
    return UnitEmbedder(embedder_of(make_forecaster(WIDTH, settings), "teacher", settings), settings)


@pytest.mark.parametrize(
    ("given", "frames"),
    [
        ({"aggregator": "mean_sd"}, 0),
        ({"aggregator": "attention"}, 4),
        ({"aggregator": "conv", "inputs": "differenced"}, 4),
        ({"aggregator": "gru", "inputs": "centered"}, 4),
        ({"aggregator": "static_dynamic"}, 4),
    ],
)
def test_torch_export_gives_the_same(given: dict[str, Any], frames: int, tmp_path: Path) -> None:
    model = made(**given)
    assert model.frames == frames
    found = write_model(tmp_path, model, WIDTH, {}, ("torch",))
    assert found["torch"] <= network.TOLERANCE
    with (tmp_path / "model.pt2").open("rb") as handle:
        program = torch.export.load(handle).module()
    inputs = model.example(5, 9, WIDTH, seed=7)
    assert torch.allclose(program(*inputs), model(*inputs), atol=network.TOLERANCE)


@pytest.mark.parametrize("given", [{"aggregator": "mean_sd"}, {"aggregator": "transformer"}])
def test_onnx_gives_the_same(given: dict[str, Any], tmp_path: Path) -> None:
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name)
    runtime = pytest.importorskip("onnxruntime")
    model = made(**given)
    found = write_model(tmp_path, model, WIDTH, {}, ("onnx",))
    assert 0 < found["onnx"] <= network.TOLERANCE
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [given.name for given in session.get_inputs()] == ["features", "times_s"][: 1 + model.timed]
    inputs = model.example(6, 11, WIDTH, seed=7)
    arrays = {given.name: part.numpy() for given, part in zip(session.get_inputs(), inputs, strict=True)}
    (embedding,) = session.run(None, arrays)
    assert np.allclose(embedding, model(*inputs).numpy(), atol=network.TOLERANCE)
    assert np.allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)


def test_safetensors_hold_the_weights_by_name(tmp_path: Path) -> None:
    model = made(aggregator="attention")
    write_model(tmp_path, model, WIDTH, {"space": "mofore"}, ("safetensors",))
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert {name: file.get_tensor(name).shape for name in file.keys()} == {  # noqa: SIM118 - no mapping
            name: tensor.shape for name, tensor in model.clips.embedder.state_dict().items()
        }


def test_an_export_that_gives_another_output_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_write_program", lambda _program, path: path.touch() or (lambda *x: x[0][:, 0, :8]))
    with pytest.raises(StageError, match="differs from the model by"):
        write_model(tmp_path, made(aggregator="mean_sd"), WIDTH, {}, ("torch",))
    assert [*tmp_path.iterdir()] == []


def test_without_onnx_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UsageError, match=r"pip install 'mofore\[export\]', or take --format torch"):
        write_model(tmp_path, made(), WIDTH, {}, ("safetensors", "onnx"))
    assert [*tmp_path.iterdir()] == []
