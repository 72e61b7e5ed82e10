from pathlib import Path

import pytest
import torch
from mofore.cache.checkpoint import load_checkpoint, read_meta, save_checkpoint
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
