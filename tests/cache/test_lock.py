import errno
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mofore.cache.lock import exclusive, holder, shared
from mofore.data.errors import WorkspaceError


def test_a_second_process_is_refused_at_once_and_told_who_holds_it(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from mofore.cache.lock import exclusive
from mofore.data.errors import WorkspaceError
try:
    with exclusive(Path({str(tmp_path / "lock")!r})):
        print("taken")
except WorkspaceError as error:
    print(error)
"""
    with exclusive(tmp_path / "lock"):
        told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert f"process {os.getpid()} " in told
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told == "taken\n"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="cannot be written to"), exclusive(tmp_path / "gone" / "lock"):
        pass


def test_where_there_is_no_fcntl_a_byte_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, int]] = []

    def locking(handle: int, _mode: int, count: int) -> None:
        place = (os.lseek(handle, 0, os.SEEK_CUR), count)
        if place in taken:
            raise OSError(36, "held")
        taken.append(place)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    with exclusive(tmp_path / "lock"):
        assert taken[0][0] >= 1 << 30, "beyond the text, which others read"
        with pytest.raises(WorkspaceError, match=f"process {os.getpid()} on"), exclusive(tmp_path / "lock"):
            pass


def test_several_share_what_nobody_has_alone(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    refused = pytest.raises(WorkspaceError, match=r"parts of an extraction, the last of them process \d+")
    with shared(lock, 1), shared(lock, 2), refused, exclusive(lock):
        pass
    with exclusive(lock), pytest.raises(WorkspaceError, match=f"process {os.getpid()} on"), shared(lock, 1):
        pass
    with shared(lock, 1):
        pass


def test_who_holds_a_lock_is_told_and_nothing_taken(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock"):
        assert holder(tmp_path / "lock").startswith(f"process {os.getpid()} on ")
    assert holder(tmp_path / "lock") == ""


def test_a_disk_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(_handle: int, _operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(WorkspaceError, match=r"has no locks .*-o flock"), exclusive(tmp_path / "lock"):
        pass


def test_where_there_is_no_fcntl_each_seat_is_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[range] = []

    def locking(handle: int, _mode: int, count: int) -> None:
        begin = os.lseek(handle, 0, os.SEEK_CUR)
        if any(begin < other.stop and other.start < begin + count for other in taken):
            raise OSError(36, "held")
        taken.append(range(begin, begin + count))

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    with shared(tmp_path / "lock", 1), shared(tmp_path / "lock", 2):
        for other in (exclusive(tmp_path / "lock"), shared(tmp_path / "lock", 2)):
            with pytest.raises(WorkspaceError, match="another run is at work"), other:
                pass


def test_who_holds_a_lock_is_told_while_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder(path) == "", "it is not there"
    with exclusive(path):
        assert holder(path) == f"process {os.getpid()} on {socket.gethostname()}"
    assert holder(path) == ""
    with shared(path, 1):
        assert holder(path) == "", "nobody has it alone"


def test_a_look_at_who_holds_a_lock_is_not_taken_for_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mofore.cache import lock

    path = tmp_path / "lock"
    with exclusive(path):
        pass
    looking = os.open(path, os.O_RDWR)
    lock._take(looking, 0)
    monkeypatch.setattr(lock.time, "sleep", lambda _seconds: os.close(looking))  # which ends meanwhile
    with exclusive(path):
        assert holder(path).startswith("process")
