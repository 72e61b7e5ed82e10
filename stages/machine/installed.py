"""Versions of what a result goes by, where several machines have a part in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from ..._version import __version__


def installed(packages: Sequence[str]) -> dict[str, str]:
    """Versions of mofore and of those of ``packages`` that are installed here."""
    found = {"mofore": __version__}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def other_versions(here: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[str, str] | None:
    """What is of another version than is wanted, as it is ``here`` and as it is wanted; None if nothing is."""
    other = [name for name in wanted if here.get(name) != wanted[name]]
    if not other:
        return None
    return (
        ", ".join(f"{name} {here.get(name, 'not at all')}" for name in other),
        ", ".join(f"{name} {wanted[name]}" for name in other),
    )
