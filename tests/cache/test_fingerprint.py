import os
from pathlib import Path

import pytest

from mofore.cache.fingerprint import current_state, digest, file_state, settled_state, stage_fingerprint, stat_of
from mofore.data.catalog import scan


def test_order_of_keys_does_not_matter_and_values_do() -> None:
    assert digest({"a": 1, "b": [2.5, "x"]}) == digest({"b": [2.5, "x"], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert stage_fingerprint("fit", 1, {"lr": 1e-4}, "u") != stage_fingerprint("fit", 2, {"lr": 1e-4}, "u")


def test_equal_size_and_time_is_trusted_without_reading(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(b"abc")

    def refuse(_path: Path) -> str:
        pytest.fail("the file was read")

    assert current_state(path, file_state(path), refuse) == file_state(path)


def test_another_time_with_the_same_content_has_the_same_digest(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(b"abc")
    recorded = file_state(path)
    os.utime(path, ns=(1, 1))
    present = current_state(path, recorded)
    assert present is not None
    assert (present.mtime_ns, present.sha256) == (1, recorded.sha256)


def test_a_file_that_is_gone_has_no_state(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(b"abc")
    recorded = file_state(path)
    path.unlink()
    assert current_state(path, recorded) is None


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """A folder of twelve frame images."""
    folder = tmp_path / "data" / "clip"
    folder.mkdir(parents=True)
    for number in range(12):
        (folder / f"{number}.jpg").write_bytes(bytes([number]) * 5)
    return folder


def test_a_folder_of_images_has_the_state_that_the_catalog_sees(frames: Path) -> None:
    (frames / "notes.txt").write_text("no frame")
    (video,) = scan(frames.parent).videos
    assert stat_of(frames) == (video.size, video.mtime_ns)
    assert file_state(frames).looks_like(video.size, video.mtime_ns)
    assert video.size == 60


def test_a_folder_of_images_that_looks_the_same_is_not_read(frames: Path) -> None:
    def refuse(_path: Path) -> str:
        pytest.fail("an image was read")

    assert current_state(frames, file_state(frames), refuse) == file_state(frames)


def test_a_copied_folder_of_images_has_the_same_digest(frames: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for number in reversed(range(12)):
        (copy / f"{number}.jpg").write_bytes((frames / f"{number}.jpg").read_bytes())
        os.utime(copy / f"{number}.jpg", ns=(number, number))
    assert file_state(copy).sha256 == file_state(frames).sha256


@pytest.mark.parametrize("change", ["swap", "rename", "remove", "edit", "shift"])
def test_any_change_of_the_images_is_noticed(change: str, frames: Path) -> None:
    for path in [*frames.iterdir(), frames]:
        os.utime(path, ns=(1, 1))
    recorded = file_state(frames)
    match change:
        case "swap":
            (frames / "0.jpg").rename(frames / "x")
            (frames / "1.jpg").rename(frames / "0.jpg")
            (frames / "x").rename(frames / "1.jpg")
        case "rename":
            (frames / "0.jpg").rename(frames / "12.jpg")
        case "remove":
            (frames / "11.jpg").unlink()
        case "edit":
            (frames / "3.jpg").write_bytes(b"other")
        case "shift":  # a byte moves from one image to the next
            (frames / "3.jpg").write_bytes(bytes([3]) * 4)
            (frames / "4.jpg").write_bytes(bytes([3]) + bytes([4]) * 5)
    present = current_state(frames, recorded)
    assert present is not None
    assert present.sha256 != recorded.sha256


def test_a_folder_whose_images_are_gone_has_no_state(frames: Path) -> None:
    recorded = file_state(frames)
    for path in frames.iterdir():
        path.unlink()
    assert current_state(frames, recorded) is None


def test_the_reader_is_told_of_progress_after_each_image(frames: Path) -> None:
    ticks: list[None] = []
    file_state(frames, tick=lambda: ticks.append(None))
    assert len(ticks) == 12


def test_an_image_that_cannot_be_hashed_is_named(frames: Path) -> None:
    (frames / "12.jpg").symlink_to(frames / "nowhere.jpg")
    with pytest.raises(OSError, match=r"image '12\.jpg': No such file"):
        file_state(frames)


@pytest.mark.parametrize(
    ("changed_ns", "now_s", "waited_s"),
    [
        (50 * 10**9 + 1, 50.0, 0.02),  # in this very tick
        (50 * 10**9 + 15 * 10**6, 50.025, 0.01),
        (50 * 10**9, 50.5, 1.5),  # whole seconds are all that its disk knows
        (50 * 10**9 + 1, 50.1, 0.0),
        (5000 * 10**9 + 1, 50.0, 0.0),  # from the future: a change gives it another time
    ],
)
def test_a_young_file_is_read_once_its_tick_is_over(
    tmp_path: Path, changed_ns: int, now_s: float, waited_s: float
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"first")
    os.utime(path, ns=(changed_ns, changed_ns))
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        path.write_bytes(b"other")  # of the same size, in the same tick
        os.utime(path, ns=(changed_ns, changed_ns))

    state = settled_state(path, clock=lambda: now_s + sum(waited), sleep=sleep)
    assert sum(waited) == pytest.approx(waited_s, abs=1e-4)
    assert state.sha256 == file_state(path).sha256
