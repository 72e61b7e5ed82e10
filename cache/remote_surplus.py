"""Objects of a place that nothing names any more: what later pushes have put others in the place of.

A push sends objects before the manifest that names them. So what is to be deleted has to be old, and the push trusts to
an object that no manifest names only while it is young (:data:`.remote_copy.LEFT_S`), else it sends that anew: then no
object goes that a manifest is about to name, as long as no push takes longer than the difference.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from ..data.errors import UsageError
from ..data.progress import Progress, under_way
from ..data.remote import ask_patiently, filesystem, written_at
from ..data.remote_path import RemotePath
from .remote_copy import read_manifest
from .remote_memory import OBJECTS, SHA256

DAY_S = 24 * 3600.0
READ_AGAIN = 100  # objects are deleted before the manifest is read again


@dataclass(frozen=True, slots=True)
class Surplus:
    """What of a place's objects nothing names.

    Attributes:
        place: that was looked at.
        objects: those that may go, as (digest, bytes).
        young: bytes of those that are too young to go, one by one.
        named: bytes of those that are needed, one by one.
    """

    place: RemotePath
    objects: tuple[tuple[str, int], ...]
    young: tuple[int, ...]
    named: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """What deleting them frees."""
        return sum(size for _, size in self.objects)


def survey_objects(place: RemotePath, days: float, needed: Iterable[str] = ()) -> Surplus:
    """List the objects of a place. Nothing is written.

    Args:
        place: that was pushed to.
        days: only what was written longer ago than that may go.
        needed: digests that stay, whether the manifest names them or not.

    Raises:
        UsageError: if nothing was pushed there.
        OSError: if the store cannot be reached.
    """
    kept = _named(place).union(needed)
    objects = place / OBJECTS
    found = ask_patiently(objects, lambda: filesystem(objects).find(objects.key, detail=True))
    surplus, young, named = list[tuple[str, int]](), list[int](), list[int]()
    oldest = time.time() - days * DAY_S
    for name, info in found.items():
        digest, size = name.rpartition("/")[2], int(info["size"] or 0)
        if not SHA256.fullmatch(digest):
            continue
        if digest in kept:
            named.append(size)
        elif _is_older(info, oldest):
            surplus.append((digest, size))
        else:
            young.append(size)
    return Surplus(place, tuple(surplus), tuple(young), tuple(named))


def delete_objects(surplus: Surplus, days: float, progress: Progress) -> Surplus:
    """Delete what :func:`survey_objects` found, but what was sent anew or is named since; returns what was deleted.

    Raises:
        UsageError: if there is no manifest any more.
        OSError: if the store cannot be reached; the same again goes on.
    """
    gone, named = list[tuple[str, int]](), set[str]()
    with under_way(progress, "gc", len(surplus.objects), "objects"):
        for number, (digest, size) in enumerate(surplus.objects):
            progress.pulse()
            if number % READ_AGAIN == 0:
                named = _named(surplus.place)
            if digest not in named and _delete(surplus.place / OBJECTS / digest, time.time() - days * DAY_S):
                gone.append((digest, size))
            progress.advance(1)
    return Surplus(surplus.place, tuple(gone), surplus.young, surplus.named)


def _named(place: RemotePath) -> set[str]:
    manifest = read_manifest(place)
    if manifest is None:  # the first push may be at work
        raise UsageError(f"nothing was pushed to '{place}': nothing there is deleted")
    return {state.sha256 for state in manifest.files.values()}


def _delete(at: RemotePath, oldest: float) -> bool:
    store = filesystem(at)
    try:
        if not _is_older(ask_patiently(at, lambda: store.info(at.key)), oldest):
            return False
        ask_patiently(at, lambda: store.rm_file(at.key))
    except FileNotFoundError:  # somebody else has
        return False
    return True


def _is_older(info: dict[str, object], oldest: float) -> bool:
    when = written_at(info)
    return when is not None and when < oldest
