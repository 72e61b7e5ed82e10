"""The work folder: where everything of a run is, all of it relative, so that the folder can be moved."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..cache.hold import living
from ..cache.ledger import PARTS
from ..cache.lock import NAME as LOCK
from ..cache.lock import exclusive, holder
from ..data.errors import WorkspaceError
from ..data.part import Part
from ..data.remote_path import RemotePath, is_url


@dataclass(frozen=True, slots=True)
class Workspace:
    """Paths of a work folder."""

    root: Path

    def told(self, command: str) -> str:
        """A command of mofore as the user can type it from where this process stands: with this folder."""
        return f"mofore {command}" if self.root == Path() else f"mofore {command} -w {shlex.quote(str(self.root))}"

    @classmethod
    def open(cls, root: Path) -> Workspace:
        """An existing work folder.

        Raises:
            WorkspaceError: if there is no ``mofore.toml``.
        """
        workspace = cls(root)
        if not workspace.config.is_file():
            raise WorkspaceError(
                f"no mofore.toml in '{root}': make a work folder with `mofore init VIDEOS -w {root}`, "
                f"or of your own features with `mofore import FEATURES -w {root}`, or name one with -w"
            )
        return workspace

    def at_work(self) -> tuple[str, ...]:
        """The processes that are at work here just now: one run, or parts of an extraction."""
        parts = [
            f"part {path.stem.replace('-of-', '/')}, {who}"
            for path in sorted(self.parts.glob("*.lock"))
            if (who := holder(path))
        ]
        return (*filter(None, [holder(self.lock)]), *parts)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A block that has the work folder to itself: neither runs nor parts are at work in it, here or elsewhere.

        Raises:
            WorkspaceError: at once, if one is. Where locks of the disk do not reach the machine of a part that was
                killed, that is known after some seconds, once.
        """
        with exclusive(self.lock):
            parts = sorted(self.parts.glob("*.lock"))
            if who := living(*parts):
                raise WorkspaceError(
                    f"a part of an extraction is at work in '{self.root}' ({who}), which the locks of its disk did not "
                    "tell: wait for it, or stop it first"
                )
            for path in parts:  # marks of parts that were killed are not watched again
                if path.stat().st_size:
                    os.truncate(path, 0)
            yield

    @property
    def config(self) -> Path:
        """The settings that the user may change; there is no work folder without them."""
        return self.root / "mofore.toml"

    @property
    def ledger(self) -> Path:
        """The journal of finished work."""
        return self.root / "ledger.jsonl"

    @property
    def lock(self) -> Path:
        """Held by the one run that writes."""
        return self.root / LOCK

    @property
    def parts(self) -> Path:
        """What parts of an extraction need while they are at it: locks and journals."""
        return self.root / PARTS

    def part_lock(self, part: Part) -> Path:
        """Held by the one process that extracts this part."""
        return self.parts / f"{part.number}-of-{part.count}.lock"

    def part_journal(self, part: Part) -> Path:
        """What this part finished, until the ledger takes it up."""
        return self.parts / f"{part.number}-of-{part.count}.jsonl"

    @property
    def metrics(self) -> Path:
        """Metrics of the index that is up to date."""
        return self.root / "metrics.json"

    @property
    def names(self) -> Path:
        """Names that the user gave to runs."""
        return self.root / "runs.json"

    @property
    def log(self) -> Path:
        """What runs said."""
        return self.root / "mofore.log"

    def store(self, key: str) -> Path:
        """Shards of one encoder."""
        return self.root / "features" / key

    def stage(self, stage: str, key: str) -> Path:
        """Outputs of a fit or an index."""
        return self.root / stage / key

    def relative(self, path: Path) -> str:
        """Path of an output as the ledger records it."""
        return path.relative_to(self.root).as_posix()

    def resolve(self, text: str) -> Path:
        """A path of the settings: relative ones are meant from the work folder.

        Raises:
            CatalogError: for a URL that is of no use.
        """
        if is_url(text):
            return RemotePath.parse(text)
        path = Path(text).expanduser()
        return path if path.is_absolute() else Path(os.path.normpath(self.root / path))

    def shorten(self, path: Path) -> str:
        """A path for the settings: relative if it is inside the work folder, so that both can be moved."""
        if isinstance(path, RemotePath):
            return str(path)
        absolute, root = path.expanduser().resolve(), self.root.resolve()
        return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else str(absolute)
