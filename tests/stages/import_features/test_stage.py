"""What is stored of features is what was given, as far as float16 can hold it."""

import re
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest

from mofore.data.errors import FeaturesError
from mofore.data.progress import Silent
from mofore.stages.import_features.flat_arrays import open_arrays
from mofore.stages.import_features.open_source import open_source
from mofore.stages.import_features.stage import LARGEST, check, half


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8", ">f4"])
def test_features_become_float16(kind: str) -> None:
    table = np.random.default_rng(0).standard_normal((5, 3)).astype(kind)
    assert half(table, "a").dtype == np.float16
    assert np.array_equal(half(table, "a"), table.astype(np.float16))


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e5, LARGEST * 1.001])
def test_what_float16_cannot_hold_is_named_by_frame(value: float) -> None:
    table = np.ones((4, 3))
    table[2, 1] = value
    with pytest.raises(FeaturesError, match=re.escape(f"'a', frame 12: a feature is {value:g}")):
        half(table, "'a'", 10)


def test_small_features_are_taken_and_smaller_ones_refused() -> None:
    direction = np.array([[0.3, -0.9, 0.4]])
    assert np.allclose(half(1e-3 * direction, "a"), 1e-3 * direction, rtol=2**-10)
    with pytest.raises(FeaturesError, match="too small for float16: multiply all features by one factor"):
        half(1e-6 * direction, "a")
    half(np.array([[1.0, 1e-9]]), "a")  # what is lost beside a large one does not matter
    half(np.zeros((1, 3)), "a")


def test_a_zipped_array_is_read_in_rows_in_any_order(tmp_path: Path) -> None:
    table = np.arange(60, dtype=np.float32).reshape(20, 3)
    for name, save in (("stored.npz", np.savez), ("small.npz", np.savez_compressed)):
        save(tmp_path / name, features=table, empty=np.empty((0, 3)), texts=np.array(["a", "bcd"]))
        with open_arrays(tmp_path / name) as arrays:
            assert (arrays["features"].shape, arrays["features"].dtype) == (table.shape, table.dtype)
            for rows in (slice(5, 9), slice(0, 2), slice(19, 20), slice(None)):
                assert np.array_equal(arrays["features"][rows], table[rows])
            assert arrays["empty"][:].shape == (0, 3)
            assert arrays["texts"][:].tolist() == ["a", "bcd"]
        with pytest.raises(FeaturesError, match="cannot be read"):  # nothing of it keeps the file open
            arrays["features"][:1]


def test_a_group_of_an_hdf5_file_is_no_array(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("features")
        file["lengths"] = [1]
    with open_arrays(tmp_path / "a.h5") as arrays:
        assert list(arrays) == ["lengths"]


def test_a_source_is_read_a_block_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mofore.stages.import_features.source.BLOCK_BYTES", 24)
    table = np.arange(20, dtype=np.float32).reshape(10, 2)
    np.savez(tmp_path / "a.npz", features=table, lengths=[3, 7], ids=["b", "a"])
    with open_source(tmp_path / "a.npz", 10) as source:
        assert [video.id for video in source.videos] == ["b", "a"], "in the order of the rows"
        blocks = list(source.blocks(source.videos[1]))
        assert [len(block) for block in blocks] == [3, 3, 1]
        assert np.array_equal(np.concatenate(blocks), table[3:])
        assert source.times_s(source.videos[0]).tolist() == [0.0, 0.1, 0.2]


def timed_source(folder: Path, times_s: list[float]) -> Path:
    path = folder / "timed.npz"
    count = len(times_s)
    np.savez(path, features=np.ones((count, 3)), lengths=[2, count - 2], ids=["first", "second"], times_s=times_s)
    return path


@pytest.mark.parametrize(
    ("times_s", "said"),
    [
        ([0, 1, 0.0, 0.04, 0.03, 0.08], "'second' do not rise: frame 2 is at 0.03 s, frame 1 at 0.04 s"),
        ([0, 1, 0.0, 0.0, 0.0, 0.0], "'second' do not rise: frame 1 is at 0 s"),
    ],
)
def test_times_that_do_not_rise_are_refused_by_video(times_s: list[float], said: str, tmp_path: Path) -> None:
    with open_source(timed_source(tmp_path, times_s)) as source, pytest.raises(FeaturesError, match=re.escape(said)):
        check(source, Silent())


def test_times_in_milliseconds_are_told(tmp_path: Path) -> None:
    class Heard(Silent):
        notes: ClassVar[list[str]] = []

        def note(self, message: str) -> None:
            self.notes.append(message)

    with open_source(timed_source(tmp_path, [0, 0.04, 0, 40, 80, 120])) as source:
        check(source, Heard())
    (note,) = Heard.notes
    assert "times_s of 'second' are 40 apart" in note
    assert "`--fps 25`" in note
