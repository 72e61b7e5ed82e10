"""That everything is up to date, known again by sizes and times alone: no plan is made a second time.

A plan holds every video against the ledger and digests them all, which takes a minute for a million. So a run that has
found everything up to date leaves word of it in ``up-to-date.json``: the plan, and all that it followed from. While
nothing of that has changed, the plan is the same, and looking at the files is all that is left to do. It is a memory,
not a source: whatever differs, or cannot be told in this way (lists of files, imported features, a GPU that decides
which store is meant), is planned as ever. Nothing is trusted here that planning does not trust too: a file of the same
size and time of change is taken for the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from .. import _version
from ..cache.atomic import write_bytes
from ..cache.fingerprint import digest
from ..cache.ledger import Ledger, StageRecord
from ..cache.remote_memory import MEMORY
from ..data.backbone import parse_backbone
from ..data.errors import MoforeError
from ..data.roots import Walks, walk_over
from ..data.types import Failure, FileState
from ..data.weight_index import weight_files
from . import road
from .catalogs import lists_folder, roots_of
from .config import SECTIONS, Config
from .snapshot import Snapshot, store_keys
from .stage import Plan, StagePlan
from .stages.finetune import plan_begun
from .stages.report import REPORT, has_tsne, page_told, plan_page
from .workspace import Workspace

NAME, VERSION = "up-to-date.json", 1
States = dict[str, list[int] | None]  # size and time of change in ns of files, by path; None of one that is not there


@dataclass(frozen=True, slots=True)
class Look:
    """What a plan follows from, beside what runs have made.

    Attributes:
        key: of settings, code, videos, and the files that settings name; empty where that does not tell everything.
        walks: over the data folders, for whoever has to plan after all.
    """

    key: str
    walks: Walks = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class UpToDate:
    """Plans that have nothing to do, and the videos that could not be read."""

    plan: Plan
    failures: list[Failure]


def look(workspace: Workspace, config: Config) -> Look:
    """Look at the videos and at what the settings name."""
    if parse_backbone(config.extract.backbone).imported:
        return Look("")
    walks = walk_over(roots_of(workspace, config), config.data.images)
    if walks is None:
        return Look("")
    try:
        named = _states(workspace, _named(workspace, config))
    except (OSError, MoforeError):  # planning will say so
        return Look("", walks)
    settings = {name: asdict(getattr(config, name)) for name in SECTIONS}
    code = [VERSION, _version.__version__, [stage.version for stage in (*road.ROAD, *road.OPTIONAL)], has_tsne()]
    videos = [walk.digest for walk in walks.values()]
    return Look(digest([code, settings, videos, named]), walks)


def recall(workspace: Workspace, seen: Look) -> UpToDate | None:
    """The plan that was left word of, if it still holds."""
    try:
        left = json.loads((workspace.root / NAME).read_bytes())
        if not seen.key or left["key"] != seen.key or _states(workspace, left["places"]) != left["states"]:
            return None
        plan = {each["stage"]: StagePlan(**{**each, "reasons": ()}) for each in left["plan"]}
        if (report := plan.get(REPORT.name)) is not None:
            plan[REPORT.name] = replace(report, summary=page_told(workspace, report.key))
        failures = [Failure(name, FileState(*state), why) for name, state, why in left["failures"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return UpToDate(plan, failures)


def leave_word(seen: Look, snapshot: Snapshot, plan: Plan) -> None:
    """Write down that nothing is to be done, if that is so.

    Args:
        seen: from before the snapshot was taken, of the same walks.
        snapshot: that was planned.
        plan: of all stages but the optional ones. Of these, a report is written down too, where one was made.
    """
    workspace = snapshot.workspace
    if not seen.key or any(each.action != "skip" for each in plan.values()) or not _is_plain(snapshot):
        return
    if plan_begun(snapshot, plan):  # an optional stage, which is told of with paths of this machine
        return
    plan = {**plan, **plan_page(snapshot, plan)}
    if any(each.action != "skip" for each in plan.values()):
        return
    records = [record for each in plan.values() if (record := _record(snapshot.ledger, each)) is not None]
    places = _made(snapshot, records)
    states = _states(workspace, places)
    # Whoever changed something since it was planned must not find it taken for what was planned.
    expected = {path: [state.size, state.mtime_ns] for record in records for path, state in record.outputs.items()}
    folder = workspace.relative(workspace.store(snapshot.store_key))
    here = {name: shard for name, shard in snapshot.shards.items() if name not in snapshot.away}
    expected |= {f"{folder}/{name}": [shard.size, shard.mtime_ns] for name, shard in here.items()}
    shards = {path for path in states if path.startswith(f"{folder}/") and path.endswith(".h5")}
    if any(states.get(path) != state for path, state in expected.items()) or not shards <= expected.keys():
        return
    failures = [[each.video_id, _row(each.source), each.reason] for each in snapshot.failed.values()]
    plans = [{**_shallow(each), "reasons": []} for each in plan.values()]
    left = {"key": seen.key, "places": places, "states": states, "plan": plans, "failures": failures}
    content = (json.dumps(left, separators=(",", ":")) + "\n").encode("ascii")
    path = workspace.root / NAME
    if not path.exists() or path.read_bytes() != content:
        write_bytes(path, content)


def _named(workspace: Workspace, config: Config) -> list[str]:
    """Files and folders that the settings name, beside the videos."""
    weights = workspace.resolve(config.extract.weights) if config.extract.weights else None
    lists = lists_folder(workspace, config)
    tables = map(workspace.resolve, config.data.table)
    paths = [*tables, *([lists] if lists else []), *((weights, *weight_files(weights)) if weights else ())]
    return [str(path.absolute()) for path in paths]


def _made(snapshot: Snapshot, records: Iterable[StageRecord]) -> list[str]:
    """What runs have made that planning looks at."""
    workspace = snapshot.workspace
    outputs = [path for record in records for path in record.outputs]
    stores = [f"{workspace.relative(workspace.store(key))}/encoder.json" for key in _keys(snapshot)]
    own = workspace.relative(workspace.store(snapshot.store_key))
    folders = [*(f"{stage.name}/*" for stage in road.OPTIONAL), "sweep/*"]
    memory = [workspace.relative(workspace.metrics), "videos.json", MEMORY]
    return [workspace.relative(workspace.ledger), own, *stores, *outputs, *folders, *memory]


def _keys(snapshot: Snapshot) -> list[str]:
    """The stores that the settings may mean: which of them, the device decides."""
    return sorted(set(store_keys(snapshot.config, snapshot.weights_digest).values()))


def _is_plain(snapshot: Snapshot) -> bool:
    """Whether what is left follows from files alone: no GPU decides, no disk is away, no shard waits to be mended."""
    begun = [key for key in _keys(snapshot) if (snapshot.workspace.store(key) / "encoder.json").exists()]
    decided = snapshot.config.extract.device != "auto" or begun == [snapshot.store_key]
    mending = snapshot.found or snapshot.lost or snapshot.damaged or snapshot.backwards or snapshot.touched
    return decided and not mending and not snapshot.catalog.unseen


def _record(ledger: Ledger, plan: StagePlan) -> StageRecord | None:
    return ledger.find(plan.stage, plan.fingerprint or "")


def _states(workspace: Workspace, places: Iterable[str]) -> States:
    """Of files and of the files in folders; a place that ends in ``/*`` stands for all folders in it.

    Raises:
        OSError: if a folder cannot be read.
    """
    states: States = {}
    for place in places:
        top = workspace.root / place.removesuffix("/*")
        inner = sorted(top.iterdir()) if place.endswith("/*") and top.is_dir() else [top]
        for path in (each for one in inner for each in (sorted(one.iterdir()) if one.is_dir() else [one])):
            known = path.relative_to(workspace.root) if path.is_relative_to(workspace.root) else path
            states[known.as_posix()] = _state(path)
    return states


def _state(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _row(state: FileState) -> list[Any]:
    return [state.size, state.mtime_ns, state.sha256]


def _shallow(plan: StagePlan) -> dict[str, Any]:
    return {each.name: getattr(plan, each.name) for each in fields(plan)}
