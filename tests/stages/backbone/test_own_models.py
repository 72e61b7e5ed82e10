import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mofore.data.errors import BackboneError
from mofore.data.settings import ExtractSettings
from mofore.stages.backbone.encoder import Encoder, load_encoder
from mofore.stages.backbone.made_alike import difference
from mofore.tests.stages.backbone import own_backbones
from mofore.tests.stages.backbone.own_backbones import FRAMES, HERE, SIDE


def encoder(function: str, weights: Path | None = None, **settings: Any) -> Encoder:
    return load_encoder(ExtractSettings(backbone=f"{HERE}:{function}", **settings), weights, torch.device("cpu"))


def test_a_clip_module_sees_normalised_windows_in_order() -> None:
    loaded = encoder("make_clips")
    assert loaded.input_shape == (FRAMES, 3, SIDE, SIDE)
    assert loaded.windows is not None
    assert (loaded.windows.length, loaded.windows.hop) == (FRAMES, FRAMES)
    levels = torch.arange(FRAMES * 3).view(1, FRAMES, 3, 1, 1).expand(2, -1, -1, SIDE, SIDE).to(torch.uint8)
    rows = loaded.encode(levels)
    assert torch.allclose(rows, (torch.arange(FRAMES * 3) / 255).expand(2, -1), atol=1e-6)


def test_an_image_module_needs_neither_parameters_nor_a_window() -> None:
    loaded = encoder("make_images")
    assert loaded.windows is None
    assert loaded.preprocess.size == (SIDE, 24)
    rows = loaded.encode(torch.full((2, 3, SIDE, 24), 255, dtype=torch.uint8))
    assert torch.allclose(rows, torch.ones(2, 3), atol=1e-6)  # (1 - 0.5) / 0.5
    with pytest.raises(BackboneError, match="one frame at a time"):
        encoder("make_images", window=4)


def test_weights_go_to_the_function_that_takes_them(tmp_path: Path) -> None:
    torch.save({"gain": torch.tensor([2.0])}, tmp_path / "mine.pth")
    plain, given = encoder("make_clips"), encoder("make_clips", tmp_path / "mine.pth")
    shown = torch.full((1, FRAMES, 3, SIDE, SIDE), 51, dtype=torch.uint8)
    assert torch.allclose(given.encode(shown), 2 * plain.encode(shown))
    assert str(difference(json.loads(json.dumps(plain.provenance)), given)).startswith("weights")
    with pytest.raises(BackboneError, match="takes no argument weights"):
        encoder("make_images", tmp_path / "mine.pth")


def test_another_version_does_not_go_on_with_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = json.loads(json.dumps(encoder("make_clips").provenance))
    assert difference(stored, encoder("make_clips")) is None
    clips = own_backbones.Clips
    monkeypatch.setattr(own_backbones, "Clips", lambda module: clips(module, version="2"))
    assert str(difference(stored, encoder("make_clips"))).startswith("version 1 of python:")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{HERE}:make_nothing", "no attribute 'window'"),
        (f"{HERE}:absent", "has no function 'absent'"),
        ("python:no_such_module_here:make", "cannot be imported .* PYTHONPATH"),
        ("python:justamodule", "python:MODULE:FUNCTION is needed"),
    ],
)
def test_what_is_wrong_with_it_is_said(name: str, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        load_encoder(ExtractSettings(backbone=name), None, torch.device("cpu"))


def test_the_example_of_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "backbones.md").read_text()
    code = page.split("This, as `mine.py`:\n\n```python\n")[1].split("```")[0]
    (tmp_path / "mine_of_the_docs.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    loaded = load_encoder(ExtractSettings(backbone="python:mine_of_the_docs:make"), None, torch.device("cpu"))
    still = torch.full((1, *loaded.input_shape), 90, dtype=torch.uint8)
    moving = still.clone()
    moving[:, ::2, :, :8, :8] = 200
    assert loaded.input_shape == (8, 3, 64, 64)
    assert torch.equal(loaded.encode(still), torch.zeros(1, 64))
    changed = loaded.encode(moving)[0]
    assert changed.argmax() == 0
    assert (changed[1:] == 0).all()
