"""Videos in a bucket, by the command line, against a local S3."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import Result

from mofore.cache.ledger import Ledger

from ..conftest import TINY
from ..s3_server import S3Server, serve

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

BACKBONE = ("--backbone", "random:test_efficientnet", "--no-estimate")
VIDEO, OTHER = "Orbit/v_Orbit_g01_c01.avi", "SlideLeft/v_SlideLeft_g01_c01.avi"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    end = serve(server)
    yield server
    end()


@pytest.fixture
def bucket(s3: S3Server, drawn: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A bucket with the motion set, in which no test meets another's."""
    name = request.node.name.replace("_", "-")[:60].strip("-")
    put(s3, f"{drawn}/", f"{name}/set/")
    s3.asked.clear()
    s3.broken.clear()
    yield name
    s3.moody, s3.expired = 0, False


def put(s3: S3Server, source: object, place: str) -> None:
    code = (
        "import fsspec, sys; s3 = fsspec.filesystem('s3'); s3.makedirs(sys.argv[2].split('/')[0], exist_ok=True); "
        "s3.put(sys.argv[1], sys.argv[2], recursive=sys.argv[1].endswith('/'))"
    )
    command = [sys.executable, "-c", code, str(source), place]
    subprocess.run(command, env={**os.environ, **s3.environment()}, check=True)


def run(s3: S3Server, *given: str | Path, url: str = "") -> "subprocess.CompletedProcess[str]":
    """In a process of its own: decoders inherit the environment of the first one that was started."""
    environment = {**os.environ, **s3.environment(), **({"AWS_ENDPOINT_URL": url} if url else {})}
    command = [sys.executable, "-m", "mofore", *map(str, given)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def digests(work: Path) -> set[tuple[str, str]]:
    (shards,) = Ledger.open(work / "ledger.jsonl").shards.values()
    return {(video.id, video.digest) for shard in shards.values() for video in shard.videos}


def everything_written(work: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(work.rglob("*")) if path.is_file())


def test_bucket_gives_what_the_folder_gives_and_is_read_once(
    s3: S3Server, bucket: str, drawn: Path, work: Path, mofore: Callable[..., Result], tmp_path: Path
) -> None:
    there = tmp_path / "there"
    assert run(s3, "init", f"s3://{bucket}/set", "-w", there, *BACKBONE, *TINY).returncode == 0
    assert s3.objects_read() == []  # known by the listing alone
    mofore("extract", "-w", work)
    here = digests(work)

    # One object cannot be read: all others are, ...
    s3.broken.add(VIDEO)
    told = run(s3, "extract", "-w", there)
    assert told.returncode == 1, told.stderr
    assert "1 video was out of reach, which says nothing of them" in told.stderr
    assert "Internal Server Error" in told.stderr
    assert digests(there) == {(name, digest) for name, digest in here if name != VIDEO}
    read = [key for key in s3.objects_read() if not key.endswith(VIDEO)]
    assert sorted(read) == sorted(f"/{bucket}/set/{name}" for name, _ in here if name != VIDEO)  # each in one go

    # ... and is not taken for a broken video: it alone is tried by the next run.
    assert not Ledger.open(there / "ledger.jsonl").failures
    s3.broken.clear()
    s3.asked.clear()
    assert run(s3, "extract", "-w", there).returncode == 0
    assert s3.objects_read() == [f"/{bucket}/set/{VIDEO}"]
    assert digests(there) == here
    s3.asked.clear()
    assert run(s3, "extract", "-w", there).returncode == 0
    assert [method for method, _, _ in s3.asked] == ["GET"]  # the listing
    assert s3.objects_read() == []

    # An object that has other content now is made again, one that was written anew as it was is not.
    put(s3, drawn / OTHER, f"{bucket}/set/{OTHER}")
    put(s3, drawn / OTHER, f"{bucket}/set/{VIDEO}")
    s3.asked.clear()
    assert run(s3, "extract", "-w", there).returncode == 0
    assert s3.objects_read() == [f"/{bucket}/set/{VIDEO}"]
    assert {name for name, _ in digests(there) - here} == {VIDEO}

    # Without the bucket all goes on that needs no pixels; and no credentials were written down.
    gone = run(s3, "status", "-w", there, url="http://127.0.0.1:1")
    assert "20 videos, 480 frames; videos not looked at: data.root = 's3://" in gone.stdout + gone.stderr
    assert b"secret-of-the-test" not in everything_written(there)
    assert b"AKIAOFTHETEST" not in everything_written(there)


def test_url_with_a_key_in_it_writes_nothing(s3: S3Server, tmp_path: Path) -> None:
    told = run(s3, "init", "s3://AKIAX:hidden/word@bucket/set", "-w", tmp_path / "work")
    assert told.returncode == 2
    assert "AWS_ACCESS_KEY_ID" in told.stderr
    assert "hidden" not in told.stderr + told.stdout
    assert not (tmp_path / "work").exists()


def test_pushed_folder_is_verified_by_the_servers_digests(s3: S3Server, work: Path, tmp_path: Path) -> None:
    (work / "features/key").mkdir(parents=True)
    (work / "features/key/shard-1.h5").write_bytes(b"features" * 1000)
    s3.asked.clear()
    put(s3, work / "mofore.toml", "runs/other.toml")
    told = run(s3, "push", "s3://runs/mine", "-w", work)
    assert told.returncode == 0, told.stderr
    assert {key for key in s3.objects_read() if "/objects/" in key} == set()  # nothing had to be read back
    told = run(s3, "pull", "s3://runs/mine", "-w", tmp_path / "other")
    assert told.returncode == 0, told.stderr
    for name in ("mofore.toml", "features/key/shard-1.h5"):
        assert (tmp_path / "other" / name).read_bytes() == (work / name).read_bytes()
    s3.broken.add("mofore.json")
    told = run(s3, "pull", "s3://runs/mine", "-w", tmp_path / "third")
    assert (told.returncode, "the same command goes on" in told.stderr) == (1, True)


def test_server_that_fails_now_and_then_hinders_nothing(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    there, other = tmp_path / "there", tmp_path / "other"
    assert run(s3, "init", f"s3://{bucket}/set", "-w", there, *BACKBONE, *TINY).returncode == 0
    s3.moody = 4
    for command in (("extract", "-w", there), ("push", f"s3://{bucket}/runs", "-w", there)):
        told = run(s3, *command)
        assert told.returncode == 0, told.stderr
    assert len(digests(there)) == 20
    told = run(s3, "pull", f"s3://{bucket}/runs", "-w", other)
    assert told.returncode == 0, told.stderr
    assert digests(other) == digests(there)
    assert {"503 Slow Down", "500 Internal Server Error", "cut"} <= set(s3.moods)


def test_credentials_that_run_out_are_held_against_no_video(
    s3: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    assert run(s3, "init", f"s3://{bucket}/set", "-w", there, *BACKBONE, *TINY).returncode == 0
    s3.asked.clear()
    monkeypatch.setattr(s3, "asked", Expiring(s3, 12))
    told = run(s3, "extract", "-w", there)
    assert told.returncode == 1, told.stderr
    assert "8 videos in a row were out of reach" in told.stderr
    assert "The provided token has expired." in told.stderr
    assert not Ledger.open(there / "ledger.jsonl").failures
    s3.expired = False
    monkeypatch.undo()
    assert run(s3, "extract", "-w", there).returncode == 0
    assert len(digests(there)) == 20


class Expiring(list[tuple[str, str, str]]):
    """What a server is asked; after so many requests credentials have run out."""

    def __init__(self, s3: S3Server, after: int) -> None:
        super().__init__()
        self.s3, self.after = s3, after

    def append(self, asked: tuple[str, str, str]) -> None:
        """One more."""
        super().append(asked)
        self.s3.expired = len(self) > self.after


def test_two_processes_read_shards_from_the_bucket_at_once(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    there, other = tmp_path / "there", tmp_path / "other"
    assert run(s3, "init", f"s3://{bucket}/set", "-w", there, *BACKBONE, *TINY).returncode == 0
    assert run(s3, "extract", "-w", there).returncode == 0
    assert run(s3, "push", f"s3://{bucket}/runs", "-w", there).returncode == 0
    assert run(s3, "pull", f"s3://{bucket}/runs", "-w", other, "--cache", "10MB").returncode == 0
    assert not list(other.rglob("*.h5"))
    s3.asked.clear()
    with ThreadPoolExecutor(2) as executor:
        told = list(
            executor.map(lambda name: run(s3, "export", "features", tmp_path / name, "-w", other), ("a.npy", "b.npy"))
        )
    assert [each.returncode for each in told] == [0, 0], told[0].stderr + told[1].stderr
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    shards = [key for key in s3.objects_read() if "/objects/" in key]
    assert len(shards) == 1  # fetched by one, and waited for by the other
    told = [run(s3, "gc", "--remote", days, "--delete", "-w", other) for days in ("7", "0")]
    assert [each.stdout.splitlines()[0][:17] for each in told] == ["deleted 0 objects"] * 2
