import os
import subprocess
import sys
import time
from array import array
from pathlib import Path

import pytest

from mofore.data import file_states, stat_files
from mofore.data.file_states import FileStates
from mofore.data.walk import files_below, walk

Started = list["subprocess.Popen[bytes]"]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))
    return root


def many(root: Path) -> Path:
    """Names of every length and spelling, a link, a link to nothing, a folder named as a video, and a pipe."""
    touch(root, *(f"Class{label}/v {'x' * number}.avi" for label in range(5) for number in range(40)))
    touch(root, "é/\udcff.avi", "é/new\nline.mp4", "é/note.txt", "folder.avi/inner.avi")
    (root / "é/link.avi").symlink_to(root / "Class0/v x.avi")
    (root / "é/dangling.avi").symlink_to(root / "nowhere.avi")
    os.mkfifo(root / "é/pipe.avi")
    return root


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """The processes that were begun; small numbers are many, and there are three cores."""
    found: Started = []
    begin = subprocess.Popen

    def count(*given: object, **named: object) -> "subprocess.Popen[bytes]":
        found.append(begin(*given, **named))  # type: ignore[call-overload]
        return found[-1]

    monkeypatch.setattr(file_states, "BATCH", 7)
    monkeypatch.setattr(file_states, "MANY", 20)
    monkeypatch.setattr(file_states, "usable_cores", lambda: (0, 1, 2))
    monkeypatch.setattr("subprocess.Popen", count)
    return found


def test_a_walk_stats_each_file_once_and_each_folder_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, *(f"Class{label}/v{label}_{number}.avi" for label in range(5) for number in range(40)))
    counted: list[str] = []
    stat = os.stat

    def count(path: str | bytes | Path, **named: bool) -> os.stat_result:
        counted.append(os.fsdecode(path))
        return stat(path, **named)

    monkeypatch.setattr("os.stat", count)
    assert len(walk(tmp_path)) == 200
    of_files = [path for path in counted if path.endswith(".avi")]
    assert len(of_files) == len(set(of_files)) == 200
    assert len(counted) - len(of_files) <= 2 * 6


def test_a_walk_tells_every_change_by_its_digest(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.avi", "a/2.avi", "b/1.avi")
    before = walk(tmp_path)
    assert walk(tmp_path).digest == before.digest
    assert [each[0] for each in before.videos()] == ["a/1.avi", "a/2.avi", "b/1.avi"]
    digests = {before.digest}
    os.utime(tmp_path / "a/1.avi", ns=(1, 1))
    digests.add(walk(tmp_path).digest)
    (tmp_path / "a/1.avi").write_bytes(b"xx")
    os.utime(tmp_path / "a/1.avi", ns=(1, 1))
    digests.add(walk(tmp_path).digest)
    (tmp_path / "a/2.avi").rename(tmp_path / "b/2.avi")
    digests.add(walk(tmp_path).digest)
    (tmp_path / "b/1.avi").unlink()
    digests.add(walk(tmp_path).digest)
    assert len(digests) == 5


def test_several_processes_find_what_one_finds(
    tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = walk(many(tmp_path))
    assert len(started) == 3
    assert all(process.returncode is not None for process in started), "they have ended"
    monkeypatch.setattr(file_states, "usable_cores", lambda: (0,))
    assert walk(tmp_path) == several
    assert len(started) == 3, "on one core, none is begun"
    found = {name: (size, mtime_ns) for name, size, mtime_ns, _ in several.videos()}
    assert len(found) == 204
    for name, (size, mtime_ns) in found.items():
        state = (tmp_path / name).stat()
        assert (size, mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert several.links == ["é/dangling.avi", "é/link.avi"]


@pytest.mark.parametrize("program", ["false", "no such python", "python"])
def test_where_no_process_helps_this_one_tells_all(
    program: str, tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = walk(many(tmp_path))
    assert len(started) == 3
    if program == "python":  # one that dies in the middle of its answer
        dies = tmp_path / "dies.py"
        dies.write_text("import sys; sys.stdin.buffer.read(8); sys.stdout.write('abc')")
        monkeypatch.setattr(stat_files, "__file__", str(dies))
    else:
        monkeypatch.setattr(sys, "executable", f"/python/{program}" if " " in program else f"/bin/{program}")
    assert walk(tmp_path) == expected


def test_processes_end_when_the_walk_is_given_up(tmp_path: Path, started: Started) -> None:
    def give_up() -> None:
        with FileStates(str(tmp_path)) as states:
            states.ask("", [f"{number}.avi" for number in range(100)])
            while not started:
                time.sleep(0.001)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert started
    assert all(process.returncode is not None for process in started)


def test_files_are_told_in_the_order_that_they_were_asked_for(tmp_path: Path, started: Started) -> None:
    names = [f"{number}.avi" for number in range(100)]
    touch(tmp_path, *names[::2])
    with FileStates(str(tmp_path)) as states:
        for name in names:
            states.ask("", [name])
        sizes, mtimes_ns = states.told()
    assert sizes == array("q", (len(name) if number % 2 == 0 else -1 for number, name in enumerate(names)))
    assert [bool(mtime_ns) for mtime_ns in mtimes_ns] == [number % 2 == 0 for number in range(100)]
    assert len(started) == 3


def test_files_of_many_folders_are_told_together(tmp_path: Path, started: Started) -> None:
    several = [f"{number}.avi" for number in range(19)]
    asked = {"": ["a.avi"], "b/": [], "c/d/": several, "gone/": [*"efghi"], "j/": ["k"]}
    folders = {folder: names for folder, names in asked.items() if names}
    touch(tmp_path, *(f"{folder}{name}" for folder, names in folders.items() for name in names if folder != "gone/"))
    with FileStates(str(tmp_path)) as states:
        for folder, names in asked.items():
            states.ask(folder, names)
        sizes, _ = states.told()
    expected = [-1 if folder == "gone/" else len(f"{folder}{name}") for folder in folders for name in folders[folder]]
    assert [*sizes] == expected
    assert len(started) == 3


def test_a_folder_without_files_has_no_states(tmp_path: Path) -> None:
    with FileStates(str(tmp_path)) as states:
        assert states.told() == (array("q"), array("q"))


def test_a_link_to_no_video_does_not_keep_images_from_being_one(tmp_path: Path) -> None:
    touch(tmp_path, "clip/1.jpg", "clip/2.jpg")
    (tmp_path / "clip/gone.avi").symlink_to(tmp_path / "nowhere.avi")
    assert [each[0] for each in walk(tmp_path).videos()] == ["clip"]
    touch(tmp_path, "clip/there.avi")
    assert [each[0] for each in walk(tmp_path).videos()] == ["clip/there.avi"]


def test_files_of_a_kind_are_listed_as_videos_are(tmp_path: Path) -> None:
    touch(tmp_path, "b/x.npy", "a.NPY", ".hidden/y.npy", "b/.z.npy", "b/c.txt")
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    assert files_below(tmp_path, ".npy") == ["a.NPY", "b/x.npy"]


@pytest.mark.parametrize(
    ("names", "videos"),
    [
        (["a.avi", "b.avi.txt", "c.avi"], ["a.avi", "c.avi"]),
        (["a.avi", "b.mp4"], ["a.avi", "b.mp4"]),
        (["a.avi", "bavi", "c.AVI"], ["a.avi", "c.AVI"]),
        (["a.avi", "b"], ["a.avi"]),
        (["a", "b.avi"], ["b.avi"]),
        (["a.txt", "b.txt"], []),
    ],
)
def test_a_first_name_does_not_speak_for_the_others(names: list[str], videos: list[str], tmp_path: Path) -> None:
    assert [each[0] for each in walk(touch(tmp_path, *names)).videos()] == videos


def test_files_below_a_folder_that_has_gone_are_none() -> None:
    assert array("q", stat_files.states_of(b"/no/such/folder\0a.avi\0b.avi")) == array("q", [-1, 0, -1, 0])


def test_files_are_found_where_no_folder_can_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    touch(tmp_path, "a.avi", "below/b.avi")
    expected = walk(tmp_path)

    def refuse(*given: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    assert walk(tmp_path) == expected
