import errno
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mofore.cache import shard_file
from mofore.cache.shard import VideoFeatures, sound_videos, write_shard
from mofore.data.types import FileState

VIDEO = VideoFeatures("a.avi", FileState(1, 2, "ab"), np.ones((3000, 8), np.float16), np.arange(3000.0))


class LostDisk(io.FileIO):
    """Takes so many writes."""

    left = 0

    def write(self, content: Any) -> int:
        LostDisk.left -= 1
        if LostDisk.left < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().write(content)


class OnLostDisk(shard_file.Forgiving):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file.close()
        self._file = LostDisk(str(path), "w+b")


def test_a_shard_is_written_in_pieces_of_any_size(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.h5", [VIDEO], (VIDEO.record(),), {"backbone": "x"})
    ((video, stored),) = sound_videos(tmp_path / "a.h5")
    assert np.array_equal(video.features_TD, VIDEO.features_TD)
    assert stored == VIDEO.record()


def test_whichever_write_fails_it_is_an_error_of_the_file_and_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shard_file, "Forgiving", OnLostDisk)
    path, writes, failed = tmp_path / "a.h5", 0, list[tuple[int | None, str]]()
    while len(failed) == writes:
        LostDisk.left = writes
        try:
            write_shard(path, [VIDEO], (VIDEO.record(),), {})
        except OSError as error:
            failed.append((error.errno, error.filename))
            writes += 1
        else:
            break
    assert set(failed) == {(errno.EIO, str(path))}
    assert writes > 5
    assert [video.id for video, _ in sound_videos(path)] == ["a.avi"]
    assert capfd.readouterr().err == ""
