"""``mofore download``: fetch a data set, unpack it, and say what there is.

The archives stay unless asked otherwise: their server is slow and not always there, and a file that the user put
there by hand is not deleted unasked. The last line says what deleting them would free.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from ...cache.lock import exclusive
from ...data.catalog import scan
from ...data.errors import UsageError
from ...data.ucf101 import CLASS_COUNT, SPLITS_FOLDER, SPLITS_URL, VIDEO_COUNT, VIDEOS_FOLDER, VIDEOS_URL, Archive
from ...data.wording import counted, size_text
from ...stages.download.fetch import fetch
from ...stages.download.unpack import RAR_HINT, is_unpacked, rar_programs, unpack
from .. import console


def download_ucf101(
    folder: Path,
    watcher: console.Console,
    *,
    videos_url: str = VIDEOS_URL,
    splits_url: str = SPLITS_URL,
    unpacking: bool = True,
    keep_archives: bool = True,
) -> None:
    """Bring UCF101 and its split lists into ``folder``; what is there already is not done again.

    Raises:
        UsageError: if an address is none.
        WorkspaceError: if another download is at work in ``folder``.
        StageError: if something could not be fetched or unpacked; what was done is kept.
    """
    videos = Archive(videos_url, "--videos-url", VIDEOS_FOLDER)
    splits = Archive(splits_url, "--splits-url", SPLITS_FOLDER)
    if videos.name == splits.name:
        raise UsageError(f"--videos-url and --splits-url both name a file '{videos.name}': two archives are needed")
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / ".mofore.lock"):
        wants_rar = unpacking and videos.name.lower().endswith(".rar") and not _is_there(folder / VIDEOS_FOLDER)
        if wants_rar and not rar_programs():  # hours before it is needed: it can be installed meanwhile
            console.say(f"note: no program that unpacks .rar was found; while '{videos.name}' is fetched, {RAR_HINT}")
        for archive in (splits, videos):
            _obtain(archive, folder, watcher, unpacking)
        if unpacking:
            complete = _report(folder)
            _settle_archives((splits, videos), folder, remove=complete and not keep_archives)


def _obtain(archive: Archive, folder: Path, watcher: console.Console, unpacking: bool) -> None:
    """One archive, as far as it is not there yet."""
    target = folder / archive.folder
    if not unpacking:
        console.say(f"fetched '{fetch(archive, folder, progress=watcher, unpacking=False)}'")
    elif is_unpacked(target):
        console.say(f"'{target}' is there already")
    elif _is_there(target):
        console.say(f"note: '{target}' is taken as it is (not unpacked by mofore); delete it to have it fetched")
    else:
        unpack(fetch(archive, folder, progress=watcher), target, progress=watcher)
        console.say(f"unpacked '{target}'")


def _is_there(target: Path) -> bool:
    return target.is_dir() and any(target.iterdir())


def _report(folder: Path) -> bool:
    """Count, and name the next command; True if every video is there."""
    videos = scan(folder / VIDEOS_FOLDER).videos
    classes = len({video.label for video in videos if video.label})
    complete = (len(videos), classes) == (VIDEO_COUNT, CLASS_COUNT)
    console.say(f"{counted(len(videos), 'video')} in {counted(classes, 'class', 'classes')}")
    if not complete:
        console.say(
            f"warning: UCF101 has {VIDEO_COUNT:,} videos in {CLASS_COUNT} classes; if something is missing, delete "
            f"'{folder / VIDEOS_FOLDER}' and its archive and run the same command again"
        )
    places = [shlex.quote(str(folder / name)) for name in (VIDEOS_FOLDER, SPLITS_FOLDER)]
    console.say(f"next: mofore init {places[0]} --splits {places[1]} -w runs/ucf")
    return complete


def _settle_archives(archives: tuple[Archive, ...], folder: Path, *, remove: bool) -> None:
    """Delete the archives, or say what deleting them would free."""
    paths = [path for path in (folder / archive.name for archive in archives) if path.is_file()]
    if not paths:
        return
    size = size_text(sum(path.stat().st_size for path in paths))
    if not remove:
        console.say(f"the archives are no longer needed ({size}): rm {shlex.join(map(str, paths))}")
        return
    for path in paths:
        path.unlink()
    console.say(f"removed the archives ({size})")
