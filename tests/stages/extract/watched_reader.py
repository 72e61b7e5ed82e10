"""A reader that takes its time, leaves word of which node reads what, and may kill; imported there by name."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mofore.data.types import Video
from mofore.stages.decode.source import Event, Reading, Resume, read_video

KILLER, READ = "v_killer.avi", "read"  # the folder of what was read lies beside that of the videos
READ_S = 0.15


def watched(
    path: Path, video: Video, reading: Reading, resume: Resume | None = None, **options: Any
) -> Iterator[Event]:
    """Read a video, on a node of a cluster; the killer takes the process with it that encodes."""
    word = Path(str(path).partition("/videos/")[0]) / READ / os.environ["RAY_RAYLET_PID"] / video.stem
    word.parent.mkdir(parents=True, exist_ok=True)
    word.touch()
    if path.name == KILLER:
        server = Path(f"/proc/{os.getppid()}/stat").read_text()  # which starts those who decode, itself started by it
        os.kill(int(server.rpartition(")")[2].split()[1]), signal.SIGKILL)
    time.sleep(READ_S)
    yield from read_video(path, video, reading, resume, **options)
