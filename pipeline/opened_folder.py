"""A work folder that is open: its settings, what is there, and who is told of what is done with it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..cache.fingerprint import KEY_LENGTH
from ..cache.ledger import Ledger
from ..data.errors import StaleError
from ..data.progress import Silent, Stoppable
from . import console
from .config import Config
from .inputs import read_inputs
from .road import make_plan
from .run import Outcome, Request, Watcher, execute
from .snapshot import Snapshot, observe
from .stage import StagePlan
from .workspace import Workspace

if TYPE_CHECKING:
    from ..stages.search.embedding import QueryEmbedding
    from .commands.search import Session
    from .stored_features import StoredFeatures


class Quiet(Stoppable, Silent):
    """A watcher that shows nothing, and ends a run at its next safe point when the user asks to."""

    def skipped(self, plan: StagePlan) -> None:
        """A stage is up to date: nothing is shown."""

    def begins(self, plan: StagePlan) -> None:
        """A stage is about to run: nothing is shown."""

    def done(self, plan: StagePlan, seconds: float, summary: str) -> None:
        """A stage is through: nothing is shown."""


class OpenedFolder:
    """What :class:`.run_folder.Run` looks at; what it loads is kept until something is run."""

    def __init__(
        self,
        workspace: Workspace,
        config: Config,
        *,
        overrides: tuple[str, ...] = (),
        progress: Watcher | bool = False,
    ) -> None:
        self.workspace, self.config, self.overrides, self.progress = workspace, config, overrides, progress
        self._snapshot: Snapshot | None = None
        self._session: Session | None = None
        self._features: StoredFeatures | None = None
        self._embeddings: dict[str, QueryEmbedding] = {}
        for note in config.notes:
            self.note(note)

    def __repr__(self) -> str:
        return f"mofore.open({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """Where the work folder is."""
        return self.workspace.root

    @property
    def snapshot(self) -> Snapshot:
        """What is there, as it was last looked at."""
        if self._snapshot is None:
            self._snapshot = observe(self.workspace, self.config, Ledger.open(self.workspace.ledger))
        return self._snapshot

    def fit_folder(self) -> Path:
        """The folder of the fit of these settings; if that is out of date, of the latest one, with a note.

        Raises:
            StaleError: if there is none.
        """
        snapshot = self.snapshot
        plan = make_plan(snapshot)["fit"]
        if plan.action == "skip":
            return self.workspace.stage("fit", plan.key)
        latest, why = snapshot.ledger.latest("fit"), "; ".join(map(str, plan.reasons))
        folder = self.workspace.stage("fit", latest.fingerprint[:KEY_LENGTH]) if latest else None
        if latest is None or folder is None or snapshot.broken_outputs(latest) or not _read(folder, snapshot):
            raise StaleError(f"there is no fit for these settings yet ({why}): run `{self.workspace.told('fit')}`")
        self.note(f"the fit is out of date ({why}); `{self.workspace.told('fit')}` brings it up to date")
        return folder

    def note(self, text: str) -> None:
        """What the user should know: a line of the console, or a warning where there is none."""
        if self.progress is True:
            console.say_note(text)
        elif self.progress is False:
            warnings.warn(text, stacklevel=3)
        else:
            self.progress.note(text)

    def _execute(self, request: Request) -> Outcome:
        try:
            return execute(self.workspace, self.config, request, self._watcher())
        finally:
            self._forget()

    def _watcher(self) -> Watcher:
        if self.progress is True:
            return console.of_run(self.workspace)
        return Quiet() if self.progress is False else self.progress

    def _forget(self) -> None:
        """What was looked at and loaded; what comes next looks anew."""
        self._snapshot = self._session = self._features = None
        self._embeddings.clear()
        self.__dict__.pop("model", None)


def _read(folder: Path, snapshot: Snapshot) -> bool:
    """Whether a fit read features of the present store, and not those of another encoder."""
    inputs = read_inputs(folder)
    stored = {video_id: place.video.digest for video_id, place in snapshot.stored.items()}
    read: Mapping[str, str] = inputs["videos"] if inputs else {}
    return any(stored.get(video_id) == digest for video_id, digest in read.items())
