"""What the runs of a work folder made, as arrays, mappings and modules."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.errors import StaleError, StoreError, UsageError
from ..data.metrics import Metrics
from ..stages.search.queries import TEMPLATE, Asked, GivenVector, is_phrase, read_query, refuse_phrase
from .given_arrays import given_frames, unit_vector
from .opened_folder import OpenedFolder
from .query_sources import QuerySources
from .stored_features import StoredFeatures
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
    from .mteb_model import MtebModel

    Floats = NDArray[np.floating[Any]]
PathLike = str | os.PathLike[str]


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


class Made(OpenedFolder):
    """The half of :class:`.run_folder.Run` that reads; nothing is brought up to date by it."""

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
    def session(self) -> Session:
        """The index, which stays open from the first search on."""
        if self._session is None:
            from .commands.search import Session

            self._session = Session(self.snapshot, Asked(), note=self.note)
        return self._session

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
            return GivenVector(unit_vector(array))
        if array.ndim != 2 or array.dtype.kind != "f" or not len(array) or array.shape[1] != self.features.width:
            raise UsageError(
                f"an array of shape {array.shape} and dtype {array.dtype} was given: features "
                f"(T, {self.features.width}) of this run's backbone are needed"
            )
        return given_frames(array, times_s)


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
