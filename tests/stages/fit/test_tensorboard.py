import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from mofore.data.errors import ConfigError
from mofore.data.progress import Silent
from mofore.stages.fit import tensorboard as curves


class FakeWriter:
    made: list["FakeWriter"] = []  # noqa: RUF012

    def __init__(self, folder: str) -> None:
        self.folder, self.scalars, self.closed = folder, [], False
        self.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def close(self) -> None:
        self.closed = True


def test_curves_are_written_where_tensorboard_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "find_spec", lambda name: ModuleSpec(name, None))
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = FakeWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    made = curves.make_curves("auto", tmp_path, Silent())
    made.add("step", {"step": 100, "loss": 0.5})
    made.close()
    (writer,) = FakeWriter.made
    assert writer.scalars == [("step/loss", 0.5, 100)]
    assert writer.closed
    assert writer.folder == str(tmp_path / "tensorboard")
    assert isinstance(curves.make_curves("off", tmp_path, Silent()), curves.NoCurves)


def test_without_tensorboard_there_are_none_unless_they_are_demanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "find_spec", lambda _name: None)
    made = curves.make_curves("auto", tmp_path, Silent())
    made.add("step", {"step": 1, "loss": 0.5})
    made.close()
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"pip install 'mofore\[tensorboard\]'"):
        curves.make_curves("on", tmp_path, Silent())
