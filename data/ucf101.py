"""UCF101 (Soomro, Zamir and Shah 2012): where it is and how much of it there is. mofore contains nothing of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from .errors import UsageError

VIDEOS_URL = "https://www.crcv.ucf.edu/data/UCF101/UCF101.rar"
SPLITS_URL = "https://www.crcv.ucf.edu/data/UCF101/UCF101TrainTestSplits-RecognitionTask.zip"
VIDEOS_FOLDER = "UCF-101"
SPLITS_FOLDER = "ucfTrainTestlist"
VIDEO_COUNT = 13_320
CLASS_COUNT = 101


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive of the data set.

    Raises:
        UsageError: if the URL is none of http or https, or names no file.
    """

    url: str  # where it is fetched from
    option: str  # the option of the command line that names another place
    folder: str  # name of the folder that it unpacks to

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc or not self.name:
            raise UsageError(f"{self.option} '{self.url}': the http or https address of an archive is needed")

    @property
    def name(self) -> str:
        """File name of the archive: the last part of the address's path."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name
