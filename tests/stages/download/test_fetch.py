"""Fetching: whole or not there, resumed, bounded, and with a way out in every message."""

import io
import os
import shutil
import ssl
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
from click.testing import Result

from mofore.cache import part_file
from mofore.data.errors import StageError, UsageError
from mofore.data.progress import Silent
from mofore.data.ucf101 import Archive
from mofore.stages.download import fetch as download
from mofore.stages.download.fetch import ATTEMPTS, fetch

from ..web import Web, serving

CONTENT = bytes(range(256)) * 1000
OTHER = CONTENT[::-1]


class Listener(Silent):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.totals: list[int] = []
        self.notes: list[str] = []
        self.megabytes = 0

    def start(self, stage: str, total: int, unit: str) -> None:
        self.totals.append(total)

    def advance(self, done: int, **figures: float | str) -> None:
        self.megabytes += done

    def note(self, message: str) -> None:
        self.notes.append(message)


class Interrupting(Silent):
    """A user who presses Ctrl-C at the second safe point."""

    pulses = 0

    def pulse(self) -> None:
        self.pulses += 1
        if self.pulses == 2:
            raise KeyboardInterrupt


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("no_proxy", "*")
    with serving(Web({"videos.zip": CONTENT})) as server:
        yield server


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def get(web: Web, waits: list[float], tmp_path: Path) -> Callable[..., Path]:
    def call(progress: Silent | None = None, name: str = "videos.zip") -> Path:
        return fetch(web.archive(name), tmp_path, progress=progress or Silent(), wait=waits.append)

    return call


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def interrupted(get: Callable[..., Path], web: Web) -> None:
    """Leave 100,000 bytes of the file, as a run that gave up does."""
    web.drops, web.statuses = [100_000], [200, *[503] * ATTEMPTS]
    with pytest.raises(StageError, match="503"):
        get()
    web.asked.clear()


def test_a_file_is_fetched_whole_and_nothing_else_is_left(get: Callable[..., Path], tmp_path: Path) -> None:
    assert get().read_bytes() == CONTENT
    assert names(tmp_path) == ["videos.zip"]


def test_progress_is_in_megabytes(get: Callable[..., Path], web: Web) -> None:
    web.files["videos.zip"] = bytes(3_200_000)
    listener = Listener()
    get(listener)
    assert (listener.totals, listener.megabytes) == ([4], 3)


def test_dropped_connections_go_on_where_they_ended(get: Callable[..., Path], web: Web, waits: list[float]) -> None:
    web.drops = [100_000, 50_000]
    assert get().read_bytes() == CONTENT
    assert [asked for _, asked in web.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert waits == [1.0, 1.0]  # both brought something


def test_a_later_run_goes_on_and_asks_for_the_rest_only(get: Callable[..., Path], web: Web, tmp_path: Path) -> None:
    interrupted(get, web)
    assert names(tmp_path) == ["videos.zip.part", "videos.zip.part.json"]
    assert get().read_bytes() == CONTENT
    assert web.asked == [("GET", "bytes=100000-")]


def test_what_was_not_made_safe_is_not_trusted(get: Callable[..., Path], web: Web, tmp_path: Path) -> None:
    interrupted(get, web)
    with (tmp_path / "videos.zip.part").open("ab") as handle:
        handle.write(bytes(5000))
    assert get().read_bytes() == CONTENT
    assert web.asked == [("GET", "bytes=100000-")]


def test_bytes_are_made_safe_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_file, "COMMIT_BYTES", 1000)
    part = part_file.PartFile(tmp_path / "x")
    part.begin(part_file.Origin("u", '"e"', None, 2500))
    with part:
        for _ in range(3):
            part.append(bytes(600))
        assert part_file.PartFile(tmp_path / "x").size == 1200  # the last 600 are what a kill loses
    assert part_file.PartFile(tmp_path / "x").size == 1800


def test_a_part_without_its_record_is_not_trusted(get: Callable[..., Path], web: Web, tmp_path: Path) -> None:
    (tmp_path / "videos.zip.part").write_bytes(OTHER[:500])
    assert get().read_bytes() == CONTENT


@pytest.mark.parametrize("record", ["", "[]", '{"bytes": 3}', '{"bytes": 500, "origin": {"url": 1}}'])
def test_a_damaged_record_starts_over(get: Callable[..., Path], tmp_path: Path, record: str) -> None:
    (tmp_path / "videos.zip.part").write_bytes(OTHER[:500])
    (tmp_path / "videos.zip.part.json").write_text(record)
    assert get().read_bytes() == CONTENT


def test_ctrl_c_keeps_the_part(get: Callable[..., Path], web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "CHUNK_BYTES", 1000)
    with pytest.raises(KeyboardInterrupt):
        get(Interrupting())
    web.asked.clear()
    assert get().read_bytes() == CONTENT
    assert web.asked == [("GET", "bytes=2000-")]


def test_a_server_that_ignores_ranges_starts_over(get: Callable[..., Path], web: Web) -> None:
    web.ranges, web.drops = False, [100_000]
    listener = Listener()
    assert get(listener).read_bytes() == CONTENT
    assert any("starts over" in note for note in listener.notes)


def test_a_server_that_ignores_ranges_and_always_drops_is_given_up(get: Callable[..., Path], web: Web) -> None:
    web.ranges, web.drops = False, [100_000] * 50
    with pytest.raises(StageError, match="ended after 100,000 of 256,000 bytes"):
        get()
    assert len(web.asked) == 1 + ATTEMPTS


@pytest.mark.parametrize("content", [OTHER, OTHER[:60_000], OTHER * 2])
def test_another_file_on_the_server_starts_over(get: Callable[..., Path], web: Web, content: bytes) -> None:
    interrupted(get, web)
    web.files["videos.zip"], web.etag = content, '"two"'
    assert get().read_bytes() == content


@pytest.mark.parametrize("content", [OTHER[:60_000], OTHER * 2])
def test_another_length_under_the_same_etag_starts_over(get: Callable[..., Path], web: Web, content: bytes) -> None:
    interrupted(get, web)
    web.files["videos.zip"] = content
    assert get().read_bytes() == content


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_validator_nothing_is_glued_together(
    get: Callable[..., Path], web: Web, etag: str | None
) -> None:
    web.etag, web.drops = etag, [100_000]
    assert get().read_bytes() == CONTENT
    assert [asked for _, asked in web.asked] == [None, None]


def test_a_length_that_is_never_reached_is_an_error(get: Callable[..., Path], web: Web, tmp_path: Path) -> None:
    web.lie = 10
    with pytest.raises(StageError, match="256,000 of 256,010 bytes"):
        get()
    assert "videos.zip" not in names(tmp_path)


def test_passing_failures_are_tried_again_with_growing_waits(
    get: Callable[..., Path], web: Web, waits: list[float]
) -> None:
    web.statuses = [500, 503, 429]
    assert get().read_bytes() == CONTENT
    assert waits == [2.0, 4.0, 8.0]


def test_failures_without_progress_are_bounded(get: Callable[..., Path], web: Web, waits: list[float]) -> None:
    web.statuses = [500] * 50
    with pytest.raises(StageError, match=r"answered 500 .*\(6 attempts\).*--videos-url"):
        get()
    assert len(waits) == ATTEMPTS - 1
    assert max(waits) <= download.LONGEST_WAIT_S


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_one_line_with_the_way_out(get: Callable[..., Path], web: Web, status: int) -> None:
    web.statuses = [status]
    with pytest.raises(StageError) as caught:
        get()
    message = str(caught.value)
    assert str(status) in message
    assert web.address in message
    assert "--videos-url" in message
    assert "\n" not in message
    assert len(web.asked) == 1


def test_a_web_page_is_no_archive(get: Callable[..., Path], web: Web, tmp_path: Path) -> None:
    web.content_type = "text/html"
    with pytest.raises(StageError, match="web page"):
        get()
    assert names(tmp_path) == []


def test_a_refused_certificate_says_how_to_fetch_by_hand(
    get: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = ssl.SSLCertVerificationError(1, "certificate verify failed")
    refused.verify_message = "certificate has expired"

    def urlopen(*_: object, **__: object) -> None:
        raise URLError(refused)

    monkeypatch.setattr(download, "urlopen", urlopen)
    with pytest.raises(StageError, match="certificate has expired") as caught:
        get()
    assert f"curl -L -C - -k -o {tmp_path / 'videos.zip'} http" in str(caught.value)


def test_an_unreachable_server_is_given_up(tmp_path: Path, web: Web, waits: list[float]) -> None:
    nobody = Archive("http://127.0.0.1:9/videos.zip", "--videos-url", "UCF-101")
    with pytest.raises(StageError, match="no connection"):
        fetch(nobody, tmp_path, progress=Silent(), wait=waits.append)


def test_a_full_disk_is_said_before_fetching(
    get: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=400_000))
    with pytest.raises(
        StageError, match=r"has 400 kB free, and 512 kB are needed for 'videos.zip' and what it unpacks"
    ):
        get()
    assert not (tmp_path / "videos.zip").exists()


def test_a_finished_file_is_not_fetched_again(get: Callable[..., Path], web: Web) -> None:
    get()
    web.asked.clear()
    assert get().read_bytes() == CONTENT
    assert web.asked == [("HEAD", None)]


def test_a_file_put_there_by_hand_is_taken_if_the_size_is_right(
    get: Callable[..., Path], web: Web, tmp_path: Path
) -> None:
    (tmp_path / "videos.zip").write_bytes(OTHER)
    assert get().read_bytes() == OTHER
    (tmp_path / "videos.zip").write_bytes(OTHER[1:])
    with pytest.raises(StageError, match=r"has 255,999 bytes, but .* has 256,000: delete it"):
        get()


def test_a_file_put_there_by_hand_is_taken_if_the_server_cannot_be_asked(
    get: Callable[..., Path], web: Web, tmp_path: Path
) -> None:
    web.files.clear()
    (tmp_path / "videos.zip").write_bytes(b"by hand")
    listener = Listener()
    assert get(listener).read_bytes() == b"by hand"
    assert "did not tell the size" in listener.notes[0]


@pytest.mark.parametrize("url", ["ftp://host/x.zip", "file:///x.zip", "https://host/", "x.zip"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="--videos-url"):
        Archive(url, "--videos-url", "UCF-101")


def zipped(*members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member in members:
            archive.writestr(member, b"1")
    return buffer.getvalue()


@pytest.fixture
def ask(web: Web, mofore: Callable[..., Result], tmp_path: Path) -> Callable[..., Result]:
    """``mofore download ucf101`` from the server of the test."""
    web.files = {
        "videos.zip": zipped("UCF-101/Archery/v_Archery_g01_c01.avi", "UCF-101/YoYo/v_YoYo_g01_c01.avi"),
        "lists.zip": zipped("ucfTrainTestlist/trainlist01.txt", "__MACOSX/ucfTrainTestlist/trainlist01.txt"),
    }

    def call(*args: str) -> Result:
        urls = ("--videos-url", f"{web.address}/videos.zip", "--splits-url", f"{web.address}/lists.zip")
        return mofore("download", "ucf101", tmp_path / "ucf", *urls, *args)

    return call


def test_the_command_leaves_the_layout_that_init_takes(ask: Callable[..., Result], tmp_path: Path) -> None:
    result, place = ask(), tmp_path / "ucf"
    assert result.exit_code == 0, result.stderr
    assert (place / "UCF-101/Archery/v_Archery_g01_c01.avi").is_file()
    assert (place / "ucfTrainTestlist/trainlist01.txt").is_file()
    assert "2 videos in 2 classes\nwarning: UCF101 has 13,320 videos in 101 classes" in result.stderr
    assert f"mofore init {place}/UCF-101 --splits {place}/ucfTrainTestlist -w runs/ucf" in result.stderr
    assert f"rm {place}/lists.zip {place}/videos.zip" in result.stderr


def test_the_command_does_nothing_twice(ask: Callable[..., Result], web: Web, tmp_path: Path) -> None:
    ask()
    web.asked.clear()
    os.unlink(tmp_path / "ucf/videos.zip")
    assert ask().exit_code == 0
    assert web.asked == []


def test_archives_are_removed_only_when_every_video_is_there(
    ask: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask("--remove-archives").exit_code == 0
    assert (tmp_path / "ucf/videos.zip").exists()
    monkeypatch.setattr("mofore.pipeline.commands.download.VIDEO_COUNT", 2)
    monkeypatch.setattr("mofore.pipeline.commands.download.CLASS_COUNT", 2)
    assert "removed the archives" in ask("--remove-archives").stderr
    assert not (tmp_path / "ucf/videos.zip").exists()


def test_no_unpack_fetches_the_archives_only(ask: Callable[..., Result], tmp_path: Path) -> None:
    assert ask("--no-unpack").exit_code == 0
    assert names(tmp_path / "ucf") == [".mofore.lock", "lists.zip", "videos.zip"]


def test_a_folder_of_the_users_own_is_not_touched(ask: Callable[..., Result], web: Web, tmp_path: Path) -> None:
    own = tmp_path / "ucf/UCF-101/YoYo"
    own.mkdir(parents=True)
    (own / "v_YoYo_g01_c01.avi").touch()
    result = ask()
    assert "taken as it is" in result.stderr
    assert "1 video in 1 class" in result.stderr
    assert len(web.asked) == 1  # the lists


def test_a_failure_of_the_command_is_one_line_and_exit_code_1(ask: Callable[..., Result], web: Web) -> None:
    del web.files["lists.zip"]
    result = ask()
    assert result.exit_code == 1
    assert result.stderr.startswith("error: http://127.0.0.1")
    assert "--splits-url" in result.stderr
