"""Files that end early, of each container that says how long it is."""

from pathlib import Path

import pytest

from mofore.data.damage import Damage
from mofore.data.decode import decode
from mofore.data.errors import VideoError
from mofore.data.truncation import refuse_truncated
from mofore.tests.trials.times import Film, try_write

SAYS_ITS_SIZE = [
    Film("mpeg4", ".avi"),
    Film("libx264", ".mp4", options={"movflags": "faststart"}),
    Film("libx264", ".mov"),
    Film("libx264", ".mkv"),
    Film("libvpx-vp9", ".webm"),
    Film("flv", ".flv"),
    Film("wmv2", ".asf"),
]


def made(folder: Path, film: Film) -> Path:
    path = folder / f"film{film.suffix}"
    if not try_write(path, film):
        pytest.skip(f"this FFmpeg cannot write {film}")
    return path


@pytest.mark.parametrize("film", SAYS_ITS_SIZE, ids=lambda film: film.suffix)
@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_part_of_a_file_is_refused(film: Film, share: float, tmp_path: Path) -> None:
    path = made(tmp_path, film)
    refuse_truncated(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(int(len(whole) * share), len(whole) - 1)])
    with pytest.raises(VideoError, match="truncated: "):
        refuse_truncated(path)
    with pytest.raises(VideoError):
        list(decode(path))


@pytest.mark.parametrize("film", SAYS_ITS_SIZE, ids=lambda film: film.suffix)
def test_what_follows_a_whole_file_is_no_matter(film: Film, tmp_path: Path) -> None:
    path = made(tmp_path, film)
    if film.suffix == ".flv":
        pytest.skip("an FLV is told by its end")
    path.write_bytes(path.read_bytes() + bytes(5))
    refuse_truncated(path)


def test_a_live_stream_promises_nothing(tmp_path: Path) -> None:
    path = made(tmp_path, Film("libx264", ".mkv"))
    content = bytearray(path.read_bytes())
    at = content.index(bytes.fromhex("18538067")) + 4
    content[at : at + 8] = b"\x01" + b"\xff" * 7
    path.write_bytes(content)
    refuse_truncated(path)
    path.write_bytes(content[: len(content) // 2])
    refuse_truncated(path)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\xff", b"FLV\x01", bytes(64)])
def test_a_few_bytes_are_no_more_than_that(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "few"
    path.write_bytes(content)
    with pytest.raises(VideoError):
        list(decode(path))


def test_half_a_file_is_read_where_damage_is_kept(tmp_path: Path) -> None:
    path = made(tmp_path, Film("mpeg4", ".avi"))
    path.write_bytes(path.read_bytes()[:-2000])
    damage = Damage(keep=True)
    frames = list(decode(path, damage=damage))
    assert 0 < len(frames) <= 40
    assert damage.errors >= 1
    assert damage.first_error.startswith("truncated: ")
