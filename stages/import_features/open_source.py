"""Whatever holds features, opened: a file or a folder of files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...data.errors import FeaturesError
from .file import file_source
from .folder import folder_source
from .options import Reading
from .source import SUFFIXES, FeatureSource


@contextmanager
def open_source(path: Path, fps: float | None = None, reading: Reading | None = None) -> Iterator[FeatureSource]:
    """Open features and check their shapes and names.

    Args:
        path: a file or a folder.
        fps: frames a second where the source has no times.
        reading: what the arrays do not say themselves.

    Raises:
        FeaturesError: if there is nothing to be read, or shapes, lengths or ids contradict each other.
    """
    reading = reading or Reading()
    if fps is not None and not 0.001 <= fps <= 1e5:
        raise FeaturesError(f"--fps {fps:g}: a number from 0.001 to 100000 is needed")
    if path.is_dir():
        yield folder_source(path, fps, reading)
        return
    if not path.is_file():
        raise FeaturesError(f"'{path}' does not exist: give a file ({', '.join(SUFFIXES)}) or a folder of .npy")
    if path.suffix.lower() not in SUFFIXES:
        raise FeaturesError(f"'{path}': a file ending in {', '.join(SUFFIXES)} or a folder of .npy is needed")
    if reading.streams:
        raise FeaturesError(f"--streams is for a folder of NAME_rgb.npy and the like, but '{path}' is a file")
    with file_source(path, fps, reading) as source:
        yield source
