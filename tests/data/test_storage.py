import errno
import os
from pathlib import Path

import pytest

from mofore.data.remote_path import RemotePath
from mofore.data.storage import is_lost, is_out_of_reach, naming, refuse_lost, said_number

HDF5 = "Can't decrement id ref count (file write failed: time = now\n, filename = '/x', errno = 5, error message = ...)"


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.EIO, "Input/output error"), errno.EIO),
        (OSError("HDF5 says that errno = 116 came"), 116),
        (RuntimeError(HDF5), errno.EIO),
        (KeyError(HDF5), errno.EIO),
        (ValueError("I/O error: Stale file handle (os error 116)"), 116),
        (RuntimeError("Error: 'f' failed: could not open x for reading: Input/output error"), errno.EIO),
        (RuntimeError("vectors of another kind"), None),
        (ValueError("not a header"), None),
    ],
)
def test_the_number_behind_an_error_is_found(error: Exception, number: int | None) -> None:
    assert said_number(error) == number
    assert is_lost(error) == (number is not None)


def test_what_is_missing_or_forbidden_is_not_lost() -> None:
    assert not is_lost(FileNotFoundError(errno.ENOENT, "gone"))
    assert not is_lost(PermissionError(errno.EACCES, "no"))
    assert not is_lost(OSError(errno.ENOSPC, "full"))


def test_a_file_that_went_away_is_out_of_reach_and_a_dangling_link_is_not(tmp_path: Path) -> None:
    gone = FileNotFoundError(errno.ENOENT, "No such file or directory")
    (tmp_path / "link").symlink_to("nowhere")
    assert is_out_of_reach(tmp_path / "gone", gone)
    assert not is_out_of_reach(tmp_path / "link", gone)
    assert not is_out_of_reach(tmp_path / "gone", PermissionError(errno.EACCES, "no"))


def test_an_object_that_has_gone_is_out_of_reach_and_one_that_is_refused_is_not() -> None:
    place = RemotePath.parse("memory://bucket/a.avi")
    assert not is_out_of_reach(place, PermissionError(errno.EACCES, "forbidden"))
    assert is_out_of_reach(place, ConnectionRefusedError(errno.ECONNREFUSED, "the token has expired"))
    assert is_out_of_reach(place, FileNotFoundError(errno.ENOENT, "no such object"))
    assert not is_out_of_reach(place, OSError(errno.EBUSY, "it was replaced"))


def test_lost_storage_is_raised_with_the_name_of_the_file() -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EIO)) as raised:
        refuse_lost(KeyError(HDF5), Path("a/b.h5"))
    assert (raised.value.errno, raised.value.filename) == (errno.EIO, "a/b.h5")
    refuse_lost(KeyError("no such table"), Path("a/b.h5"))


def test_a_library_that_cannot_write_is_an_error_of_the_file() -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EIO)) as raised, naming(Path("a/b.h5")):
        raise RuntimeError(HDF5)
    assert raised.value.filename == "a/b.h5"
    with pytest.raises(RuntimeError, match="of another kind"), naming(Path("a")):
        raise RuntimeError("of another kind")
