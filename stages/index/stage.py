"""Index: embeddings of all videos, or of all their clips, in every space, and FAISS indexes over them.

Embeddings are the costly part, and depend on few of the settings: those that an earlier index or the evaluation of the
same run has made of the same features are taken from there, and the frames are then not even read. What is left may be
shared by several processes (:mod:`.sharing`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...cache.atomic import write_json
from ...cache.fingerprint import digest
from ...cache.hold import make_folder
from ...cache.store import FrameTable
from ...data.arrays import Float32
from ...data.errors import MoforeError, StageError
from ...data.index_settings import IndexSettings
from ...data.progress import Progress, under_way
from ...data.types import Split, Video
from ..distributed.launch import Alone, Team
from ..frames.elsewhere import seen_from_elsewhere
from ..frames.memory import FrameTensors
from ..model.spaces import Space, center_of, clip_items, open_space, refuse_other_features, video_items
from ..vectors.build import build, check
from ..vectors.cost import measure
from ..vectors.device import REMARKS, pick_place
from ..vectors.on_disk import CenteredRows, lists_file
from ..vectors.update import find_previous, updated
from ..vectors.vector_index import PRICE, About, Items, VectorIndex, folder_name, outputs
from .sharing import Crew, IndexJob, assist


@dataclass(frozen=True)
class IndexInputs:
    """What is indexed."""

    videos: tuple[Video, ...]  # V of them
    digests: tuple[str, ...]  # of their features, in the same order
    width: int  # of a feature
    # loads their frames, in the same order; called only if something has to be embedded
    frames: Callable[[], FrameTable]
    split: Split  # sides of the videos, which the index keeps with them
    fit_folder: Path  # of the fit
    provenance: dict[str, Any]  # which encoder and which fit; kept beside each index
    # folder of an earlier run, from which embeddings are taken and approximate indexes updated
    previous: Path | None = None
    # unit embeddings (V, E) of these very videos, by the digest of the model that made them
    known: Mapping[str, Float32] = field(default_factory=dict)
    team: Team = field(default_factory=Alone)  # who makes it; of several, the frames are left in files

    @cached_property
    def features(self) -> str:
        """Digest of the videos' names and features, in their order."""
        return digest([[video.id, one] for video, one in zip(self.videos, self.digests, strict=True)])

    @cached_property
    def memory(self) -> FrameTensors:
        """The frames, from when they are first asked for."""
        return FrameTensors.of(self.table, torch.device("cpu"))

    @cached_property
    def table(self) -> FrameTable:
        """The same as they come."""
        return self.frames()


@dataclass(frozen=True, slots=True)
class Level:
    """One index to be made: its space, "video" or "clip", and what its embeddings are known by.

    Two runs whose ``key`` is the same have the same rows and the same embeddings.
    """

    space: Space
    name: str
    key: str

    @classmethod
    def of(cls, space: Space, name: str, settings: IndexSettings, inputs: IndexInputs) -> Level:
        """A level of a space."""
        # Where clips begin and end is the fit's, even in the space of raw features, whose model knows of no fit.
        windows = [settings.clip_hop, space.fit.identity()] if name == "clip" else None
        known_by = {"model": space.model, "level": name, "windows": windows, "videos": inputs.features}
        return cls(space, name, digest(known_by))

    @property
    def folder(self) -> str:
        """Its folder below the index's."""
        return folder_name(self.space.name, self.name)


@dataclass(frozen=True, slots=True)
class Embedded:
    """The rows of an index, and their unit vectors (N, E), not centred."""

    items: Items
    embeddings_NE: Float32


def files(settings: IndexSettings, folder: Path) -> tuple[str, ...]:
    """What :func:`run` has published, relative to its folder."""
    return tuple(outputs(folder, settings.space_names(), settings.level_names()))


def run(settings: IndexSettings, inputs: IndexInputs, folder: Path, *, progress: Progress) -> None:
    """Embed and index; publishes into ``folder``.

    Raises:
        StageError: if faiss is not installed, or a space or a kind of index is not to be had.
        StoreError: if the fit's model cannot be read.
    """
    names = settings.level_names()
    with under_way(progress, "index", len(settings.space_names()) * len(names), "indexes"):
        store_key = inputs.provenance["store"]
        spaces = [open_space(name, settings, inputs.fit_folder, store_key) for name in settings.space_names()]
        for space in spaces:
            refuse_other_features(space, inputs.width)
            check(settings, space.width or inputs.width)
        progress.note(REMARKS[pick_place(settings.device)])
        with _crew(spaces, settings, inputs, folder, progress) as crew:
            making = Making(settings, inputs, folder, progress, crew)
            for space in spaces:
                making.indexes(space)


@contextmanager
def _crew(
    spaces: Sequence[Space], settings: IndexSettings, inputs: IndexInputs, folder: Path, progress: Progress
) -> Iterator[Crew | None]:
    """The processes that share it, if there are several, and something to embed for them."""
    if inputs.team.size == 1 or not any(
        _is_to_be_embedded(Level.of(space, name, settings, inputs), inputs)
        for space in spaces
        for name in ("video", *settings.level_names())
    ):
        yield None
        return
    job = IndexJob(
        settings, seen_from_elsewhere(inputs.table), inputs.fit_folder.absolute(), inputs.provenance["store"]
    )
    with inputs.team.at_work(job, assist, progress=progress) as (job, process_group):
        crew = Crew(job, process_group, progress.pulse)
        crew.meet(folder)
        yield crew
        crew.end()


def _is_to_be_embedded(level: Level, inputs: IndexInputs) -> bool:
    """Whether its rows are not known."""
    known = level.name == "video" and level.space.model in inputs.known
    return not known and _earlier(level, inputs) is None


@dataclass(frozen=True, slots=True)
class Making:
    """Indexes in the making."""

    settings: IndexSettings
    inputs: IndexInputs
    folder: Path
    progress: Progress
    crew: Crew | None

    def indexes(self, space: Space) -> None:
        """All levels of a space."""
        whole = self._embedded(self._level(space, "video"))
        if not np.isfinite(whole.embeddings_NE).all():
            raise StageError("an embedding is not finite: run `mofore fit --force`")
        mean_E = center_of(whole.embeddings_NE, whole.items, wanted=self.settings.center)
        # Videos first, whose embeddings the crew has just made, and fills parts with.
        for name in sorted(self.settings.level_names(), key=lambda name: name != "video"):
            self.progress.pulse()
            level = self._level(space, name)
            self.progress.advance(0, at=f"{space.name}, {name}")
            self._publish(level, whole if name == "video" else self._embedded(level), mean_E)
            self.progress.advance(1)

    def _level(self, space: Space, name: str) -> Level:
        return Level.of(space, name, self.settings, self.inputs)

    def _embedded(self, level: Level) -> Embedded:
        """The rows of a level: as an earlier run left them, as the evaluation made them, or anew."""
        earlier = _earlier(level, self.inputs)
        if earlier is not None:
            return earlier
        space, inputs = level.space, self.inputs
        if level.name == "video":
            items, known_VE = video_items(inputs.videos, inputs.split), inputs.known.get(space.model)
            if known_VE is not None:
                return Embedded(items, known_VE)
            return Embedded(items, self._by_crew(level) if self.crew else space.of_videos(inputs.memory))
        hop = self.settings.clip_hop
        items, video_B, windows = clip_items(inputs.videos, inputs.split, inputs.memory, space.fit, hop)
        return Embedded(items, self._by_crew(level) if self.crew else space.of_clips(inputs.memory, video_B, windows))

    def _by_crew(self, level: Level) -> Float32:
        assert self.crew is not None
        return self.crew.embedded(level.space, level.name, self.folder / level.folder)

    def _publish(self, level: Level, rows: Embedded, mean_E: Float32) -> None:
        """Update or build an index, write its files, and what it costs when it is read from them."""
        settings, begin = self.settings, time.perf_counter()
        own = self.folder / level.folder
        make_folder(own)
        with lists_file(own) as data:
            index = _updated(level, rows, settings, self.inputs) or self._built(level, rows, mean_E, data)
            seconds = time.perf_counter() - begin
            index.save(own, rows.embeddings_NE)
        place, embeddings_NE = pick_place(settings.device), rows.embeddings_NE
        cost = measure(VectorIndex.load(own), embeddings_NE, own, seconds, place=place, seed=settings.seed)
        write_json(own / PRICE, asdict(cost))

    def _built(self, level: Level, rows: Embedded, mean_E: Float32, data: Path) -> VectorIndex:
        settings, space = self.settings, level.space
        vectors_NE = CenteredRows(rows.embeddings_NE, mean_E)
        maker = self.crew.part_maker(space.name, level.name, mean_E) if self.crew else None
        built = build(vectors_NE, settings, place=pick_place(settings.device), data=data, maker=maker)
        about = About(
            space=space.name,
            level=level.name,
            model=space.model,
            kind=settings.kind,
            factory=built.factory,
            search=built.search,
            why=built.why,
            provenance=self.inputs.provenance,
            embedded=level.key,
        )
        return VectorIndex(built.index, rows.items, mean_E, about, embeddings=rows.embeddings_NE)


def _earlier(level: Level, inputs: IndexInputs) -> Embedded | None:
    """The same rows of an earlier run; what is said of the videos (classes, sides) is of this one."""
    if inputs.previous is None:
        return None
    try:
        index = VectorIndex.load(inputs.previous / level.folder, model=level.space.model)
        if index.about.embedded != level.key:
            return None
        return Embedded(
            replace(index.items, videos=video_items(inputs.videos, inputs.split).videos), index.embeddings_NE
        )
    except MoforeError:  # damaged, or of another model: they are made anew
        return None


def _updated(level: Level, rows: Embedded, settings: IndexSettings, inputs: IndexInputs) -> VectorIndex | None:
    """The index of the earlier run with the videos of this one, if that can be had."""
    if inputs.previous is None:
        return None
    previous = find_previous(inputs.previous / level.folder, level.space.model, settings)
    index = None if previous is None else updated(previous, rows.items, rows.embeddings_NE, settings)
    if index is None:
        return None
    return replace(index, about=replace(index.about, provenance=inputs.provenance, embedded=level.key))
