"""Paths of a store of objects: ``s3://bucket/folder/v.mp4``, joined and taken apart as paths of this machine are.

Credentials are never taken from a URL, which is written into the work folder: fsspec finds them where the store's own
tools do.
"""

from __future__ import annotations

import re
from pathlib import Path, PosixPath
from typing import Any, Self

from .errors import CatalogError

URL = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+.-]+)://(?P<rest>.*)", re.DOTALL)
NO_STORES = ("file", "local", "http", "https", "ftp")  # that fsspec knows too


def is_url(text: str) -> bool:
    """Whether a text names something by protocol rather than by path."""
    return URL.match(text) is not None


def location(text: str) -> Path:
    """A path, of this machine (``~`` is the home folder) or of a store of objects.

    Raises:
        CatalogError: for a URL that is of no use, or holds what must not be written down.
    """
    return RemotePath.parse(text) if is_url(text) else Path(text).expanduser()


class RemotePath(PosixPath):
    """Where an object is, or a prefix of objects: ``s3://bucket/folder/v.mp4``; joined and taken apart as paths are.

    Whoever needs a file of this machine finds none there: :mod:`.remote` reads them.
    """

    @classmethod
    def parse(cls, text: str) -> Self:
        """Check a URL.

        Raises:
            CatalogError: if it has a user or a query in it, or is of no store of objects.
        """
        match = URL.match(text)
        told = without_secrets(text)
        if match is None:
            raise CatalogError(f"'{told}' is no URL: s3://BUCKET/FOLDER is needed")
        protocol, rest = match["protocol"], match["rest"]
        bucket = rest.partition("/")[0]
        if "@" in bucket or (":" in bucket and not bucket.startswith("arn:")):  # a secret key may have slashes
            raise CatalogError(
                f"{protocol}://... has a user or a key in it, which would be written into the work folder: leave it "
                "out, and give it where the store's own tools look (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "~/.aws/credentials; GOOGLE_APPLICATION_CREDENTIALS)"
            )
        if "?" in rest or "::" in bucket:
            raise CatalogError(f"'{told}' has more in it than a place: give the folder alone, s3://BUCKET/FOLDER")
        if protocol in NO_STORES:
            way = "give its path" if protocol in ("file", "local") else "fetch the videos first, and give their folder"
            raise CatalogError(f"'{told}': {protocol}:// is not read as a store of objects: {way}")
        if not rest.strip("/"):
            raise CatalogError(f"'{told}' names no bucket: s3://BUCKET/FOLDER is needed")
        return cls(f"{protocol}:", rest.strip("/"))

    def __str__(self) -> str:
        return f"{self.protocol}://{self.key}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(self.parts)

    @property
    def protocol(self) -> str:
        """What stands before ``://``."""
        return self.parts[0].removesuffix(":")

    @property
    def key(self) -> str:
        """Bucket and key, as fsspec takes them."""
        return "/".join(self.parts[1:])

    def absolute(self) -> Self:
        """Itself."""
        return self

    def resolve(self, strict: bool = False) -> Self:  # noqa: ARG002 - as paths have it
        """Itself."""
        return self

    def expanduser(self) -> Self:
        """Itself."""
        return self


def without_secrets(text: str) -> str:
    """A text without users and keys of URLs, and without what follows a question mark in one."""
    return re.sub(
        r"(\w://[^\s?'\"]*)\?[^\s'\"]*", r"\1?...", re.sub(r"//([^/\s@]*|[^/\s:@]+:[^\s@]*)@", "//...@", text)
    )
