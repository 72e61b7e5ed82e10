from pathlib import Path

import numpy as np
import pytest
import torch

from mofore.cache.checkpoint import load_checkpoint, read_meta, read_rows, save_checkpoint
from mofore.data.errors import StoreError


def test_tensors_and_meta_come_back_exactly(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    tensors = {"w": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), "n": torch.tensor(7)}
    save_checkpoint(path, tensors, {"step": 3, "lr": 1e-4})
    loaded, meta = load_checkpoint(path)
    assert meta == {"step": 3, "lr": 1e-4}
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert read_meta(path) == meta


@pytest.mark.parametrize("content", [b"", b"abc", b"\x00" * 64, b"\xff" * 64])
def test_a_damaged_file_is_named_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="fit --force"):
        load_checkpoint(path)
    with pytest.raises(StoreError, match="fit --force"):
        read_meta(path)


def test_some_rows_are_read_without_the_others(tmp_path: Path) -> None:
    matrix = torch.arange(60.0).reshape(20, 3)
    save_checkpoint(tmp_path / "c", {"a": torch.zeros(7), "m": matrix, "z": torch.zeros(2, dtype=torch.int64)}, {})
    rows = np.array([19, 0, 4, 4])
    assert np.array_equal(read_rows(tmp_path / "c", "m", rows), matrix.numpy()[rows])
    assert read_rows(tmp_path / "c", "m", rows[:0]).shape == (0, 3)


@pytest.mark.parametrize("name", ["z", "absent"])
def test_rows_that_are_not_there_are_an_error(name: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", {"z": torch.zeros(2, 2, dtype=torch.int64)}, {})
    with pytest.raises(StoreError, match="the rows of"):
        read_rows(tmp_path / "c", name, np.array([0]))


def test_rows_of_a_file_that_was_cut_short_are_an_error(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", {"m": torch.zeros(20, 3)}, {})
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes()[:-4])
    with pytest.raises(StoreError, match="the rows of"):
        read_rows(tmp_path / "c", "m", np.array([19]))
