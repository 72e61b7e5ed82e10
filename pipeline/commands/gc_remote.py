"""``mofore gc --remote``: objects in a bucket that no manifest names any more, and their removal."""

from __future__ import annotations

import json

from ...cache.remote_memory import Known
from ...cache.remote_surplus import Surplus, delete_objects, survey_objects
from ...data.errors import UsageError
from ...data.progress import Progress
from ...data.remote_path import RemotePath
from ...data.wording import counted
from ..workspace import Workspace
from .transfer import reached


def remote_surplus(workspace: Workspace, days: float, progress: Progress, *, delete: bool) -> Surplus:
    """What may go of the place that the work folder was pushed to or pulled from last; deleted, if that is asked for.

    Raises:
        UsageError: if it was never pushed or pulled.
        StageError: if the store cannot be reached.
    """
    known = Known.of(workspace.root)
    if not known.place:
        raise UsageError(f"no place is known of '{workspace.root}': push or pull it first")
    place = RemotePath.parse(known.place)
    # A folder without all of its shards reads those that it has pulled, whatever was pushed since.
    needed = {state.sha256 for state in known.files.values()} if known.cache_bytes is not None else set[str]()
    with reached(place):
        surplus = survey_objects(place, days, needed)
        return delete_objects(surplus, days, progress) if delete else surplus


def clean_bucket(workspace: Workspace, days: float, progress: Progress, *, delete: bool, as_json: bool) -> str:
    """What `mofore gc --remote` prints; see :func:`remote_surplus`."""
    surplus = remote_surplus(workspace, days, progress, delete=delete)
    if not as_json:
        return "\n".join(told(workspace, surplus, days, deleted=delete))
    found = {"place": str(surplus.place), "objects": [name for name, _ in surplus.objects], "bytes": surplus.bytes}
    kept = {"young_bytes": sum(surplus.young), "needed_bytes": sum(surplus.named)}
    return json.dumps({**found, **kept, "days": days, "deleted": delete}, indent=2)


def told(workspace: Workspace, surplus: Surplus, days: float, *, deleted: bool) -> list[str]:
    """What to say of it, line by line."""
    age = f"{days:g} day{'' if days == 1 else 's'}"
    what = f"{counted(len(surplus.objects), 'object')} ({surplus.bytes / 1e6:,.1f} MB)"
    lines = [
        f"deleted {what} from {surplus.place}"
        if deleted
        else f"{what} in {surplus.place} that its manifest does not name, written more than {age} ago"
    ]
    if surplus.young:
        young = f"{counted(len(surplus.young), 'object')} ({sum(surplus.young) / 1e6:,.1f} MB)"
        lines.append(f"{young} that it does not name stay, being younger: somebody may be pushing them")
    lines.append(f"{counted(len(surplus.named), 'object')} ({sum(surplus.named) / 1e6:,.1f} MB) are needed")
    if surplus.objects and not deleted:
        lines.append(f"`{workspace.told('gc --remote --delete')}` deletes them; other machines pull first")
    return lines
