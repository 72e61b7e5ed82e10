"""Videos in a bucket of Google's, and a work folder pushed there, against an emulator on this machine."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from ..conftest import TINY

pytest.importorskip("gcsfs")
server = pytest.importorskip("gcp_storage_emulator.server")

BACKBONE = ("--backbone", "random:test_efficientnet", "--no-estimate")
BUCKET = "of-the-test"


@pytest.fixture
def gs() -> Iterator[dict[str, str]]:
    """What tells Google's tools of the emulator."""
    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    emulator = server.create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET)
    emulator.start()
    port = emulator._api._httpd.server_port
    plain = {"GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}  # else it asks Google what kind of bucket it is
    yield {**os.environ, **plain, "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"}
    emulator.stop()


def run(environment: dict[str, str], *given: str | Path) -> str:
    told = subprocess.run(
        [sys.executable, "-m", "mofore", *map(str, given)], env=environment, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    return told.stdout + told.stderr


def in_bucket(environment: dict[str, str], code: str, *given: object) -> str:
    code = f"import fsspec, sys; gs = fsspec.filesystem('gs', use_listings_cache=False); {code}"
    command = [sys.executable, "-c", code, *map(str, given)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_google_bucket_gives_videos_and_takes_a_work_folder(
    gs: dict[str, str], drawn: Path, tmp_path: Path, mofore: Callable[..., Result]
) -> None:
    there, here, other = tmp_path / "there", tmp_path / "here", tmp_path / "other"
    in_bucket(gs, "gs.put(sys.argv[1], sys.argv[2], recursive=True)", f"{drawn}/", f"{BUCKET}/set/")
    mofore("init", drawn, "-w", here, *BACKBONE, *TINY)
    mofore("extract", "-w", here)
    run(gs, "init", f"gs://{BUCKET}/set", "-w", there, *BACKBONE, *TINY)
    run(gs, "extract", "-w", there)
    mofore("export", "features", here / "f.npy", "-w", here)
    run(gs, "export", "features", there / "f.npy", "-w", there)
    assert (there / "f.npy").read_bytes() == (here / "f.npy").read_bytes()

    url = f"gs://{BUCKET}/runs/mine"
    assert "pushed 5 of 5 files" in run(gs, "push", url, "-w", there)
    assert "pushed 0 of 5 files" in run(gs, "push", "-w", there)
    assert "1 shard" in run(gs, "pull", url, "-w", other, "--cache", "10MB")
    assert not list(other.rglob("*.h5"))
    run(gs, "export", "features", other / "f.npy", "-w", other)
    assert (other / "f.npy").read_bytes() == (here / "f.npy").read_bytes()
    objects = in_bucket(gs, f"print(len(gs.find('{BUCKET}/runs/mine/objects')))")
    assert int(objects) == 5
    assert "0 objects" in run(gs, "gc", "--remote", "0", "--delete", "-w", other).splitlines()[0]
