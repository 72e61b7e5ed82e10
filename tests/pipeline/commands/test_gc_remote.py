"""Objects in a bucket that nothing names any more (fsspec's, in memory)."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from mofore.cache import remote_surplus
from mofore.data import remote
from mofore.data.errors import StageError
from mofore.data.progress import Silent
from mofore.pipeline.commands.gc_remote import remote_surplus as surplus
from mofore.pipeline.commands.transfer import pull_folder, push_folder
from mofore.pipeline.workspace import Workspace

fsspec = pytest.importorskip("fsspec")
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402

URL = "memory://bucket/runs/mine"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(remote, "PAUSES_S", (0.0,))
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture
def folder(tmp_path: Path, store: Any) -> Path:
    """A folder that was pushed twice: two of the first push's three shards were merged into another since."""
    folder = tmp_path / "mine"
    shards = folder / "features/key"
    shards.mkdir(parents=True)
    (folder / "mofore.toml").write_bytes(b"")
    (folder / "ledger.jsonl").write_bytes(b"")
    for name in ("one", "two", "three"):
        (shards / f"shard-{name}.h5").write_bytes(name.encode() * 1000)
    push(folder)
    for name in ("one", "two"):
        (shards / f"shard-{name}.h5").unlink()
    (shards / "shard-both.h5").write_bytes(b"both" * 1000)
    push(folder)
    return folder


def push(folder: Path) -> str:
    return push_folder(Workspace(folder), URL, Silent())


def objects(store: Any) -> set[str]:
    return set(store.find("/bucket/runs/mine/objects"))


def age(store: Any, days: float, *names: str) -> None:
    for name in names or objects(store):
        store.store[name].created -= timedelta(days=days)


def look(folder: Path, days: float = 7.0, *, delete: bool = False) -> Any:
    return surplus(Workspace(folder), days, Silent(), delete=delete)


def test_young_objects_stay_and_old_ones_go_when_that_is_said(folder: Path, tmp_path: Path, store: Any) -> None:
    before = objects(store)
    assert (look(folder).objects, sum(look(folder).young)) == ((), 6000)
    assert look(folder, delete=True).objects == ()
    age(store, 8)
    assert look(folder).bytes == 6000
    assert objects(store) == before  # a look deletes nothing
    assert look(folder, delete=True).bytes == 6000
    assert len(before - objects(store)) == 2
    assert look(folder).objects == ()
    assert pull_folder(tmp_path / "other", URL, Silent()).startswith("pulled 4 of 4 files")


def test_command_counts_bytes_and_deletes_only_when_asked(
    folder: Path, store: Any, mofore: Callable[..., Result]
) -> None:
    age(store, 3)
    told = mofore("gc", "--remote", "-w", folder)
    assert "0 objects (0.0 MB) in memory://bucket/runs/mine that its manifest does not name" in told.stdout
    assert "2 objects (0.0 MB) that it does not name stay, being younger" in told.stdout
    found = json.loads(mofore("gc", "--remote", "2", "--json", "-w", folder).stdout)
    assert (len(found["objects"]), found["bytes"], found["deleted"]) == (2, 6000, False)
    assert len(objects(store)) == 5
    assert "deleted 2 objects" in mofore("gc", "--remote", "2", "--delete", "-w", folder).stdout
    assert len(objects(store)) == 3


def test_object_that_a_push_names_meanwhile_stays(folder: Path, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine sends it anew, since it is old, and names it, after it was listed as one to go."""
    age(store, 8)
    listed = look(folder)
    (folder / "features/key/shard-one.h5").write_bytes(b"one" * 1000)
    sent = list[str]()
    real = MemoryFileSystem.put_file

    def watched(self: Any, path: str, key: str, **given: Any) -> None:
        sent.append(key)
        real(self, path, key, **given)

    monkeypatch.setattr(MemoryFileSystem, "put_file", watched)
    assert push(folder).startswith("pushed 1 of 5 files")
    assert len(sent) == 1
    gone = remote_surplus.delete_objects(listed, 7.0, Silent())
    assert gone.bytes == 3000  # the other one
    assert pull_folder(folder.parent / "other", URL, Silent()).startswith("pulled 5 of 5 files")


def test_object_sent_but_not_named_yet_stays(folder: Path, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    age(store, 8)
    listed = look(folder)
    (folder / "features/key/shard-one.h5").write_bytes(b"one" * 1000)
    real = MemoryFileSystem.pipe_file

    def before_the_manifest(self: Any, path: str, value: bytes, **given: Any) -> None:
        assert remote_surplus.delete_objects(listed, 7.0, Silent()).bytes == 3000  # but that of the other shard
        real(self, path, value, **given)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", before_the_manifest)
    push(folder)
    assert pull_folder(folder.parent / "other", URL, Silent()).startswith("pulled 5 of 5 files")


def test_shards_that_a_folder_has_yet_to_fetch_stay(folder: Path, tmp_path: Path, store: Any) -> None:
    other = tmp_path / "other"
    pull_folder(other, URL, Silent(), cache="1MB")
    (folder / "features/key/shard-both.h5").unlink()
    push(folder)
    age(store, 8)
    assert look(other).bytes == 6000  # not what it has pulled
    assert look(folder).bytes == 10_000


def test_without_a_manifest_or_a_store_nothing_is_deleted(
    folder: Path, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(store, 8)
    store.rm_file("/bucket/runs/mine/mofore.json")
    with pytest.raises(Exception, match="nothing there is deleted"):
        look(folder, delete=True)

    def lost(*_: Any, **__: Any) -> bytes:
        raise ConnectionResetError(104, "the line is cut")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", lost)
    with pytest.raises(StageError, match="the line is cut"):
        look(folder, delete=True)
    assert len(objects(store)) == 5
