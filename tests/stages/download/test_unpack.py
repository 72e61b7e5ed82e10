"""Unpacking: whole or not there, by content and not by name, with whatever the machine has."""

import io
import shutil
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from mofore.data.errors import StageError
from mofore.data.progress import Silent
from mofore.stages.download import unpack as module
from mofore.stages.download.unpack import RAR_PROGRAMS, is_unpacked, rar_programs, unpack

VIDEO = "YoYo/v_YoYo_g01_c01.avi"
RAR = b"Rar!\x1a\x07\x00" + bytes(100)


def make_zip(path: Path, *members: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, "content")
    return path


def make_tar(path: Path, *members: str, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in members:
            entry = tarfile.TarInfo(member)
            entry.size = 7
            archive.addfile(entry, io.BytesIO(b"content"))
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "UCF-101"


@pytest.fixture
def rar(tmp_path: Path) -> Path:
    path = tmp_path / "UCF101.rar"
    path.write_bytes(RAR)
    return path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing but what the test puts there (and a shell's tools, by absolute path)."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name[0] != ".")


def nothing_left(target: Path) -> bool:
    return not target.exists() and not list(target.parent.glob(".*"))


@pytest.mark.parametrize("inside", [f"UCF-101/{VIDEO}", f"data/UCF-101/{VIDEO}", f"wrapping/{VIDEO}"])
def test_the_wanted_folder_is_found(tmp_path: Path, target: Path, inside: str) -> None:
    unpack(
        make_zip(tmp_path / "a.zip", inside, inside.replace("g01", "g02").replace("YoYo/", "Archery/")),
        target,
        progress=Silent(),
    )
    assert is_unpacked(target)
    assert VIDEO in files(target)
    assert len(files(target)) == 2


def test_classes_at_the_top_are_taken_as_they_are(tmp_path: Path, target: Path) -> None:
    unpack(make_zip(tmp_path / "a.zip", VIDEO, "Archery/a.avi", "__MACOSX/x"), target, progress=Silent())
    assert VIDEO in files(target)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar_archives_are_unpacked_whatever_their_name(tmp_path: Path, target: Path, mode: str) -> None:
    unpack(make_tar(tmp_path / "archive", f"UCF-101/{VIDEO}", mode=mode), target, progress=Silent())
    assert files(target) == [VIDEO]


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["../evil.avi", "/evil.avi", "UCF-101/../../evil.avi"])
def test_paths_that_lead_outside_are_refused(tmp_path: Path, target: Path, make: type, name: str) -> None:
    with pytest.raises(StageError, match="outside"):
        unpack(make(tmp_path / "archive", f"UCF-101/{VIDEO}", name), target, progress=Silent())
    assert nothing_left(target)
    assert not list(tmp_path.parent.glob("evil*"))


def test_a_link_that_leads_outside_is_refused(tmp_path: Path, target: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("UCF-101/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    with pytest.raises(StageError, match="cannot be unpacked"):
        unpack(tmp_path / "a.tar", target, progress=Silent())
    assert nothing_left(target)


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_cut_archive_is_damaged_and_leaves_nothing(tmp_path: Path, target: Path, make: type) -> None:
    path = make(tmp_path / "archive", f"UCF-101/{VIDEO}", "UCF-101/b.avi")
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(StageError, match="delete it and run the same command again"):
        unpack(path, target, progress=Silent())
    assert nothing_left(target)


def test_a_changed_byte_is_damage(tmp_path: Path, target: Path) -> None:
    path = make_zip(tmp_path / "a.zip", f"UCF-101/{VIDEO}")
    path.write_bytes(path.read_bytes().replace(b"content", b"c0ntent"))
    with pytest.raises(StageError, match=r"cannot be unpacked \(Bad CRC-32"):
        unpack(path, target, progress=Silent())


def test_a_web_page_under_an_archives_name_is_named_as_such(tmp_path: Path, target: Path) -> None:
    (tmp_path / "UCF101.rar").write_bytes(b"<!DOCTYPE html><html></html>")
    with pytest.raises(StageError, match=r"no rar, zip or tar archive.*<!DOCTYPE html>"):
        unpack(tmp_path / "UCF101.rar", target, progress=Silent())


def test_what_a_killed_unpacking_left_is_no_part_of_the_next(tmp_path: Path, target: Path) -> None:
    stale = tmp_path / ".UCF-101.unpacking" / "UCF-101"
    stale.mkdir(parents=True)
    (stale / "half.avi").touch()
    unpack(make_zip(tmp_path / "a.zip", f"UCF-101/{VIDEO}"), target, progress=Silent())
    assert files(target) == [VIDEO]


def test_ctrl_c_leaves_nothing_half_done(tmp_path: Path, target: Path) -> None:
    class Interrupting(Silent):
        def pulse(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(make_zip(tmp_path / "a.zip", f"UCF-101/{VIDEO}"), target, progress=Interrupting())
    assert nothing_left(target)


def test_a_full_disk_is_said_before_unpacking(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3))
    with pytest.raises(StageError, match="3 bytes free"):
        unpack(make_zip(tmp_path / "a.zip", VIDEO), target, progress=Silent())


def test_no_program_for_rar_names_how_to_get_one_and_where_the_archive_is(
    rar: Path, target: Path, programs: Path
) -> None:
    with pytest.raises(StageError) as caught:
        unpack(rar, target, progress=Silent())
    for part in ("apt install", "dnf install", "brew install", "conda install", "same command again", str(rar)):
        assert part in str(caught.value)
    assert rar.exists()
    assert nothing_left(target)


@pytest.mark.parametrize("name", RAR_PROGRAMS)
def test_each_program_runs_in_the_new_folder_and_is_given_the_archive(
    rar: Path, target: Path, programs: Path, name: str
) -> None:
    install(programs, name, f'/bin/mkdir -p UCF-101/YoYo && echo "$@" > UCF-101/{VIDEO}')
    unpack(rar, target, progress=Silent())
    assert str(rar) in (target / VIDEO).read_text()
    assert is_unpacked(target)


def test_programs_are_taken_in_order(programs: Path) -> None:
    for name in ("7z", "bsdtar", "unrar"):
        install(programs, name, "exit 0")
    assert [Path(path).name for path in rar_programs()] == ["unrar", "bsdtar", "7z"]


def test_a_program_that_fails_is_followed_by_the_next(rar: Path, target: Path, programs: Path) -> None:
    install(programs, "unrar", "echo half > half.avi; exit 9")
    install(programs, "7z", f"/bin/mkdir -p UCF-101/YoYo && echo > UCF-101/{VIDEO}")
    unpack(rar, target, progress=Silent())
    assert files(target) == [VIDEO]


def test_when_every_program_fails_each_says_why(rar: Path, target: Path, programs: Path) -> None:
    install(programs, "unrar", "echo 'CRC failed in v_YoYo' >&2; exit 3")
    install(programs, "bsdtar", "exit 0")  # says nothing and does nothing
    with pytest.raises(StageError, match=r"unrar: exit code 3, CRC failed in v_YoYo; bsdtar: exit code 0, no reason"):
        unpack(rar, target, progress=Silent())
    assert nothing_left(target)


def test_ctrl_c_ends_the_program(rar: Path, target: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupting(Silent):
        def pulse(self) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "POLL_S", 0.01)
    install(programs, "unrar", "exec /bin/sleep 60")
    with pytest.raises(KeyboardInterrupt):
        unpack(rar, target, progress=Interrupting())
    assert nothing_left(target)
