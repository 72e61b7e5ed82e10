"""Unpack an archive into a folder that is either whole or not there.

What an archive is, its first bytes say and not its name. zip and tar are the standard library's work; for rar
there is no free library, so a program of the machine does it. All of it happens in a hidden folder beside the
target, which is renamed once everything, the mark last, is in it.
"""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path, PurePosixPath

from ...cache.atomic import write_json
from ...data.errors import StageError
from ...data.progress import Progress
from .byte_meter import ByteMeter, check_space

Unpacker = Callable[[Path, Path], Generator[int, None, None]]

MARK = ".unpacked.json"
POLL_S = 2.0
RAR_PROGRAMS: dict[str, tuple[str, ...]] = {  # each runs in the folder that it fills
    "unrar": ("x", "-y", "{archive}"),
    "unar": ("-quiet", "-force-overwrite", "-no-directory", "{archive}"),
    "bsdtar": ("-x", "-f", "{archive}"),
    "7z": ("x", "-y", "{archive}"),
    "7zz": ("x", "-y", "{archive}"),
    "7za": ("x", "-y", "{archive}"),
}
RAR_HINT = (
    "install unar, unrar or bsdtar (Debian and Ubuntu: apt install unar; Fedora: dnf install unar; "
    "macOS: brew install unar; conda: conda install -c conda-forge libarchive)"
)
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError)
UNSUPPORTED = (NotImplementedError, RuntimeError)  # zipfile: an unknown compression, an encrypted member


def is_unpacked(target: Path) -> bool:
    """Whether ``target`` was unpacked by :func:`unpack`, to the end."""
    return (target / MARK).is_file()


def rar_programs() -> list[str]:
    """The programs of this machine that may unpack a rar archive, best first."""
    return [path for path in map(shutil.which, RAR_PROGRAMS) if path]


def unpack(archive: Path, target: Path, *, progress: Progress) -> None:
    """Make the folder ``target`` of what ``archive`` holds.

    The folder of that name within the archive is taken, wherever it is; if there is none, what is left without
    wrapping folders.

    Raises:
        StageError: if the archive is damaged or none, the disk is too small, or no program can unpack it.
    """
    size = archive.stat().st_size
    check_space(target.parent, size, f"what '{archive.name}' unpacks to")
    work = target.with_name(f".{target.name}.unpacking")
    _make_empty(work)
    meter = ByteMeter(progress, "unpack", size)
    try:
        with closing(_unpacker(archive)(archive, work)) as steps:
            for done in steps:
                meter.reach(min(done, size))
        _publish(_content(work, target.name), target, {"archive": archive.name, "bytes": size})
    except (*DAMAGE, *UNSUPPORTED) as error:
        raise _unusable(archive, f"cannot be unpacked ({error})") from error
    finally:
        progress.finish()
        shutil.rmtree(work, ignore_errors=True)


def _publish(content: Path, target: Path, mark: dict[str, object]) -> None:
    write_json(content / MARK, mark)
    os.sync()  # one call for the thousands of files; the name must not outlive a power cut that they don't
    content.replace(target)
    os.sync()


def _make_empty(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()


def _content(work: Path, name: str) -> Path:
    """The folder within ``work`` that is wanted."""
    if found := sorted((path for path in work.rglob(name) if path.is_dir()), key=lambda path: len(path.parts)):
        return found[0]
    folder = work
    while len(visible := _visible(folder)) == 1 and visible[0].is_dir():
        folder = visible[0]
    return folder


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "__MACOSX"]


def _unpacker(archive: Path) -> Unpacker:
    """What the first bytes ask for."""
    with archive.open("rb") as handle:
        head = handle.read(16)
    if head.startswith(b"Rar!"):
        return _unpack_rar
    if zipfile.is_zipfile(archive):
        return _unpack_zip
    if tarfile.is_tarfile(archive):
        return _unpack_tar
    raise _unusable(archive, f"is no rar, zip or tar archive, or was cut short (it begins with {head!r})")


def _unusable(archive: Path, what: str) -> StageError:
    return StageError(
        f"'{archive}' {what}: delete it and run the same command again to fetch it anew, or put a good copy there"
    )


def _unpack_zip(archive: Path, work: Path) -> Generator[int, None, None]:
    """Yields how many bytes of the archive are done."""
    done = 0
    with zipfile.ZipFile(archive) as content:
        for member in content.infolist():
            _refuse_outside(archive, member.filename)
            content.extract(member, work)
            done += member.compress_size
            yield done


def _refuse_outside(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise _unusable(archive, f"names the path '{name}' outside the folder it is unpacked to")


def _unpack_tar(archive: Path, work: Path) -> Generator[int, None, None]:
    """Yields how many bytes of the archive are read.

    Files and folders alone: tar's own filter against links and devices is missing before Python 3.11.4.
    """
    with archive.open("rb") as handle, tarfile.open(fileobj=handle) as content:
        for member in content:
            _refuse_outside(archive, member.name)
            source, target = content.extractfile(member) if member.isfile() else None, work / member.name
            if source is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                with source, target.open("wb") as out:
                    shutil.copyfileobj(source, out)
            elif member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                raise _unusable(archive, f"cannot be unpacked ('{member.name}' is neither a file nor a folder)")
            yield handle.tell()


def _unpack_rar(archive: Path, work: Path) -> Generator[int, None, None]:
    """Yields how many bytes are unpacked: videos hardly shrink, so that is about the archive's share.

    A program that fails is followed by the next: some builds know no rar, and `unrar` may be its free namesake.
    """
    complaints = []
    for program in rar_programs():
        complaint = yield from _run(program, archive, work)
        if complaint is None:
            return
        complaints.append(f"{Path(program).name}: {complaint}")
        _make_empty(work)
    if complaints:
        raise _unusable(archive, f"cannot be unpacked ({'; '.join(complaints)}). If it is whole, {RAR_HINT}; else")
    raise StageError(
        f"no program that unpacks .rar was found ({', '.join(RAR_PROGRAMS)}): {RAR_HINT}, then run the same command "
        f"again. The archive is kept at '{archive}'"
    )


def _run(program: str, archive: Path, work: Path) -> Generator[int, None, str | None]:
    """Run one program in ``work``; returns its complaint, or None if it succeeded."""
    arguments = [part.format(archive=archive.absolute()) for part in RAR_PROGRAMS[Path(program).name]]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [program, *arguments], cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
        try:
            yield from _watch(process, work)
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        said = errors.read().decode(errors="replace").split("\n")
    if process.returncode == 0 and _visible(work):
        return None
    last = next((line.strip() for line in reversed(said) if line.strip()), "no reason given")
    return f"exit code {process.returncode}, {last}"


def _watch(process: subprocess.Popen[bytes], work: Path) -> Generator[int, None, None]:
    while True:
        try:
            process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            yield sum(path.lstat().st_size for path in work.rglob("*"))
        else:
            return
