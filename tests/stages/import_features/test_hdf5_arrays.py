"""What lies in other files is read if they are there; else they are named."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from mofore.data.errors import FeaturesError
from mofore.stages.import_features.flat_arrays import open_arrays
from mofore.stages.import_features.hdf5_arrays import Hdf5Arrays

DATA = np.arange(12, dtype=np.float32).reshape(4, 3)


def virtual(path: Path, source: str, *, rows: int = 4, dataset: str = "x") -> Path:
    """A file whose ``features`` are those of ``source``."""
    layout = h5py.VirtualLayout((rows, 3), "f4")
    layout[:4] = h5py.VirtualSource(source, dataset, shape=(4, 3))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("features", layout)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file["x"] = DATA
    return tmp_path / "source.h5"


def read(path: Path) -> np.ndarray:
    with open_arrays(path) as arrays:
        return arrays["features"][slice(0, 4)]


@pytest.mark.parametrize("absolute", [True, False])
def test_a_source_that_is_there_is_read(tmp_path: Path, source: Path, absolute: bool) -> None:
    assert np.array_equal(read(virtual(tmp_path / "v.h5", str(source) if absolute else source.name)), DATA)


@pytest.mark.parametrize("absolute", [True, False])
def test_a_missing_source_is_named(tmp_path: Path, source: Path, absolute: bool) -> None:
    path = virtual(tmp_path / "v.h5", str(source) if absolute else source.name)
    source.unlink()
    with pytest.raises(FeaturesError, match=r"features is a virtual dataset, whose source '.*source\.h5' is not there"):
        read(path)


def test_a_missing_dataset_of_a_source_is_named(tmp_path: Path, source: Path) -> None:
    with pytest.raises(FeaturesError, match=r"source\.h5', y, which is not there: its values would read as zeros"):
        read(virtual(tmp_path / "v.h5", source.name, dataset="y"))


def test_the_source_of_a_source_is_looked_for(tmp_path: Path, source: Path) -> None:
    virtual(tmp_path / "between.h5", source.name)
    path = virtual(tmp_path / "v.h5", "between.h5", dataset="features")
    assert np.array_equal(read(path), DATA)
    source.unlink()
    with pytest.raises(FeaturesError, match=r"source 'source\.h5' is not there"):
        read(path)


def test_a_part_that_comes_from_nowhere_is_told(tmp_path: Path, source: Path) -> None:
    with pytest.raises(FeaturesError, match=r"of which 12 of 24 values come from no file"):
        read(virtual(tmp_path / "v.h5", source.name, rows=8))


def test_the_same_file_may_be_the_source(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["x"] = DATA
        layout = h5py.VirtualLayout((4, 3), "f4")
        layout[:] = h5py.VirtualSource(file["x"])
        file.create_virtual_dataset("features", layout)
    assert np.array_equal(read(tmp_path / "v.h5"), DATA)


def test_external_storage_must_be_there_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with h5py.File("e.h5", "w") as file:
        file.create_dataset("features", (4, 3), "f4", external=[("raw.bin", 0, 48)])[:] = DATA
    assert np.array_equal(read(tmp_path / "e.h5"), DATA)
    Path("raw.bin").write_bytes(b"\0" * 20)
    with pytest.raises(FeaturesError, match=r"external file 'raw\.bin', which has 20 bytes instead of 48"):
        read(tmp_path / "e.h5")
    Path("raw.bin").unlink()
    with pytest.raises(FeaturesError, match=r"external file 'raw\.bin', which is not there"):
        read(tmp_path / "e.h5")


def test_datasets_of_groups_are_found_once_and_links_to_nothing_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/x"] = DATA
        file["a/again"] = file["a"]
    with h5py.File(tmp_path / "a.h5") as file:
        assert [path for path, *_ in Hdf5Arrays(tmp_path / "a.h5", file).below()] == ["a/x"]
    for link, said in (
        (h5py.ExternalLink("other.h5", "/x"), r"gone is a link to /x of 'other\.h5', which is not there"),
        (h5py.SoftLink("/nowhere"), r"gone is a link to /nowhere, which is not there"),
    ):
        with h5py.File(tmp_path / "a.h5", "a") as file:
            if "gone" in file.keys():  # noqa: SIM118 - a link to nothing is a key, but is not in the file
                del file["gone"]
            file["gone"] = link
        with h5py.File(tmp_path / "a.h5") as file, pytest.raises(FeaturesError, match=said):
            list(Hdf5Arrays(tmp_path / "a.h5", file).below())
