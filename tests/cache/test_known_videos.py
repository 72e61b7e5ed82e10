"""What is known of videos while they are not there."""

from pathlib import Path

import pytest

from mofore.cache.known_videos import NAME, remember_videos, remembered_videos
from mofore.data.sampling import Span
from mofore.data.types import Video


def test_files_come_back_and_segments_as_their_file(tmp_path: Path) -> None:
    odd, span = Video("a/\udcff b.avi", None, None, 3, 5), Span(1.0, 2.5)
    segment = Video(f"c.mp4{span.fragment}", "x", "g", 7, 9, file="c.mp4", span=span)
    whole = Video("d#t=1,2.avi", "y", None, 1, 2)  # a name, and no segment
    remember_videos(tmp_path, [odd, segment, segment, whole])
    expected = (odd, Video("c.mp4", None, None, 7, 9), Video("d#t=1,2.avi", None, None, 1, 2))
    assert remembered_videos(tmp_path) == expected


def test_it_is_written_only_if_something_changed(tmp_path: Path) -> None:
    videos = [Video("a.avi", None, None, 3, 5)]
    remember_videos(tmp_path, videos)
    before = (tmp_path / NAME).stat()
    remember_videos(tmp_path, videos)
    assert (tmp_path / NAME).stat().st_ino == before.st_ino
    remember_videos(tmp_path, [Video("a.avi", None, None, 4, 5)])
    assert remembered_videos(tmp_path) == (Video("a.avi", None, None, 4, 5),)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 2, "videos": []}', '{"version": 1, "videos": [[1]]}'])
def test_a_damaged_memory_is_none(tmp_path: Path, content: str) -> None:
    assert remembered_videos(tmp_path) is None
    (tmp_path / NAME).write_text(content)
    assert remembered_videos(tmp_path) is None
