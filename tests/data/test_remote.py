"""Videos in a store of objects: fsspec's memory:// as it is, and one over it that counts what is fetched."""

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest

from mofore.cache.fingerprint import current_state, file_state, stat_of
from mofore.data import remote
from mofore.data.catalog import scan
from mofore.data.damage import Damage
from mofore.data.decode import decode, duration_s, expected_frames, key_picture
from mofore.data.errors import CatalogError, VideoError
from mofore.data.motion import write_motion_set
from mofore.data.pictures import rgb
from mofore.data.remote import RemoteFile, filesystem, object_state, objects_below, open_object
from mofore.data.remote_path import RemotePath
from mofore.data.roots import scan_roots
from mofore.data.sampling import Sampling, Span, Within
from mofore.data.settings import DataSettings

fsspec = pytest.importorskip("fsspec")
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402
from fsspec.spec import AbstractBufferedFile  # noqa: E402


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSES_S", ())


class CountedFile(AbstractBufferedFile):
    def _fetch_range(self, start: int, end: int) -> bytes:
        end = min(end, self.size)
        self.fs.fetched.append((self.path, start, end))
        if len(self.fs.fetched) > self.fs.breaks_after:
            raise ConnectionResetError("the line is cut")
        return self.fs.store[self.path].getvalue()[start:end]


class Counted(MemoryFileSystem):
    """Like a server: whatever is fetched is counted, and all fetches after the first so many fail."""

    protocol = "counted"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    fetched: ClassVar[list[tuple[str, int, int]]] = []
    breaks_after = 10**9

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("counted://", "memory://"))

    def _open(self, path: str, mode: str = "rb", block_size: Any = None, **kwargs: Any) -> Any:
        if mode != "rb":
            return super()._open(path, mode, block_size, **kwargs)
        kwargs.pop("autocommit", None), kwargs.pop("cache_options_of", None)
        return CountedFile(self, path, mode, block_size, **kwargs)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Counted]]:
    fsspec.register_implementation("counted", Counted, clobber=True)
    monkeypatch.setattr(Counted, "breaks_after", 10**9)
    yield Counted
    Counted.store.clear()
    Counted.fetched.clear()
    remote._here.__dict__.clear()
    remote._out_of_reach.clear()


@pytest.fixture
def memory() -> Iterator[Any]:
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def put(store: Any, folder: str, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        store.pipe_file(f"/{folder}/{name}", content)


def clip(path: Path, frames: int = 60, options: dict[str, str] | None = None) -> bytes:
    """A video of noise, a key frame in every 10: it has many bytes, and they count."""
    noise = np.random.default_rng(0)
    with av.open(str(path), "w", container_options=options or {}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.bit_rate, stream.gop_size = 128, 128, 8_000_000, 10
        for _ in range(frames):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 256, (128, 128, 3), np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()


def frames_of(path: Path, sampling: Sampling | Within = Sampling()) -> list[tuple[bytes, float]]:  # noqa: B008
    return [(rgb(frame).tobytes(), time_s) for frame, time_s in decode(path, sampling)]


def test_catalog_of_a_store_equals_that_of_the_folder(tmp_path: Path, memory: Any) -> None:
    for _ in write_motion_set(tmp_path / "set", groups=1, clips=1, frames=4):
        pass
    files = {str(path.relative_to(tmp_path / "set")): path.read_bytes() for path in (tmp_path / "set").rglob("*.avi")}
    put(memory, "bucket/set", {**files, ".hidden/x.avi": b"x", "notes.txt": b"x"})
    put(memory, "bucket/settled", {"other.avi": b"x"})
    here, there = scan(tmp_path / "set"), scan(RemotePath.parse("memory://bucket/set"))
    assert [(video.id, video.label, video.group, video.size) for video in there.videos] == [
        (video.id, video.label, video.group, video.size) for video in here.videos
    ]
    assert str(there.path(there.videos[0])) == f"memory://bucket/set/{there.videos[0].id}"


def test_several_roots_may_be_of_a_store(tmp_path: Path, memory: Any) -> None:
    put(memory, "one/day1", {"a.avi": b"1"})
    put(memory, "one/day2", {"a.avi": b"22"})
    (tmp_path / "day3").mkdir()
    (tmp_path / "day3/b.avi").write_bytes(b"333")
    roots = [RemotePath.parse("memory://one/day1"), RemotePath.parse("memory://one/day2"), tmp_path / "day3"]
    found = scan_roots(roots, DataSettings())
    assert [(video.id, str(found.path(video))) for video in found.videos] == [
        ("day1/a.avi", "memory://one/day1/a.avi"),
        ("day2/a.avi", "memory://one/day2/a.avi"),
        ("day3/b.avi", str(tmp_path / "day3/b.avi")),
    ]


def test_listing_says_which_version_an_object_is_of(memory: Any) -> None:
    place = RemotePath.parse("memory://bucket/set/a.avi")
    put(memory, "bucket/set", {"a.avi": b"one"})
    (listed,) = objects_below(place.parent)
    first = file_state(place)
    assert listed == ("a.avi", first)
    assert (first.size, first.mtime_ns) == stat_of(place)
    assert first.sha256.startswith("created:")
    assert 0 <= first.mtime_ns < 1 << 63
    assert current_state(place, first) == first
    put(memory, "bucket/set", {"a.avi": b"two"})
    second = object_state(place)
    assert second.size == first.size
    assert second.mtime_ns != first.mtime_ns
    assert second.sha256 != first.sha256


def test_versions_are_those_of_the_server_the_best_first() -> None:
    s3 = remote._state({"name": "b/a", "size": 3, "ETag": '"0f"', "LastModified": "2026-01-01"})
    assert s3.sha256 == "etag:0f"
    assert s3 == remote._state({"name": "b/a", "size": 3, "ETag": '"0f"', "LastModified": "2026-02-02"})
    assert remote._state({"name": "b/a", "size": 3, "md5Hash": "x", "etag": "y"}).sha256 == "md5hash:x"
    with pytest.raises(CatalogError, match="does not tell versions"):
        remote._state({"name": "b/a", "size": 3})


def test_keys_that_no_path_stands_for_are_told(memory: Any) -> None:
    put(memory, "bucket/set", {"a.avi": b"x"})
    memory.store["/bucket/set/x//b.avi"] = memory.store["/bucket/set/a.avi"]
    found = scan(RemotePath.parse("memory://bucket/set"))
    assert [video.id for video in found.videos] == ["a.avi"]
    assert "x//b.avi" in found.notes[0]


def test_what_is_not_there_is_said(memory: Any) -> None:
    put(memory, "bucket/set", {"a.txt": b"x"})
    with pytest.raises(CatalogError, match="no video below 'memory://bucket/set': files ending in"):
        scan(RemotePath.parse("memory://bucket/set"))
    with pytest.raises(CatalogError, match="no video below 'memory://nothing/here'"):
        scan(RemotePath.parse("memory://nothing/here"))
    with pytest.raises(CatalogError, match="fsspec knows no nonsense://"):
        scan(RemotePath.parse("nonsense://bucket"))
    with pytest.raises(VideoError, match="cannot be opened: no such object"):
        frames_of(RemotePath.parse("memory://bucket/set/b.avi"))
    with pytest.raises(OSError, match="no such object"):
        object_state(RemotePath.parse("memory://bucket/set/b.avi"))
    assert duration_s(RemotePath.parse("memory://bucket/set/b.avi")) == 0


def test_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(protocol: str, **_: Any) -> None:
        raise ImportError(f"Install something to access {protocol}")

    monkeypatch.setattr(fsspec, "filesystem", refuse)
    with pytest.raises(CatalogError, match=r"pip install 'mofore\[remote\]'"):
        filesystem(RemotePath.parse("s3://bucket"))
    with pytest.raises(CatalogError, match="Install something to access abfs"):
        filesystem(RemotePath.parse("abfs://bucket"))


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv", ".ts", ".m4v"])
def test_frames_of_an_object_are_those_of_the_file(tmp_path: Path, counted: type[Counted], suffix: str) -> None:
    content = clip(tmp_path / f"a{suffix}", 400)
    put(counted(), "bucket", {f"a{suffix}": content})
    here, there = tmp_path / f"a{suffix}", RemotePath.parse(f"counted://bucket/a{suffix}")
    counted.fetched.clear()
    assert frames_of(there) == frames_of(here)
    assert sum(end - start for _, start, end in counted.fetched) <= 1.2 * len(content)
    assert expected_frames(there) == expected_frames(here)
    assert duration_s(there) == duration_s(here)
    within = Within(1, 0.0, Span(12.0, 13.0))
    assert frames_of(there, within) == frames_of(here, within)
    np.testing.assert_array_equal(key_picture(there, 8.0), key_picture(here, 8.0))


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, 4),
        ({"movflags": "faststart"}, 4),
        ({"movflags": "frag_keyframe+empty_moov"}, 32),
    ],  # whose fragments are walked
)
def test_blocks_are_fetched_once_wherever_the_table_is(
    tmp_path: Path, counted: type[Counted], monkeypatch: pytest.MonkeyPatch, options: dict[str, str], kept: int
) -> None:
    monkeypatch.setattr(remote, "BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr(remote, "BLOCKS", kept)
    content = clip(tmp_path / "a.mp4", 100, options)
    put(counted(), "bucket", {"a.mp4": content})
    counted.fetched.clear()
    assert frames_of(RemotePath.parse("counted://bucket/a.mp4")) == frames_of(tmp_path / "a.mp4")
    assert len(content) > 20 * (1 << 16)
    assert sum(end - start for _, start, end in counted.fetched) <= 1.2 * len(content)


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv", ".ts"])
def test_read_that_fails_is_no_end_of_the_video(
    tmp_path: Path,
    counted: type[Counted],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    suffix: str,
) -> None:
    """FFmpeg takes some errors for the end of the file: wherever one falls, it fails the video, and that once."""
    monkeypatch.setattr(remote, "BLOCK_BYTES", 1 << 16)
    content = clip(tmp_path / f"a{suffix}", 100)
    put(counted(), "bucket", {f"a{suffix}": content})
    place = RemotePath.parse(f"counted://bucket/a{suffix}")
    for fetches in (0, 1, 2, 7, 15, len(content) // (1 << 16) - 1):
        for damage in (Damage(), Damage(keep=True)):
            monkeypatch.setattr(Counted, "breaks_after", fetches)
            counted.fetched.clear()
            remote._here.__dict__.clear()
            with pytest.raises(VideoError, match="cannot be read: the line is cut"):
                list(decode(place, damage=damage))
    assert "Traceback" not in capfd.readouterr().err  # which PyAV prints of reads that go on raising
    monkeypatch.setattr(Counted, "breaks_after", 10**9)
    assert frames_of(place) == frames_of(tmp_path / f"a{suffix}")


def test_object_that_was_replaced_is_read_anew(tmp_path: Path, counted: type[Counted]) -> None:
    place = RemotePath.parse("counted://bucket/a.avi")
    put(counted(), "bucket", {"a.avi": b"first"})
    with open_object(place) as file:
        assert file.read() == b"first"
    put(counted(), "bucket", {"a.avi": b"other"})
    object_state(place)
    with open_object(place) as file:
        assert file.read() == b"other"


def test_file_of_an_object_reads_as_files_do(counted: type[Counted], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BLOCK_BYTES", 16)
    content = bytes(range(100))
    put(counted(), "bucket", {"a.bin": content})
    file, like = open_object(RemotePath.parse("counted://bucket/a.bin")), io.BytesIO(content)
    steps = [(0, os.SEEK_SET, 10), (-7, os.SEEK_END, 100), (40, os.SEEK_SET, 33), (5, os.SEEK_CUR, 0), (300, 0, 5)]
    for offset, whence, count in steps:
        assert file.seek(offset, whence) == like.seek(offset, whence)
        assert file.read(count) == like.read(count)
        assert file.tell() == like.tell()
    buffer = bytearray(8)
    file.seek(96)
    assert file.readinto(buffer) == 4
    assert bytes(buffer[:4]) == content[96:]
    assert isinstance(file, RemoteFile)
    assert file.name == "a.bin"
    assert file.readable()
    assert file.seekable()


class FileExpired(OSError):
    """By the name of s3fs's, for an object that was replaced while it was open."""


def refused(code: str) -> PermissionError:
    """As s3fs makes it of botocore's."""
    error, cause = PermissionError(f"said by the server: {code}"), ConnectionError()
    cause.response = {"Error": {"Code": code}}  # type: ignore[attr-defined]
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "number", "reads"),
    [
        (OSError(errno.EBUSY, "Please reduce your request rate."), errno.EIO, 3),  # s3fs's for 503
        (OSError(errno.EREMOTEIO, "We encountered an internal error."), errno.EIO, 3),
        (ConnectionResetError("the line is cut"), errno.EIO, 3),
        (FileExpired(errno.EBUSY, "no longer exists"), errno.EBUSY, 1),
        (refused("AccessDenied"), errno.EACCES, 1),
        (refused("ExpiredToken"), errno.ECONNREFUSED, 1),
        (PermissionError("Forbidden"), errno.EACCES, 1),
        (FileNotFoundError("a.avi"), errno.ENOENT, 1),
    ],
)
def test_only_what_may_pass_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, error: OSError, number: int, reads: int
) -> None:
    monkeypatch.setattr(remote, "PAUSES_S", (0.0, 0.0))
    asked = []

    def ask() -> None:
        asked.append(1)
        raise error

    with pytest.raises(OSError, match=r"s3://bucket/a\.avi") as raised:
        remote.ask_patiently(RemotePath.parse("s3://bucket/a.avi"), ask)
    assert (raised.value.errno, len(asked)) == (number, reads)


def test_store_out_of_reach_is_asked_once(counted: type[Counted], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def find(_self: Any, path: str, **_: Any) -> None:
        asked.append(path)
        raise ConnectionError("no route")

    monkeypatch.setattr(Counted, "find", find)
    for _ in range(3):
        with pytest.raises(CatalogError, match=r"data\.root = 'counted://bucket' cannot be listed: no route"):
            scan(RemotePath.parse("counted://bucket"))
    assert len(asked) == 1
