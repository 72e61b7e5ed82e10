"""Shards and checkpoints that somebody made to do harm: refused, by name, and without reading what they promise."""

import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from mofore.cache.checkpoint import load_arrays, load_checkpoint, read_meta, read_rows
from mofore.cache.ledger import ShardRecord
from mofore.cache.probe import probe
from mofore.cache.shard import VideoFeatures
from mofore.cache.store import FeatureStore
from mofore.cache.tensor_header import MOST_BYTES
from mofore.data.errors import StoreError
from mofore.data.types import FileState

BOUND_BYTES = 8 << 20  # of memory, for files of some kilobytes; HDF5's own caches are among it
HUGE = 1 << 40


def link_elsewhere(file: h5py.File, secret: Path) -> None:
    del file["features"]
    file["features"] = h5py.ExternalLink(secret, "features")


def link_softly(file: h5py.File, secret: Path) -> None:
    file["copy"] = file["features"]
    del file["features"]
    file["features"] = h5py.SoftLink("/copy")


def virtual(file: h5py.File, secret: Path) -> None:
    del file["features"]
    layout = h5py.VirtualLayout((4, 5), "<f2")
    layout[:] = h5py.VirtualSource(secret, "features", (4, 5), "<f2")
    file.create_virtual_dataset("features", layout)


def raw_elsewhere(file: h5py.File, secret: Path) -> None:
    del file["features"]
    file.create_dataset("features", (4, 5), "<f2", external=[(str(secret), 0, 40)])


def huge_rows(file: h5py.File, secret: Path) -> None:
    del file["features"], file["times_s"]
    file.create_dataset("features", (HUGE, 5), "<f2", chunks=(1024, 5))
    file.create_dataset("times_s", (HUGE,), "<f8", chunks=(1024,))


def many_videos(file: h5py.File, secret: Path) -> None:
    del file["source_size"]
    file.create_dataset("source_size", (HUGE,), "<i8", chunks=(1024,))


def group_for_table(file: h5py.File, secret: Path) -> None:
    del file["times_s"]
    file.create_group("times_s")


HARM: dict[str, Callable[[h5py.File, Path], None]] = {
    each.__name__: each
    for each in (link_elsewhere, link_softly, virtual, raw_elsewhere, huge_rows, many_videos, group_for_table)
}


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "features" / "enc")


def published(store: FeatureStore) -> ShardRecord:
    features = np.arange(20, dtype=np.float16).reshape(4, 5)
    return store.publish([VideoFeatures("a.avi", FileState(1, 1, "sha"), features, np.arange(4.0))], {})


@pytest.mark.parametrize("harm", HARM)
def test_a_hostile_shard_is_refused_in_bounded_memory(harm: str, store: FeatureStore, tmp_path: Path) -> None:
    record = published(store)
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["features"] = np.ones((4, 5), np.float16)
    with h5py.File(store.folder / record.name, "r+") as file:
        HARM[harm](file, secret)
    place = [(record.name, 0, record.videos[0])]
    path = store.folder / record.name
    reads = (
        lambda: store.load(place),
        lambda: store.attach(place),
        lambda: store.inspect(path),
        lambda: store.width(record.name),
        lambda: store.rewrite(path, [0]),
        lambda: store.backwards(path),
    )
    tracemalloc.start()
    try:
        for read in reads:
            with pytest.raises(StoreError, match=record.name):
                read()
        assert tracemalloc.get_traced_memory()[1] < BOUND_BYTES
    finally:
        tracemalloc.stop()
    assert store.examine(path, record).damaged == ("a.avi",)


def test_a_table_that_would_fill_the_memory_is_tried_in_a_bounded_process(store: FeatureStore) -> None:
    record = published(store)
    with h5py.File(store.folder / record.name, "r+") as file:
        many_videos(file, store.folder)
    assert "memory" in probe(store.folder / record.name, ("source_size",))


def tensors(header: bytes, length: int | None = None, content: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + content


def described(**tensor: object) -> bytes:
    return tensors(
        json.dumps({"m": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **tensor}}).encode(),
        None,
        bytes(16),
    )


BOMBS = {
    "a header of exabytes": tensors(b"{}", 1 << 62),
    "a header longer than the file": tensors(b"{}", 1 << 33),
    "lists within lists": tensors(b"[" * 100_000),
    "no object": tensors(b"[1]"),
    "a shape of exabytes": described(shape=[2, 1 << 60]),
    "a place beyond the file": described(data_offsets=[1 << 40, (1 << 40) + 16]),
    "a place before the tensors": described(data_offsets=[-16, 0]),
    "no numbers": described(shape=["2", None]),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_hostile_checkpoint_is_refused_in_bounded_memory(bomb: str, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(BOMBS[bomb])
    tracemalloc.start()
    try:
        for read in (load_checkpoint, read_meta, lambda path: read_rows(path, "m", np.array([0, 1]))):
            with pytest.raises(StoreError, match=path.name):
                read(path)
        assert tracemalloc.get_traced_memory()[1] < BOUND_BYTES
    finally:
        tracemalloc.stop()


def test_a_header_of_nothing_but_names_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    with path.open("wb") as file:  # as large as it says, but no byte of it is on the disk
        file.write(struct.pack("<Q", MOST_BYTES + 1) + b"{")
        file.truncate(MOST_BYTES + 100)
    for read in (load_checkpoint, read_meta, lambda path: load_arrays(path, ["m"])):
        with pytest.raises(StoreError, match="more than"):
            read(path)
