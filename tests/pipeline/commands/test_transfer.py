"""A work folder pushed to a store of objects (fsspec's, in memory) and pulled from there."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from mofore.cache import remote_copy, remote_memory
from mofore.cache.remote_copy import MANIFEST
from mofore.data import remote
from mofore.data.errors import StageError, StoreError, UsageError
from mofore.data.progress import Silent
from mofore.pipeline.commands.transfer import finished_files, pull_folder, push_folder
from mofore.pipeline.workspace import Workspace

from ...conftest import TINY

fsspec = pytest.importorskip("fsspec")
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402

URL = "memory://bucket/runs/mine"
UP_TO_DATE = {"extract": "skip", "fit": "skip", "evaluate": "skip", "index": "skip"}


@pytest.fixture
def store() -> Iterator[Any]:
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSES_S", (0.0,))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a work folder looks like, without anything that takes long to make."""
    files = {
        "mofore.toml": b"",
        "ledger.jsonl": b"{}\n",
        "features/key/encoder.json": b"{}",
        "features/key/shard-1.h5": b"one" * 1000,
        "features/key/shard-2.h5": b"two" * 1000,
        "features/key/partial/x.bin": b"in the making",
        "features/key/.shard-3.h5.77.tmp": b"in the making",
        "index/k1/items.json": b"[]",
        "fit/k2/resume-10.safetensors": b"in the making",
        "videos/a.mp4": b"a video",
        "mofore.log": b"said",
    }
    for name, content in files.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "mine"


def push(folder: Path, url: str | None = URL, **given: Any) -> str:
    return push_folder(Workspace(folder), url, Silent(), **given)


def pull(folder: Path, url: str | None = URL, **given: Any) -> str:
    return pull_folder(folder, url, Silent(), **given)


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {name: ((folder / name).read_bytes(), (folder / name).stat().st_mtime_ns) for name in finished_files(folder)}


def objects(store: Any) -> dict[str, bytes]:
    return {name: store.cat_file(name) for name in store.find("/bucket/runs/mine/objects")}


def test_pulled_run_is_up_to_date_without_its_videos(
    mofore: Callable[..., Result], work: Path, tmp_path: Path, store: Any
) -> None:
    assert mofore("run", "-w", work, "--no-report", *TINY).exit_code == 0
    told = mofore("push", URL, "-w", work)
    assert told.exit_code == 0, told.stderr
    other = tmp_path / "other"
    assert mofore("pull", URL, "-w", other).exit_code == 0
    assert content(other) == content(work)
    status = json.loads(mofore("status", "--json", "-w", other, *TINY).stdout)
    assert {name: status["stages"][name]["action"] for name in UP_TO_DATE} == UP_TO_DATE
    assert mofore("verify", "-w", other).exit_code == 0


def test_what_is_finished_is_pushed_and_nothing_else(folder: Path, store: Any) -> None:
    assert list(finished_files(folder)) == [
        "mofore.toml",
        "ledger.jsonl",
        "features/key/encoder.json",
        "features/key/shard-1.h5",
        "features/key/shard-2.h5",
        "index/k1/items.json",
    ]
    assert push(folder).startswith("pushed 6 of 6 files")
    assert sorted(objects(store).values()) == sorted({each for each, _ in content(folder).values()})


def test_second_push_and_pull_move_what_changed(folder: Path, tmp_path: Path, store: Any) -> None:
    push(folder)
    other = tmp_path / "other"
    assert pull(other).startswith("pulled 6 of 6 files")
    (folder / "features/key/shard-3.h5").write_bytes(b"three")
    (folder / "features/key/shard-1.h5").unlink()
    assert push(folder, None).startswith("pushed 1 of 6 files")
    assert pull(other, None).startswith("pulled 1 of 6 files")
    assert content(other) == content(folder)  # what is gone there is gone here
    assert push(folder).startswith("pushed 0 of 6 files")
    # The other machine goes on, and hands it back.
    (other / "ledger.jsonl").write_bytes(b"{}\n{}\n")
    assert push(other).startswith("pushed 1 of 6 files")
    with pytest.raises(UsageError, match="has pushed: push to a place of its own"):
        push(folder)
    pull(folder)
    assert content(other) == content(folder)


def test_killed_push_is_none_and_goes_on(
    folder: Path, tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sent = MemoryFileSystem.put_file, []

    def cut(self: Any, path: str, key: str, **given: Any) -> None:
        if len(sent) == 3:
            self.pipe_file(key, Path(path).read_bytes()[:1])  # of a store that shows halves
            raise ConnectionResetError(104, "the line is cut")
        sent.append(key)
        real(self, path, key, **given)

    monkeypatch.setattr(MemoryFileSystem, "put_file", cut)
    with pytest.raises(StageError, match="the line is cut; the same command goes on"):
        push(folder)
    with pytest.raises(UsageError, match="nothing was pushed to"):
        pull(tmp_path / "other")
    monkeypatch.setattr(MemoryFileSystem, "put_file", real)
    assert push(folder).startswith("pushed 3 of 6 files")
    pull(tmp_path / "other")
    assert content(tmp_path / "other") == content(folder)


def test_upload_that_arrives_otherwise_is_refused(folder: Path, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        MemoryFileSystem,
        "put_file",
        lambda self, path, key, **_: self.pipe_file(key, bytes(len(Path(path).read_bytes()))),
    )
    with pytest.raises(StoreError, match="is not what was sent"):
        push(folder)
    assert not store.exists(f"/bucket/runs/mine/{MANIFEST}")


def test_object_that_is_damaged_is_not_pulled(folder: Path, tmp_path: Path, store: Any) -> None:
    push(folder)
    name = next(name for name, each in objects(store).items() if each.startswith(b"two"))
    store.pipe_file(name, b"owt" * 1000)
    other = tmp_path / "other"
    with pytest.raises(StoreError, match=r"is not what was pushed as 'shard-2\.h5'"):
        pull(other)
    assert not (other / "features/key/shard-2.h5").exists()
    assert not (other / "mofore.toml").exists()  # so that it is no work folder yet
    store.pipe_file(name, b"two" * 1000)
    assert pull(other).startswith("pulled 4 of 6 files")  # the others were there
    assert content(other) == content(folder)


def test_files_that_changed_here_are_not_overwritten(folder: Path, tmp_path: Path, store: Any) -> None:
    push(folder)
    other = tmp_path / "other"
    pull(other)
    (other / "mofore.toml").write_bytes(b"# mine")
    os.utime(folder / "ledger.jsonl", ns=(1, 1))
    with pytest.raises(UsageError, match=r"'mofore\.toml' is one"):
        pull(other)
    assert (other / "mofore.toml").read_bytes() == b"# mine"
    pull(other, replace=True)
    assert (other / "mofore.toml").read_bytes() == b""


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "features/../../x", ".bashrc", "videos/a.mp4"])
def test_names_that_no_work_folder_has_are_refused(folder: Path, tmp_path: Path, store: Any, name: str) -> None:
    push(folder)
    manifest = json.loads(store.cat_file(f"/bucket/runs/mine/{MANIFEST}"))
    manifest["files"][name] = manifest["files"]["mofore.toml"]
    store.pipe_file(f"/bucket/runs/mine/{MANIFEST}", json.dumps(manifest).encode())
    with pytest.raises(StoreError, match="no file of a work folder"):
        pull(tmp_path / "other")
    assert content(tmp_path / "other") == {}


def test_places_are_needed_and_carry_no_keys(folder: Path, store: Any) -> None:
    with pytest.raises(UsageError, match="name one, mofore push s3://BUCKET/FOLDER"):
        push(folder, None)
    with pytest.raises(UsageError, match="leave it out"):
        push(folder, "s3://KEY:secret@bucket/x")
    assert not (folder / "remote.json").exists()


def test_damaged_memory_costs_reading_alone(folder: Path, tmp_path: Path, store: Any) -> None:
    push(folder)
    shutil.copytree(folder, tmp_path / "copy")
    (folder / remote_memory.MEMORY).write_bytes(b"{")
    with pytest.raises(UsageError, match="push to a place of its own"):
        push(folder)
    assert pull(folder).startswith("pulled 0 of 6 files")
    assert push(folder).startswith("pushed 0 of 6 files")


def test_digests_of_s3_are_those_of_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As S3 says them: MD5, and of parts MD5 of their MD5 in binary, and how many they are."""
    monkeypatch.setattr(remote_copy, "PART_BYTES", 4)
    (tmp_path / "x").write_bytes(b"abcdefgh!")
    assert remote_copy._etags(tmp_path / "x") == (
        "c52d3560e54904b132f911a3fb384f02",
        "d1508984a04dac1b5b0c118d72c8a235-3",
    )
