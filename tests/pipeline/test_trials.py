"""The trials of `tests/trials` in small: what they show at length must hold here too."""

import os
import shutil
from pathlib import Path

import pytest

from mofore.tests.trials.disk import disturb
from mofore.tests.trials.fuzz import fuzz
from mofore.tests.trials.kill import kill_at_random_times

OPTIONS = ("--backbone", "random:test_vit", "--set", "extract.image_size=32")


@pytest.fixture
def clips(shared: Path, tmp_path: Path) -> Path:
    """Some real clips."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for clip in sorted((shared / "data" / "ucf101-mini" / "videos").rglob("*.avi"))[::60]:
        shutil.copy(clip, folder)
    return folder


@pytest.mark.real
def test_killed_extractions_of_real_clips_go_on_to_the_same_bits(clips: Path, tmp_path: Path) -> None:
    report = kill_at_random_times(clips, tmp_path / "work", kills=1, seed=0, options=OPTIONS, shard_s=0.5)
    assert (report.kills, report.wrong, report.left_processes, report.left_files, report.tracebacks) == (1, 0, 0, 0, 0)


@pytest.mark.real
def test_damaged_copies_of_real_clips_are_stored_or_recorded(shared: Path, tmp_path: Path) -> None:
    report = fuzz(shared / "data" / "ucf101-mini" / "videos", tmp_path, copies=10, seed=1, options=OPTIONS)
    assert report.stored > 0
    assert report.failed > 0
    assert report.stored + report.failed == 10
    assert (report.unrecorded, report.without_reason, report.left_processes, report.exit_code_wrong) == (0, 0, 0, 0)


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="it mounts a small file system")
def test_a_full_disk_and_a_read_only_folder_lose_nothing(clips: Path, tmp_path: Path) -> None:
    report = disturb(clips, tmp_path / "work", rounds=1, seed=0, options=OPTIONS)
    assert (report.filled, report.made_read_only, report.finished_afterwards) == (1, 1, 2)
    assert (report.wrong, report.tracebacks, report.left_processes, report.left_files) == (0, 0, 0, 0)
    assert any("the disk is full" in message for message in report.messages)
