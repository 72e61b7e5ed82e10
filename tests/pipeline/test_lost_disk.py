"""Calls of the system that fail as on a lost network disk (`trials/lost_disk.c`), in processes of their own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import Result

from mofore.tests.trials.lost_disk import compiled, with_lost_disk

from ..conftest import TINY

Command = Callable[..., Result]
CONTAINERS = {
    ".avi": "mpeg4",
    ".mp4": "libx264",
    ".mkv": "libx264",
    ".ts": "libx264",
    ".flv": "flv",
    ".mpg": "mpeg2video",
}
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("cc") is None, reason="LD_PRELOAD and a C compiler are needed"
)
READ = """
import sys
from pathlib import Path
from mofore.data.damage import Damage
from mofore.data.decode import decode
from mofore.data.errors import OutOfReachError
switch = Path(sys.argv[1])
for path in map(Path, sys.argv[2:]):
    whole = sum(1 for _ in decode(path))
    lost = 0
    for at in range(1, whole, 3):
        for keep in (False, True):
            frames = 0
            try:
                for _ in decode(path, damage=Damage(keep)):
                    frames += 1
                    if frames == at:
                        switch.touch()
                    elif frames == at + 5:
                        switch.unlink()
                assert frames == whole, (path.name, at, frames)
            except OutOfReachError as error:
                assert "Input/output error" in str(error), error
                lost += 1
            finally:
                switch.unlink(missing_ok=True)
    print(path.name, whole, lost)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("library"))


def film(path: Path, codec: str) -> Path:
    """60 frames of noise, so that there is something to read."""
    draw = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 160, 120, "yuv420p", 800_000
        for _ in range(60):
            frame = av.VideoFrame.from_ndarray(draw.integers(0, 255, (120, 160, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_a_read_that_fails_is_neither_damage_nor_an_end_of_a_video(library: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    films = [film(tmp_path / "disk" / f"a{suffix}", codec) for suffix, codec in CONTAINERS.items()]
    lost = with_lost_disk(library, [tmp_path / "disk"], switch=tmp_path / "away", calls="read")
    line = [sys.executable, "-c", READ, str(tmp_path / "away"), *map(str, films)]
    done = subprocess.run(line, env={**os.environ, **lost}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    assert [int(whole) for _, whole, _ in told] == [60] * len(CONTAINERS)
    assert all(int(count) for _, _, count in told), "some reads have failed"


def test_videos_on_a_lost_disk_are_extracted_once_it_is_back(
    library: Path, mofore: Command, videos: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    assert mofore("init", videos, "-w", work, "--backbone", "random:test_efficientnet", *TINY).exit_code == 0
    # Each worker goes through some videos before the disk is away for it.
    lost = with_lost_disk(library, [videos], first=60, calls="read")
    line = [sys.executable, "-m", "mofore", "extract", "-w", str(work), "--set", "extract.decoders=1"]
    done = subprocess.run(line, env={**os.environ, **lost}, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "out of reach" in done.stderr
    assert "run the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    assert '"failure"' not in (work / "ledger.jsonl").read_text()
    assert mofore("extract", "-w", work).exit_code == 0
    stages = json.loads(mofore("status", "--json", "-w", work).stdout)["stages"]
    assert stages["extract"]["action"] == "skip"
