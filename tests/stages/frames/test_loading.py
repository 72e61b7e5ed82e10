from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mofore.cache.shard_rows import ShardRows
from mofore.data.fit_settings import FitSettings
from mofore.data.progress import Silent
from mofore.stages.frames import loading as residency
from mofore.stages.frames.loading import GIB, has_room_for_sums, load_frames, memory_limit
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.frames.sampler import make_sampler
from mofore.stages.machine import memory as machine_memory
from mofore.stages.machine.memory import total_memory

from ..memory import Listening, stored, table

CPU = torch.device("cpu")


def having(size: int, **settings: Any) -> FitSettings:
    return FitSettings(memory_gb=size / GIB, device="cpu", **settings)


@pytest.fixture
def machine_of_1000_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residency, "total_memory", lambda _device: 1000)


def test_a_store_that_fits_is_loaded_and_a_larger_one_stays_in_its_files_and_that_is_said(tmp_path: Path) -> None:
    store, wanted = stored(tmp_path, table([20, 30, 40]))  # 90 frames of 6 features and 24 bytes beside them
    told = Listening()
    assert isinstance(load_frames(store, wanted, having(3240), progress=told).features_ND, np.ndarray)
    assert not told.notes
    assert isinstance(load_frames(store, wanted, having(3239), progress=told).features_ND, ShardRows)
    assert told.notes == ["the features (1.01e-06 GiB) are read from their files: fit.memory_gb = 3.01655e-06"]


@pytest.mark.usefixtures("machine_of_1000_bytes")
def test_half_of_the_machine_is_the_limit_where_none_is_given(tmp_path: Path) -> None:
    store, wanted = stored(tmp_path, table([20, 30, 40]))
    told = Listening()
    assert memory_limit(0, CPU) == 500
    assert isinstance(load_frames(store, wanted, having(0), progress=told).features_ND, ShardRows)
    assert told.notes[0].endswith("fit.memory_gb = 0 (half of what there is, 4.66e-07 GiB)")


@pytest.mark.parametrize(("room", "kind"), [(6480, np.ndarray), (6479, ShardRows)])
def test_several_processes_need_room_for_the_copy_that_they_share(tmp_path: Path, room: int, kind: type) -> None:
    store, wanted = stored(tmp_path, table([20, 30, 40]))
    loaded = load_frames(store, wanted, having(room, processes=2), progress=Silent())
    assert isinstance(loaded.features_ND, kind)


def test_prefix_sums_are_made_where_they_have_room_beside_the_frames() -> None:
    memory = FrameTensors.of(table([20, 30, 40]), CPU)
    needed = 90 * (2 * 6 + 24) + 8 * (90 + 3) * 6
    assert has_room_for_sums(memory, needed / GIB)
    assert not has_room_for_sums(memory, (needed - 1) / GIB)
    for room, made in ((needed, True), (needed - 1, False)):
        settings = FitSettings(clip_length=4, memory_gb=room / GIB)
        assert (make_sampler(settings, memory, torch.arange(3)).memory.prefix_MD is not None) == made


def test_the_tightest_limit_of_the_control_groups_around_counts(tmp_path: Path) -> None:
    for place, limit in {
        "a/memory.max": "max",
        "memory.max": "7000",
        "memory/x/y/memory.limit_in_bytes": "9223372036854771712",
        "memory/x/memory.limit_in_bytes": "5000",
    }.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(f"{limit}\n")
    (tmp_path.parent / "memory.max").write_text("1")  # not of the groups
    found = list(machine_memory._limits(tmp_path, ["5:cpu,memory:/x/y", "1:cpu:/z", "0::/a/b"]))
    assert sorted(found) == [5000, 7000, 9223372036854771712]
    assert list(machine_memory._limits(tmp_path / "none", ["0::/a"])) == []


def test_the_machine_has_memory() -> None:
    assert 1 << 26 < total_memory(CPU) < 1 << 50
