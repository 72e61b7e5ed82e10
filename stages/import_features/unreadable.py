"""The complaint of files that cannot be read."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from ...data.errors import FeaturesError
from .options import shown

DAMAGE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


def unreadable(path: Path, error: Exception) -> FeaturesError:
    """The complaint of a file that is damaged, or of another kind than its name says."""
    return FeaturesError(f"'{path}' cannot be read ({shown(error)}): is it whole, and of the kind that its name says?")
