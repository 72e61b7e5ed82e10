"""Runs of one work folder, or of all below a folder: found, told apart, and met by name.

A run is what was measured: ``evaluate/<key>/``, with the fit and the features that it is of; a fit that nobody has
measured yet counts as one too. It is met by the name that the user gave it (``mofore run --name``), by its key, by the
path of its work folder, or by both: ``runs/ucf:base``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from ..cache.fingerprint import KEY_LENGTH, file_state
from ..cache.ledger import Ledger, StageRecord
from ..data.errors import MoforeError, StaleError, StoreError, UsageError
from ..data.metrics import Metrics
from .inputs import read_inputs
from .road import OPTIONAL, ROAD
from .run_names import read_names
from .run_settings import Values, differing, fit_settings, settings_of
from .workspace import Workspace

DEPTH = 3  # folders below the one that is searched
# Where no work folder is looked for: what stages write, and what is hidden.
PASSED_OVER = frozenset(("features", "sweep", *(stage.name for stage in (*ROAD, *OPTIONAL))))
LEAST_KEY = 4  # digits with which a run is met


@dataclass(frozen=True, slots=True)
class Listed:
    """A run.

    Attributes:
        workspace: its work folder.
        key: of its metrics; of its fit, where nothing was measured; empty where nothing was run.
        name: that it was given; empty without one.
        others: whether its work folder holds further runs, so that the folder alone does not name it.
        shown: whether ``metrics.json`` of the work folder shows it.
        metrics: what was measured; None where nothing was, or it cannot be read.
        settings: all that are known.
        when: it was measured, or fitted.
        damage: why less is told than there is; empty where all is sound.
    """

    workspace: Workspace
    key: str = ""
    name: str = ""
    others: bool = False
    shown: bool = False
    metrics: Metrics | None = field(default=None, repr=False)
    settings: Values = field(default_factory=dict, repr=False)
    when: datetime | None = None
    damage: str = ""

    @property
    def reference(self) -> str:
        """What commands are given to mean it."""
        root = self.workspace.root
        folder = "" if root == Path() else str(root)
        within = self.name or (self.key if self.others or not folder else "")
        return f"{folder}:{within}" if folder and within else within or folder

    @property
    def backbone(self) -> str:
        """Of its features; empty where it is not known."""
        return str(self.settings.get("extract.backbone") or "")

    def differs(self) -> tuple[str, Values]:
        """The preset that it is nearest to, and the settings that are others."""
        return differing(self.settings)


def work_folders(top: Path, depth: int = DEPTH) -> Iterator[Path]:
    """The work folders that are ``top`` or below it, by name; below one of them none is looked for."""
    if (top / "mofore.toml").is_file():
        yield top
        return
    if depth == 0:
        return
    try:
        with os.scandir(top) as entries:
            inner = sorted(entry.name for entry in entries if _may_hold_runs(entry))
    except OSError:  # not ours to read
        return
    for name in inner:
        yield from work_folders(top / name, depth - 1)


def _may_hold_runs(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.name not in PASSED_OVER and entry.is_dir(follow_symlinks=False)


def find_runs(roots: Iterable[Path]) -> list[Listed]:
    """All runs of the work folders that are there, those of one work folder by time.

    Raises:
        UsageError: if one of the folders does not exist.
    """
    found = list[Listed]()
    for root in roots:
        if not root.is_dir():
            raise UsageError(
                f"'{root}' is no folder: give a work folder, or one that work folders are in (mofore list .)"
            )
        for folder in work_folders(root):
            found += runs_of(Workspace(folder))
    return found


def runs_of(workspace: Workspace) -> list[Listed]:
    """The runs of one work folder; one without a name and a key where there is nothing, or nothing can be read."""
    try:
        ledger = Ledger.open(workspace.ledger)
    except (MoforeError, OSError) as error:
        return [Listed(workspace, damage=str(error))]
    try:
        names, damage = read_names(workspace), ""
    except StoreError as error:
        names, damage = {}, str(error)
    called = {run.evaluate: name for name, run in names.items()}
    measured = [*ledger.stages.get("evaluate", {}).values()]
    shown = file_state(workspace.metrics).sha256 if workspace.metrics.is_file() else ""
    runs = [_measured(workspace, record, called, shown) for record in measured]
    known = {_fit_of(workspace, record) for record in measured}
    fits = [fit for fit in ledger.stages.get("fit", {}).values() if fit.fingerprint[:KEY_LENGTH] not in known]
    runs += [_fitted(workspace, record) for record in fits]
    if not runs:
        return [Listed(workspace, damage=damage)]
    several = len(runs) > 1
    return [replace(run, others=several, damage=run.damage or damage) for run in sorted(runs, key=_time)]


def meet(text: str, workdir: Path) -> Listed:
    """The run that a name, a key, a work folder or ``FOLDER:NAME`` means.

    Args:
        text: as it is typed.
        workdir: where names and keys are looked up, in it or in the work folders below it.

    Raises:
        UsageError: if there is none, or there are several.
        StaleError: if the work folder has no run.
    """
    path = Path(text)
    if path.is_dir():
        inner = Workspace(path.parent.parent)
        if path.parent.name == "evaluate" and inner.config.is_file():
            return _only(text, [run for run in runs_of(inner) if run.key == path.name], runs_of(inner))
        return _present(Workspace.open(path))
    folder, colon, name = text.rpartition(":")
    if colon and Path(folder).is_dir():
        runs = runs_of(Workspace.open(Path(folder)))
    else:
        runs, name = find_runs([workdir]), text
    exact = [run for run in runs if name == run.name] or [run for run in runs if run.key and name == run.key]
    by_key = [run for run in runs if len(name) >= LEAST_KEY and run.key.startswith(name)]
    return _only(text, exact or by_key, runs)


def _only(text: str, found: Sequence[Listed], among: Sequence[Listed]) -> Listed:
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{text!r} may be {' or '.join(run.reference for run in found)}: give one of these")
    there = [run.reference for run in among if run.key]
    known = f"there are: {', '.join(there[:6])}{', ...' if len(there) > 6 else ''}" if there else "there is no run here"
    raise UsageError(f"no run is called {text!r}; {known} (`mofore list` lists them; -w says where to look)")


def _present(workspace: Workspace) -> Listed:
    """The run that a work folder shows, or its latest one."""
    runs = runs_of(workspace)
    chosen = next((run for run in runs if run.shown), None) or _latest(workspace, runs)
    if not chosen.key:
        why = chosen.damage or f"nothing is measured there yet: run `{workspace.told('run')}`"
        raise StaleError(f"'{workspace.root}' has no run ({why})")
    return chosen


def _latest(workspace: Workspace, runs: Sequence[Listed]) -> Listed:
    """The run that was measured last, as the ledger has it: clocks that were set back would name another one."""
    last = None if any(run.damage and not run.key for run in runs) else Ledger.open(workspace.ledger).latest("evaluate")
    return next((run for run in runs if last and run.key == last.fingerprint[:KEY_LENGTH]), runs[-1])


def _measured(workspace: Workspace, record: StageRecord, called: dict[str, str], shown: str | None) -> Listed:
    """What an evaluation says; of one whose file is gone or damaged what the ledger does."""
    key = record.fingerprint[:KEY_LENGTH]
    path, state = next((item for item in record.outputs.items() if item[0].endswith("/metrics.json")), ("", None))
    when = datetime.fromtimestamp(state.mtime_ns / 1e9, UTC) if state else None
    run = Listed(workspace, key, called.get(key, ""), when=when, shown=bool(state and state.sha256 == shown))
    try:
        metrics = Metrics.from_json(json.loads((workspace.root / path).read_text(encoding="utf-8")))
        return replace(run, metrics=metrics, settings=settings_of(metrics.provenance, metrics.protocol.split))
    except StaleError:
        return replace(run, damage="measured by another version: run `mofore evaluate`")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = "is gone" if isinstance(error, FileNotFoundError) else f"is damaged ({error})"
        return replace(run, damage=f"{path or 'metrics.json'} {reason}: run `mofore evaluate --force`")


def _fitted(workspace: Workspace, record: StageRecord) -> Listed:
    """A fit without metrics."""
    state = next(iter(record.outputs.values()), None)
    when = datetime.fromtimestamp(state.mtime_ns / 1e9, UTC) if state else None
    settings = fit_settings(record.config)
    return Listed(workspace, record.fingerprint[:KEY_LENGTH], settings=settings, when=when, damage="not measured yet")


def _fit_of(workspace: Workspace, record: StageRecord) -> str:
    inputs = read_inputs(workspace.stage("evaluate", record.fingerprint[:KEY_LENGTH]))
    return str(inputs.get("fit", "")) if inputs else ""


def _time(run: Listed) -> datetime:
    return run.when or datetime.min.replace(tzinfo=UTC)
