"""Names that users give to runs: ``runs.json`` of a work folder, which says of each what it is made of."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from ..cache.atomic import write_json
from ..cache.fingerprint import KEY_LENGTH
from ..data.errors import StoreError, UsageError
from ..data.record import Record, read, record
from ..data.storage import refuse_lost
from .workspace import Workspace

SCHEMA = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
KEY = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}")


@record
class NamedRun(Record):
    """A run that has a name.

    Attributes:
        store: key of its features.
        fit: key of its fit.
        evaluate: key of its metrics.
        index: key of its index.
        overrides: what ``--set`` gave it, beside ``mofore.toml``.
        named: when it got the name, as ISO 8601 in UTC.
    """

    store: str
    fit: str
    evaluate: str
    index: str
    overrides: tuple[str, ...]
    named: str

    @property
    def keys(self) -> tuple[str, str, str, str]:
        """What it is made of."""
        return self.store, self.fit, self.evaluate, self.index


@record
class _Names(Record):
    """The file."""

    schema: int
    runs: dict[str, NamedRun]


def check_name(name: str) -> None:
    """Refuse a name that could be taken for something else.

    Raises:
        UsageError: with what a name may hold.
    """
    if not NAME.fullmatch(name) or KEY.fullmatch(name):
        raise UsageError(
            f"--name {name!r}: letters, digits and . _ + - are needed (64 at most, a letter or digit first), "
            f"and not {KEY_LENGTH} hex digits alone, which is what keys look like; for example --name base"
        )


def read_names(workspace: Workspace) -> dict[str, NamedRun]:
    """The named runs of a work folder, in the order in which they were named.

    Raises:
        StoreError: if the file is damaged, or of a later version.
    """
    try:
        found = read(_Names, json.loads(workspace.names.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        refuse_lost(error, workspace.names)
        raise _damaged(workspace, str(error)) from error
    if found.schema != SCHEMA:
        raise _damaged(workspace, f"schema {found.schema}, this mofore reads {SCHEMA}")
    return found.runs


def _damaged(workspace: Workspace, why: str) -> StoreError:
    return StoreError(
        f"'{workspace.names}' cannot be read ({why}): move it away; the runs stay, their names are lost, and "
        "`mofore run --name NAME` gives them again"
    )


def give_name(workspace: Workspace, name: str, run: NamedRun) -> None:
    """Record a name; call it only while holding the work folder.

    Raises:
        UsageError: if the name is another run's.
        StoreError: if the file is damaged.
    """
    names = read_names(workspace)
    known = names.get(name)
    if known is not None and known.keys[:3] != run.keys[:3]:
        raise taken(workspace, name, known)
    _write(workspace, {**names, name: run})


def taken(workspace: Workspace, name: str, known: NamedRun) -> UsageError:
    """What is said where a name is another run's."""
    return UsageError(
        f"the name {name!r} is that of another run (evaluate/{known.evaluate}): choose another one, or free it with "
        f"`mofore list {workspace.root} --forget {name}`, which deletes nothing of the run"
    )


def forget_name(workspace: Workspace, name: str) -> None:
    """Take a name away; the run stays what it is.

    Raises:
        UsageError: if no run has it.
        StoreError: if the file is damaged.
    """
    names = read_names(workspace)
    if name not in names:
        known = ", ".join(names) or "none"
        raise UsageError(f"no run of '{workspace.root}' is called {name!r}; names are: {known}")
    _write(workspace, {other: run for other, run in names.items() if other != name})


def now() -> str:
    """The present time as it is recorded."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write(workspace: Workspace, names: dict[str, NamedRun]) -> None:
    write_json(workspace.names, _Names(schema=SCHEMA, runs=names).as_json())
