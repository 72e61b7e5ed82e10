"""A work folder in Python: what the commands do, and what they made as arrays, mappings and modules.

Nothing heavy is imported before it is needed: :meth:`Run.status` needs neither torch nor numpy.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cache.fingerprint import KEY_LENGTH
from ..cache.ledger import Ledger
from ..cache.lock import exclusive
from ..data.errors import StaleError, StoreError, UsageError
from ..data.metrics import Metrics
from ..data.part import Part
from ..data.progress import Silent, Stoppable
from ..data.types import Failure
from ..stages.search.queries import TEMPLATE, Asked, GivenFrames, GivenVector, is_phrase, read_query, refuse_phrase
from . import console
from .config import Config
from .inputs import read_inputs
from .query_sources import QuerySources
from .road import make_plan, names, upto
from .run import Outcome, Request, Watcher, execute
from .run_names import NamedRun, check_name, give_name, now, read_names, taken
from .snapshot import Snapshot, observe
from .stage import StagePlan
from .stages.finetune import plan_begun
from .stages.report import PAGE, REPORT, plan_page
from .stored_features import StoredFeatures
from .up_to_date import look, recall
from .workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..data.arrays import Float32, Float64
    from ..stages.model.clip_embedder import ClipEmbedder
    from ..stages.search.embedding import QueryEmbedding
    from ..stages.search.queries import Query
    from ..stages.search.searcher import Neighbour
    from .commands.search import Session
    from .commands.sweep import Swept
    from .grid import GridRun
    from .mteb_model import MtebModel

    Floats = NDArray[np.floating[Any]]
PathLike = str | os.PathLike[str]
FRAME_S = 0.04  # from frame to frame of features that are given without times


@dataclass(frozen=True, slots=True)
class Status:
    """What a run would do, and why (`mofore status`).

    Attributes:
        stages: the plan of each stage by name: its ``action`` ("skip", "run" or "partial") and its ``reasons``.
        failures: videos that could not be read.
        at_work: the processes that are at work in the folder just now, as they are called: "process 7 on lab2".
    """

    stages: Mapping[str, StagePlan]
    failures: tuple[Failure, ...]
    at_work: tuple[str, ...] = ()

    @property
    def up_to_date(self) -> bool:
        """Whether a run would do nothing."""
        return all(stage.action == "skip" for stage in self.stages.values())


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """The embeddings of an index.

    Attributes:
        ids: the video of each row.
        vectors: (N, E) float32, of unit length, before the mean is subtracted.
        mean: (E,) float32, what a search subtracts from both sides; zeros where ``index.center`` is false.
        start_s: (N,) where each row's clip begins, seconds from the video's first frame; None at the level of videos.
        end_s: (N,) where it ends.
    """

    ids: tuple[str, ...]
    vectors: Float32 = field(repr=False)
    mean: Float32 = field(repr=False)
    start_s: Float64 | None = field(default=None, repr=False)
    end_s: Float64 | None = field(default=None, repr=False)


class Quiet(Stoppable, Silent):
    """A watcher that shows nothing, and ends a run at its next safe point when the user asks to."""

    def skipped(self, plan: StagePlan) -> None:
        """A stage is up to date: nothing is shown."""

    def begins(self, plan: StagePlan) -> None:
        """A stage is about to run: nothing is shown."""

    def done(self, plan: StagePlan, seconds: float, summary: str) -> None:
        """A stage is through: nothing is shown."""


class Run:
    """A work folder: the commands, and what they made. :func:`mofore.open` and :func:`mofore.init` make one.

    What is there is looked at once, and anew after each command of this object and by :meth:`status`; of what another
    process does meanwhile it knows nothing. Every method raises :class:`mofore.MoforeError` with the message that the
    command line would show.
    """

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

    def run(self, *, force: bool = False, retry_failed: bool = False, name: str = "", report: bool = True) -> Outcome:
        """All stages that are not up to date (`mofore run`); see :meth:`make`.

        Args:
            force: run every stage, whatever is there.
            retry_failed: try videos again that could not be read.
            name: what to call the run (docs/runs.md); empty for nothing.
            report: whether a page is made of it at the end.

        Raises:
            UsageError: if the name is another run's, before anything is run.
        """
        if name:
            self._refuse_taken(name)
        stages = (*names(), REPORT.name) if report else names()
        forced = frozenset(stages) if force else frozenset()
        outcome = self._execute(Request(stages, force=forced, retry_failed=retry_failed))
        if name:
            with exclusive(self.workspace.lock):
                give_name(self.workspace, name, self._as_named())
        return outcome

    def _refuse_taken(self, name: str) -> None:
        check_name(name)
        known = read_names(self.workspace).get(name)
        if known is not None and known.keys[:3] != self._as_named().keys[:3]:
            raise taken(self.workspace, name, known)

    def _as_named(self) -> NamedRun:
        """What the settings mean now; keys are empty while a stage above has yet to run."""
        plan, snapshot = make_plan(self.snapshot), self.snapshot
        fit, evaluate, index = (plan[stage].key for stage in ("fit", "evaluate", "index"))
        return NamedRun(
            store=snapshot.store_key, fit=fit, evaluate=evaluate, index=index, overrides=self.overrides, named=now()
        )

    def extract(
        self,
        *,
        only: bool = False,
        force: bool = False,
        retry_failed: bool = False,
        part: Part | tuple[int, int] | None = None,
        ray: str | None = None,
    ) -> Outcome:
        """Features of every frame of every video (`mofore extract`); see :meth:`make`.

        ``part``, as (i, n), is the i-th of n parts alone, from 1, while others do the others; ``ray`` is the address of
        a Ray cluster whose nodes do it: "auto", "host:port", or "local" for this machine (docs/scale.md).
        """
        if part is not None and ray is not None:
            raise UsageError("a part of the videos is for machines without Ray: give --part or --ray, not both")
        if ray is not None:
            from .cluster import extract_on_ray

            request = Request(("extract",), only, frozenset({"extract"}) if force else frozenset(), retry_failed, True)
            try:
                return extract_on_ray(self.workspace, self.config, ray, request, self._watcher())
            finally:
                self._forget()
        if part is None:
            return self.make("extract", only=only, force=force, retry_failed=retry_failed)
        from .parts import extract_part

        part = part if isinstance(part, Part) else Part(*part)
        try:
            return extract_part(
                self.workspace, self.config, part, self._watcher(), force=force, retry_failed=retry_failed
            )
        finally:
            self._forget()

    def fit(self, *, only: bool = False, force: bool = False) -> Outcome:
        """Student, predictor and teacher on the stored features (`mofore fit`); see :meth:`make`."""
        return self.make("fit", only=only, force=force)

    def evaluate(self, *, only: bool = False, force: bool = False) -> Outcome:
        """The metrics (`mofore evaluate`), which are then :attr:`metrics`; see :meth:`make`."""
        return self.make("evaluate", only=only, force=force)

    def index(self, *, only: bool = False, force: bool = False) -> Outcome:
        """Embeddings and indexes (`mofore index`); see :meth:`make`."""
        return self.make("index", only=only, force=force)

    def finetune(self, *, only: bool = False, force: bool = False) -> Outcome:
        """The last blocks of the backbone from pixels (`mofore finetune`); see :meth:`make`."""
        return self.make("finetune", only=only, force=force)

    def report(self, *, only: bool = False, force: bool = False) -> Path:
        """All of it as a page that opens from disk (`mofore report`), with the stages above; see :meth:`make`.

        Returns:
            The page, ``report/<key>/index.html``, to which ``report/index.html`` leads.

        >>> run.report().name
        'index.html'
        """
        self.make(REPORT.name, only=only, force=force)
        plan = make_plan(self.snapshot, optional=True)[REPORT.name]
        return self.workspace.stage(REPORT.name, plan.key) / PAGE

    def make(self, stage: str, *, only: bool = False, force: bool = False, retry_failed: bool = False) -> Outcome:
        """Bring a stage up to date, and those above it.

        Args:
            stage: its name.
            only: refuse if a stage above is out of date, instead of running it.
            force: run the stage again, whatever is there.
            retry_failed: of extraction: try videos again that could not be read.

        Returns:
            The names of the stages that ran, and the videos that could not be read (which is no error here).

        Raises:
            MoforeError: what the command would end with; what was finished before stays finished.
            KeyboardInterrupt: at a safe point after Ctrl-C; the next call goes on from there.
        """
        stages = (stage,) if only else upto(stage)
        return self._execute(Request(stages, only, frozenset({stage}) if force else frozenset(), retry_failed))

    def sweep(self, grid: Mapping[str, object], *, only_fit: bool = False) -> Swept:
        """A fit and its metrics for every combination of settings (`mofore sweep`); what is there is used.

        Args:
            grid: settings, each with a list of values, or with the one that it has in all runs.
            only_fit: take no metrics.

        Returns:
            The table, as ``table``: ``table.runs``, ``table.seeds``, ``table.as_json()``, ``table.as_csv()``; what
            ended single runs, by their names, as ``failed``.

        Raises:
            ConfigError: if a value is not allowed; nothing was run then.
            UsageError: if there is nothing to sweep, or it would change the features.

        >>> swept = run.sweep({"fit.seed": [0, 1], "fit.lr": 1e-3})
        >>> [row.name for row in swept.table.runs], swept.table.seeds[0].seeds
        (['seed=0', 'seed=1'], 2)
        """
        from .commands.sweep import sweep
        from .grid import grid_overrides

        runs = self.grid_runs(grid_overrides(grid))
        try:
            return sweep(self.workspace, runs, self._watcher(), only_fit=only_fit)
        finally:
            self._forget()

    def grid_runs(self, overrides: Sequence[str]) -> list[GridRun]:
        """The runs of a sweep over what ``--set`` lists, beside what this object sets."""
        from .grid import grid_runs, parse_grid

        fixed, axes = parse_grid(overrides)
        return grid_runs(self.workspace.config, (*self.overrides, *fixed), axes)

    def status(self) -> Status:
        """What :meth:`run` would do, and why; looked at anew.

        >>> run.status().stages["fit"].action
        'skip'
        """
        self._forget()
        at_work, seen = self.workspace.at_work(), look(self.workspace, self.config)
        if (known := recall(self.workspace, seen)) is not None:
            return Status(known.plan, tuple(known.failures), at_work)
        self._snapshot = observe(self.workspace, self.config, Ledger.open(self.workspace.ledger), walks=seen.walks)
        plan = make_plan(self._snapshot)
        begun = {**plan_begun(self._snapshot, plan), **plan_page(self._snapshot, plan)}  # of the optional stages
        return Status({**plan, **begun}, tuple(self._snapshot.failed.values()), at_work)

    @property
    def features(self) -> StoredFeatures:
        """The stored features by id, or by a name that only one video has; each is read when it is asked for.

        >>> frames = run.features["v_Orbit_g01_c01"]
        >>> frames.features.shape[0] == len(frames.times_s)
        True
        """
        if self._features is None:
            self._features = StoredFeatures(self.snapshot)
        return self._features

    @property
    def metrics(self) -> Metrics:
        """The figures of ``metrics.json`` (docs/files.md), in percent where they are rates; ``as_json()`` is the file.

        Raises:
            StaleError: if nothing was evaluated yet, or by another version.
            StoreError: if the file is damaged.

        >>> 0 <= run.metrics.retrieval["mofore"].recalls.r_at_1 <= 100
        True
        """
        return read_metrics(self.workspace)

    @cached_property
    def model(self) -> ClipEmbedder:
        """The trained teacher (or what ``index.embed_from`` names) on the CPU in evaluation mode: (B, L, D) to (B, E).

        Raises:
            StaleError: if nothing was fitted yet.
        """
        from ..stages.model.clip_embedder import ClipEmbedder
        from ..stages.model.embedding import embedder_of
        from ..stages.model.saved import load_forecaster

        forecaster, settings = load_forecaster(self.fit_folder())
        return ClipEmbedder(embedder_of(forecaster, self.config.index.embed_from, settings), settings).eval()

    def embeddings(self, space: str = "mofore", level: str = "video") -> Embeddings:
        """What the index holds.

        Args:
            space: mofore, frames, predict or fit:KEY.
            level: video, or clip.

        Raises:
            StaleError: if that is not indexed.

        >>> run.embeddings().vectors.shape[0] == len(run.features)
        True
        """
        from ..stages.vectors.vector_index import VectorIndex

        index = VectorIndex.load(self.session.index_folder(space, level))
        items = index.items
        ids = tuple(str(items.videos[video]["id"]) for video in items.video_N)
        return Embeddings(ids, index.embeddings_NE, index.mean_E, items.start_s_N, items.end_s_N)

    def embed(
        self,
        source: PathLike | Floats,
        *,
        space: str = "mofore",
        times_s: Floats | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
    ) -> Float32:
        """The embedding (E,) of one video, made as the index makes them: of unit length, the mean not subtracted.

        Args:
            source: a video's id or name, the path of a file, or features (T, D) of this run's backbone.
            space: mofore, frames, predict or fit:KEY.
            times_s: (T,) seconds, of features; None for 25 frames a second.
            start_s: of a video or file: where to begin, seconds; None for its beginning.
            end_s: where to end; None for its end.

        Raises:
            UsageError: if it stands for nothing, or the features are of another width.
            VideoError: if the file cannot be read.

        >>> run.embed("v_Orbit_g01_c01").shape == run.embeddings().mean.shape
        True
        """
        asked = Asked(space=space, start=start_s, end=end_s)
        query = self._query(source, times_s, asked)
        if isinstance(query, str):
            if is_phrase(query):
                refuse_phrase(self.config.extract.backbone, space)
            query = read_query(query, self.features.names, span=asked.span)
        return self.query_embedding(space).vector(query)

    def export_embeddings(
        self,
        target: PathLike,
        *,
        space: str = "mofore",
        level: str = "video",
        center: bool = True,
        formats: Sequence[str] = (),
        replace: bool = False,
    ) -> list[Path]:
        """The vectors of an index for other tools (`mofore export embeddings`, docs/exports.md).

        Args:
            target: a file, NAME.parquet or NAME.npy (with NAME.csv), or a folder.
            space: mofore, frames, predict or fit:KEY.
            level: video or clip.
            center: as a search compares them; False as :meth:`embeddings` gives them.
            formats: of a folder: parquet (if none is named), npy, projector.
            replace: files that are there.

        Returns:
            What was written.

        Raises:
            UsageError: if files are there, or a format needs what is not installed.
            StaleError: if that is not indexed.

        >>> [path.name for path in run.export_embeddings(new_folder, formats=["npy"])]
        ['embeddings.npy', 'embeddings.csv']
        """
        from .commands.export import Target, export_embeddings

        whole = Target(Path(target).expanduser(), tuple(formats), replace)
        return export_embeddings(self, whole, space=space, level=level, center=center)

    def export_features(self, target: PathLike, *, formats: Sequence[str] = (), replace: bool = False) -> list[Path]:
        """The feature of every frame for other tools (`mofore export features`); arguments as above.

        Raises:
            UsageError: if files are there, or a format needs what is not installed.
            StaleError: if nothing is extracted yet.
        """
        from .commands.export import Target, export_features

        whole = Target(Path(target).expanduser(), tuple(formats), replace)
        return export_features(self, whole, progress=self._watcher())

    def export_model(
        self, folder: PathLike, *, space: str = "mofore", formats: Sequence[str] = (), replace: bool = False
    ) -> list[Path]:
        """The trained embedder for other programs (`mofore export model`, docs/exports.md).

        Args:
            folder: where to.
            space: mofore, predict or fit:KEY.
            formats: safetensors, torch, onnx; all if none is named.
            replace: files that are there.

        Raises:
            UsageError: if files are there, the space has no networks, or a format needs what is not installed.
            StaleError: if nothing was fitted yet.
            StageError: if torch cannot export it, or what was exported gives another output.
        """
        from .commands.export import Target, export_model

        return export_model(self, Target(Path(folder).expanduser(), tuple(formats), replace), space=space)

    def mteb_model(self, space: str = "mofore", *, stored: bool = True) -> MtebModel:
        """The embeddings as a model for ``mteb.evaluate`` (docs/evaluation.md).

        Args:
            space: mofore, frames, predict or fit:KEY.
            stored: whether videos that bear the name of an indexed one have its embedding; False encodes every file.

        Raises:
            UsageError: if `mteb` is not installed.
            StaleError: if the space is not indexed.
        """
        try:
            from .mteb_model import MtebModel
        except ModuleNotFoundError as error:
            raise UsageError(f"{error.name} is not installed: pip install 'mofore[mteb]'") from error
        return MtebModel(self, space, stored=stored)

    def search(
        self,
        query: PathLike | Floats | Sequence[PathLike],
        k: int = 10,
        *,
        space: str | None = None,
        level: str = "video",
        times_s: Floats | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
        classes: Sequence[str] = (),
        side: str | None = None,
        exclude_same_group: bool = False,
        rerank: str | None = None,
        steps: int = 8,
        by: str = "both",
        template: str = TEMPLATE,
    ) -> list[Neighbour]:
        """The nearest videos or clips of the index (`mofore search`), the nearest first; the query itself left out.

        Args:
            query: an id, a name, a path, "text: ...", several of them in a list (their mean), features (T, D) of this
                run's backbone, or an embedding (E,) of the space.
            k: neighbours.
            space: mofore, frames, predict or fit:KEY; None for what suits the query.
            level: video or clip.
            times_s: (T,) seconds, of features; None for 25 frames a second.
            start_s: where in the query's video to begin, seconds.
            end_s: where in it to end.
            classes: find these alone.
            side: find this side of the split alone.
            exclude_same_group: find nothing of the query's group.
            rerank: aligned, dtw, or None.
            steps: parts that re-ranking compares.
            by: what it goes by: both, changes or looks.
            template: what a text is put into.

        Raises:
            UsageError: if the query stands for nothing, or cannot be searched for so.
            StaleError: if the space is not indexed.
            VideoError: if a file cannot be read.

        >>> [found.rank for found in run.search("v_Orbit_g01_c01", k=3)]
        [1, 2, 3]
        """
        found = (tuple(classes), side, exclude_same_group)  # what may be
        asked = Asked(k, space, level, start_s, end_s, *found, rerank, steps, by, template)
        if isinstance(query, list | tuple):
            queries: list[str | Query] = [os.fspath(each) for each in query]
        else:
            queries = [self._query(query, times_s, asked)]
        return list(self.session.answer(queries, asked).neighbours)

    @property
    def snapshot(self) -> Snapshot:
        """What is there, as it was last looked at."""
        if self._snapshot is None:
            self._snapshot = observe(self.workspace, self.config, Ledger.open(self.workspace.ledger))
        return self._snapshot

    @property
    def session(self) -> Session:
        """The index, which stays open from the first search on."""
        if self._session is None:
            from .commands.search import Session

            self._session = Session(self.snapshot, Asked(), note=self.note)
        return self._session

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

    def _query(self, source: Any, times_s: Floats | None, asked: Asked) -> str | Query:
        """Ids and paths as they are typed, arrays as queries.

        Raises:
            UsageError: if an array is of no such shape, or only a part of it is asked for.
        """
        if isinstance(source, str | os.PathLike):
            return os.fspath(source)
        import numpy as np

        if asked.span is not None:
            raise UsageError("start_s and end_s are for videos and files: of an array give the part that is meant")
        array = np.asarray(source)
        if array.ndim == 1 and array.dtype.kind == "f":
            return GivenVector(_unit(array))
        if array.ndim != 2 or array.dtype.kind != "f" or not len(array) or array.shape[1] != self.features.width:
            raise UsageError(
                f"an array of shape {array.shape} and dtype {array.dtype} was given: features "
                f"(T, {self.features.width}) of this run's backbone are needed"
            )
        return _given_frames(array, times_s)

    def query_embedding(self, space: str) -> QueryEmbedding:
        """What makes vectors of a space of whatever is asked for, by the fit of these settings.

        Raises:
            StaleError: if nothing was fitted yet.
            StageError: if there is no such fit.
        """
        if space not in self._embeddings:
            from ..stages.model.spaces import open_space
            from ..stages.search.embedding import QueryEmbedding

            snapshot = self.snapshot
            sources = QuerySources(snapshot, self.note)
            opened = open_space(space, self.config.index, self.fit_folder(), snapshot.store_key)
            self._embeddings[space] = QueryEmbedding(opened, sources.stored, sources.open_encoder)
        return self._embeddings[space]


def read_metrics(workspace: Workspace) -> Metrics:
    """``metrics.json``.

    Raises:
        StaleError: if nothing was evaluated yet, or by another version.
        StoreError: if the file is damaged.
    """
    path = workspace.metrics
    if not path.exists():
        raise StaleError(f"there are no metrics yet: run `{workspace.told('evaluate')}`")
    try:
        return Metrics.from_json(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise StoreError(f"'{path}' cannot be read ({error}): run `mofore evaluate --force`") from error


def _read(folder: Path, snapshot: Snapshot) -> bool:
    """Whether a fit read features of the present store, and not those of another encoder."""
    inputs = read_inputs(folder)
    stored = {video_id: place.video.digest for video_id, place in snapshot.stored.items()}
    read: Mapping[str, str] = inputs["videos"] if inputs else {}
    return any(stored.get(video_id) == digest for video_id, digest in read.items())


def _given_frames(given_TD: Floats, times_s: Floats | None) -> GivenFrames:
    """Features as a query.

    Raises:
        UsageError: if one is not finite, or the times are not one for each frame, or do not rise.
    """
    import numpy as np

    from ..data.frame_times import is_rising

    frames = len(given_TD)
    with np.errstate(over="ignore"):
        features_TD = given_TD.astype(np.float16)
    if not np.isfinite(features_TD).all():
        raise UsageError("a feature that was given is not finite, or float16 cannot hold it")
    seconds_T = (np.arange(frames) * FRAME_S if times_s is None else np.asarray(times_s)).astype(np.float64)
    if seconds_T.shape != (frames,) or not is_rising(seconds_T):
        raise UsageError(f"times_s, of shape {seconds_T.shape}: {frames:,} times in seconds that rise are needed")
    return GivenFrames(features_TD, seconds_T)


def _unit(vector_E: Any) -> Float32:
    """The vector in unit length.

    Raises:
        UsageError: if it has none.
    """
    import numpy as np

    length = float(np.linalg.norm(vector_E))
    if not 0.0 < length < np.inf:
        raise UsageError(f"the vector that was given has the length {length:g}: it points nowhere")
    return np.asarray(vector_E / length, np.float32)
