"""One part of an extraction, while other processes or machines do other parts into the same work folder.

They never talk. Which video is whose follows from its id (:class:`mofore.data.part.Part`); a shard has a name of its
own and is published whole; which encoder the store is of decides who writes ``encoder.json`` first
(:meth:`mofore.cache.store.FeatureStore.begin`). What a part finished it says in a journal of its own, which the next
run that has the work folder to itself takes up (:meth:`mofore.cache.ledger.Ledger.take_up_parts`). A part deletes,
merges and repairs nothing. Locks keep out who would write the same video, or delete; where those of the disk do not
reach other machines, the mark that each part leaves in its lock file does (:mod:`mofore.cache.hold`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..cache.atomic import create
from ..cache.hold import living
from ..cache.ledger import Ledger
from ..cache.lock import exclusive, holder, shared
from ..data.backbone import parse_backbone
from ..data.errors import UsageError, WorkspaceError
from ..data.part import Part
from .config import Config
from .run import Outcome, Watcher, bring_up_to_date, stoppable
from .snapshot import Snapshot, observe, store_keys
from .stage import Asked, Work
from .stages.extract import EXTRACT
from .workspace import Workspace


def extract_part(
    workspace: Workspace, config: Config, part: Part, watcher: Watcher, *, force: bool, retry_failed: bool
) -> Outcome:
    """Extract what is left to do of one part's videos.

    Returns:
        With the videos of this part that could not be read.

    Raises:
        UsageError: if it is to be forced, or the features were imported.
        WorkspaceError: if this part, a part of another number of parts, or a run of its own is at work in the folder.
        MoforeError: what extraction raises; what was finished before stays finished.
    """
    if force:
        raise UsageError(
            f"part {part} cannot be forced, since shards that it replaces hold videos of other parts: to extract all "
            f"anew in parts, move the folder of the features away from '{workspace.store('')}' first"
        )
    if parse_backbone(config.extract.backbone).imported:
        raise UsageError(f"part {part}: the features of '{workspace.root}' were imported, there is nothing to extract")
    with _beside_others(workspace, part), stoppable(watcher):
        ledger = Ledger.open(workspace.ledger)
        ledger.turn_to(workspace.part_journal(part))
        snapshot = observe(workspace, config, ledger)
        _agree_on_device(snapshot)
        ledger.add_files(snapshot.touched)
        asked = Asked(retry_failed=retry_failed, part=part)
        chosen = EXTRACT.plan(EXTRACT, snapshot, {}, asked)
        folder = workspace.store(snapshot.store_key)
        work = Work(snapshot, {EXTRACT.name: chosen}, chosen, folder, asked, False, watcher, {})
        ran = [EXTRACT.name] if bring_up_to_date(EXTRACT, work, watcher) else []
        failures = ledger.failures.get(snapshot.store_key, {})
        own = [video_id for video_id in sorted(snapshot.catalog.ids()) if part.has(video_id)]
        return Outcome(ran, [failures[video_id] for video_id in own if video_id in failures])


@contextmanager
def _beside_others(workspace: Workspace, part: Part) -> Iterator[None]:
    """Hold a part's lock, and keep out of the work folder whoever needs it for himself."""
    with shared(workspace.lock, part.number):
        workspace.parts.mkdir(exist_ok=True)
        with exclusive(workspace.part_lock(part), f"part {part} is at work in '{workspace.root}' already"):
            # Each has its own lock before it looks for others: of two that begin at once, one at least sees the other.
            _refuse_other_counts(workspace, part)
            yield


def _refuse_other_counts(workspace: Workspace, part: Part) -> None:
    """Two numbers of parts at once would give some videos to two processes."""
    paths = sorted(workspace.parts.glob("*.lock"))
    others = [path for path in paths if not path.stem.endswith(f"-of-{part.count}")]
    who = next(filter(None, map(holder, others)), "") or living(*others)
    if who:
        counts = " or ".join(sorted({path.stem.partition("-of-")[2] for path in others}, key=int))
        raise WorkspaceError(
            f"part {part}: one of {counts} parts is at work in '{workspace.root}' ({who}), and {counts} parts share "
            f"the videos otherwise than {part.count}: wait for it, or stop it first"
        )


def _agree_on_device(snapshot: Snapshot) -> None:
    """Of machines that are left to choose, the first one chooses: processors and GPUs make stores of their own."""
    config, workspace = snapshot.config, snapshot.workspace
    if config.extract.device != "auto":
        return
    keys = store_keys(config, snapshot.weights_digest)
    here = next(device for device, key in keys.items() if key == snapshot.store_key)
    path = workspace.parts / "device"
    first = here if create(path, here.encode()) else path.read_text()
    if first != here:
        raise WorkspaceError(
            f"this machine would extract on {here}, but the first part began on {first}, and their features do not "
            f"mix: give every part `--set extract.device={first}`, or every one `--set extract.device={here}`"
        )
