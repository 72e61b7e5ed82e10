import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mofore.cache.lock import exclusive
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
