import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mofore.cache import hold
from mofore.cache.atomic import create, published, write_bytes
from mofore.cache.hold import beside, make_folder
from mofore.cache.lock import NAME, exclusive, holder, shared
from mofore.cache.metrics_log import MetricsLog
from mofore.data.errors import StageError, WorkspaceError

WRITERS: dict[str, Callable[[Path], object]] = {
    "published": lambda folder: write_bytes(folder / "features" / "a", b"new"),
    "created": lambda folder: create(folder / "features" / "a", b"new"),
    "folder": lambda folder: make_folder(folder / "features" / "b"),
    "log": lambda folder: MetricsLog(folder / "fit" / "log.jsonl"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    return tmp_path / "a"


def left_by(host: str, beats: int) -> str:
    return f"process 7 on {host}\n0123456789abcdef {beats:012d}\n"


@pytest.mark.parametrize("way", WRITERS)
def test_nothing_is_written_where_a_folder_was_renamed(folder: Path, way: str) -> None:
    moved = folder.with_name("b")
    with exclusive(folder / NAME):
        folder.rename(moved)
        with pytest.raises(StageError, match=rf"was renamed.*'{moved}' now: go on there with -w"):
            WRITERS[way](folder)
    assert not folder.exists()


@pytest.mark.parametrize("way", WRITERS)
def test_nothing_is_written_into_what_was_put_in_its_place(folder: Path, way: str) -> None:
    other = folder.with_name("other")
    (other / "features").mkdir(parents=True)
    (other / NAME).touch()
    with exclusive(folder / NAME):
        folder.rename(folder.with_name("b"))
        other.rename(folder)
        with pytest.raises(StageError, match="was renamed, replaced or deleted"):
            WRITERS[way](folder)
    assert sorted(path.name for path in folder.rglob("*")) == [NAME, "features"]


def test_what_fails_for_it_is_explained_by_it(folder: Path) -> None:
    def read_in_a_folder_that_goes() -> None:
        with exclusive(folder / NAME):
            folder.rename(folder.with_name("b"))
            (folder / "mofore.toml").read_bytes()

    with pytest.raises(StageError, match="was renamed") as raised:
        read_in_a_folder_that_goes()
    assert isinstance(raised.value.__cause__, FileNotFoundError)


def test_a_file_in_the_making_does_not_take_its_name_any_more(folder: Path) -> None:
    def write_in_a_folder_that_goes() -> None:
        with exclusive(folder / NAME), published(folder / "a") as temporary:
            temporary.write_bytes(b"half")
            folder.rename(folder.with_name("b"))

    with pytest.raises(StageError, match="was renamed"):
        write_in_a_folder_that_goes()
    assert not folder.exists()
    assert not (folder.with_name("b") / "a").exists()


def test_a_process_beside_the_holder_goes_by_the_folder_too(folder: Path) -> None:
    (folder / NAME).touch()
    with beside(folder / NAME):
        write_bytes(folder / "a", b"before")
        folder.rename(folder.with_name("b"))
        with pytest.raises(StageError, match="was renamed"):
            write_bytes(folder / "features" / "a", b"after")
    assert not folder.exists()
    with beside(folder / NAME):  # nothing is there to go by
        write_bytes(folder / "a", b"as ever")


def test_who_shares_a_folder_notices_that_it_was_renamed(folder: Path) -> None:
    with shared(folder / NAME, 1):
        write_bytes(folder / "a", b"before")
        folder.rename(folder.with_name("b"))
        with pytest.raises(StageError, match="was renamed"):
            write_bytes(folder / "a", b"after")


def test_the_mark_of_another_machine_stops_who_was_there(folder: Path) -> None:
    with exclusive(folder / NAME):
        write_bytes(folder / "a", b"before")
        (folder / NAME).write_text(left_by("lab2", 0))
        with pytest.raises(StageError, match=r"another run \(process 7 on lab2\) has begun in"):
            write_bytes(folder / "a", b"after")
    assert (folder / "a").read_bytes() == b"before"
    assert (folder / NAME).read_text() == left_by("lab2", 0), "whose mark stays"


def test_a_mark_that_changes_refuses_who_begins_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "BEAT_S", 0.2)

    def beat(_seconds: float) -> None:
        (folder / NAME).write_text(left_by("lab2", 1))

    monkeypatch.setattr(hold.time, "sleep", beat)
    (folder / NAME).write_text(left_by("lab2", 0))
    with pytest.raises(WorkspaceError, match=r"at work in .* \(process 7 on lab2\)"), exclusive(folder / NAME):
        pass


def test_a_mark_that_was_left_is_taken_over_after_some_beats(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(hold.time, "monotonic", lambda: sum(slept))
    monkeypatch.setattr(hold.time, "sleep", slept.append)
    (folder / NAME).write_text(left_by("lab2", 12))
    with exclusive(folder / NAME):
        assert sum(slept) >= hold.BEATS_WATCHED * hold.BEAT_S
        assert f"process {os.getpid()} on" in (folder / NAME).read_text()


def test_a_mark_of_this_machine_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold.time, "sleep", lambda _s: pytest.fail("its locks can be relied on"))
    (folder / NAME).write_text(left_by(socket.gethostname(), 12))
    with exclusive(folder / NAME):
        pass


def test_the_mark_changes_while_it_is_held_and_goes_with_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "BEAT_S", 0.001)
    with exclusive(folder / NAME):
        first = (folder / NAME).read_text()
        changed = threading.Event()
        while (folder / NAME).read_text() == first:
            changed.wait(0.001)
        assert holder(folder / NAME).startswith(f"process {os.getpid()} on")
    assert (folder / NAME).read_text() == ""


def test_a_lock_file_that_another_machine_deletes_is_nobody_s(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = folder / "1.lock", folder / "2.lock"
    first.write_text(left_by("lab2", 0))
    monkeypatch.setattr(hold.time, "sleep", lambda _s: first.unlink())
    assert hold.living(first, second) == ""
    assert not first.exists(), "it was watched"
