import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mofore.cache.atomic import (
    create,
    meant_by,
    published,
    remove_leftovers,
    remove_leftovers_below,
    write_bytes,
    write_json,
)


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "value"
    write_bytes(path, b"old")

    def fail() -> None:
        with published(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_a_killed_writer_are_removed_and_nothing_else_is(tmp_path: Path) -> None:
    (tmp_path / ".shard-1.h5.77.tmp").write_bytes(b"half")
    (tmp_path / "shard-1.h5").write_bytes(b"whole")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["shard-1.h5"]


def test_nan_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "metrics.json", {"mAP": float("nan")})
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize("links", [True, False])
def test_the_first_of_several_creates_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:  # exFAT, SMB
        monkeypatch.setattr("os.link", unsupported)
    assert create(tmp_path / "value", b"first")
    assert not create(tmp_path / "value", b"second")
    assert (tmp_path / "value").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["value"]


def unsupported(*_: object) -> None:
    raise OSError(errno.EPERM, "no hard links")


def test_of_threads_that_create_at_once_one_succeeds(tmp_path: Path) -> None:
    for number in range(20):
        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda n, path=tmp_path / f"{number}": create(path, b"%d" % n), range(8)))
        assert sum(told) == 1
        assert (tmp_path / f"{number}").read_bytes() == b"%d" % told.index(True)


def test_a_temporary_name_tells_which_file_is_meant(tmp_path: Path) -> None:
    target = tmp_path / "a.parquet"
    with published(target) as temporary:
        assert meant_by(temporary) == target
        temporary.write_bytes(b"")
    assert meant_by(target) == target


def test_leftovers_go_from_folders_below_too(tmp_path: Path) -> None:
    kept = [tmp_path / "a" / "b" / "whole", tmp_path / "a" / "b" / "c" / ".deep.1.tmp", tmp_path / "a" / ".hidden"]
    gone = [tmp_path / "a" / ".x.1.tmp", tmp_path / "a" / "b" / ".shard.h5.77.tmp"]
    kept[1].parent.mkdir(parents=True)
    for path in (*kept, *gone):
        path.touch()
    remove_leftovers_below(tmp_path / "a", 1)
    assert [path.exists() for path in kept] == [True] * 3
    assert not any(path.exists() for path in gone)
    remove_leftovers_below(tmp_path / "nowhere", 1)
