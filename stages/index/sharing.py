"""An index that several processes make, of one machine or many (torchrun), on a disk that all of them see.

Each embeds its share of the videos, or of their clips, reads the frames of that share alone, and leaves the embeddings
in a file for the first process. That one trains the index; where it is made in parts (``index.part_mb``), each process
fills those of its share and leaves them in files, which the first one merges on disk. What is embedded together in one
process is so in any number of them, so that the index is the same.

Rejected: sending features and parts through the team's own connections, since they are on a disk that all see anyway.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...cache.hold import make_folder
from ...cache.store import FrameTable
from ...data.arrays import Float32
from ...data.blocks import blocks
from ...data.clips import every_window
from ...data.errors import StageError
from ...data.index_settings import IndexSettings
from ...data.storage import naming
from ..distributed.process_group import ProcessGroup
from ..distributed.tasks import Tasks
from ..frames.elsewhere import refuse_unseen
from ..frames.memory import FrameTensors
from ..model.spaces import Space, open_space
from ..vectors.build import write_part
from ..vectors.faiss_library import faiss
from ..vectors.on_disk import CenteredRows

NOTHING: Float32 = np.empty((0, 0), np.float32)
LEAST_BLOCKS, LEAST_ROWS = 4, 64  # that a process embeds between two looks
WAY_OUT = "without torchrun `mofore index` makes the index on one machine"


@dataclass(frozen=True, slots=True)
class IndexJob:
    """What all processes know of an index.

    Attributes:
        settings: of it.
        table: frames of the videos, left in their files.
        fit_folder: of the fit, which all see.
        store_key: of the features.
    """

    settings: IndexSettings
    table: FrameTable
    fit_folder: Path
    store_key: str


@dataclass(frozen=True, slots=True)
class Begin:
    """A task: see whether all is there that will be needed.

    Attributes:
        mark: a file that the first process has just written into the folder of the index.
        faiss: the first process's version.
    """

    mark: Path
    faiss: str


@dataclass(frozen=True, slots=True)
class Embed:
    """A task: embed the rows of a level, each process its share, into a file of its own."""

    space: str
    level: str
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Fill:
    """A task: write the parts of an index, each process those of its share."""

    space: str
    level: str
    mean_E: Float32  # subtracted from embeddings
    trained: Path  # the trained, empty index
    parts: tuple[tuple[slice, Path], ...]  # rows, and where they go


class Crew:
    """One process of those that make an index; the first one gives the tasks."""

    def __init__(self, job: IndexJob, process_group: ProcessGroup, pulse: Callable[[], object] = lambda: None) -> None:
        """Join the others.

        Args:
            job: of all of them.
            process_group: which they are.
            pulse: called every few seconds, while this process works or waits for others.
        """
        self._job, self._rank, self._size = job, process_group.rank, process_group.size
        self._tasks, self._pulse = Tasks(process_group), pulse
        self._memory = FrameTensors.of(job.table, torch.device("cpu"))
        self._opened: tuple[str, Space] | None = None
        self._level: tuple[str, str] | None = None
        self._shares: list[slice] = []  # rows of each process, of the level that was embedded last
        self._own_ME = NOTHING  # this one's of them, not centred

    def help(self) -> None:
        """As another than the first process: do the tasks, until there are no more.

        Raises:
            ProcessLost: if another process is lost.
        """
        for task in self._tasks.given():
            self._do(task)

    def meet(self, folder: Path) -> None:
        """As the first process: find out, before hours of work, whether all of them have what they need.

        Args:
            folder: of the index.

        Raises:
            ProcessLost: if one has not.
        """
        make_folder(folder)
        mark = folder.absolute() / f".shared.{os.getpid()}.tmp"
        with naming(mark):
            mark.touch()
        try:
            self._together(Begin(mark, faiss().__version__))
        finally:
            mark.unlink(missing_ok=True)

    def end(self) -> None:
        """As the first process: let the others go."""
        self._tasks.end()

    def embedded(self, space: Space, level: str, folder: Path) -> Float32:
        """As the first process: all rows of a level (N, E), not centred.

        Args:
            space: of the embeddings.
            level: "video" or "clip".
            folder: of the index, for files that pass on what others embed.

        Raises:
            ProcessLost: if one of the others fails or is lost.
        """
        make_folder(folder)
        with _passing(folder.absolute(), self._size) as paths:
            self._together(Embed(space.name, level, tuple(paths)))
            whole_NE = np.empty((self._shares[-1].stop, self._own_ME.shape[1]), np.float32)
            whole_NE[self._shares[0]] = self._own_ME
            self._own_ME = whole_NE[self._shares[0]]  # once in memory
            for rows, path in [*zip(self._shares, paths, strict=True)][1:]:
                if rows.stop > rows.start:
                    whole_NE[rows] = np.load(path, mmap_mode="r")
        return whole_NE

    def part_maker(self, space: str, level: str, mean_E: Float32) -> SharedParts | None:
        """As the first process: who fills the parts of that level; None unless it was embedded last."""
        if self._level != (space, level):
            return None
        return SharedParts(self._shares, lambda trained, parts: self._fill(trained, parts, mean_E))

    def _fill(self, trained: Path, parts: Sequence[tuple[slice, Path]], mean_E: Float32) -> None:
        assert self._level is not None
        whole = tuple((rows, path.absolute()) for rows, path in parts)
        self._together(Fill(*self._level, mean_E, trained.absolute(), whole))

    def _together(self, task: Begin | Embed | Fill) -> None:
        self._tasks.all_do(task, lambda: self._do(task), self._pulse)

    def _do(self, task: Begin | Embed | Fill) -> None:
        match task:
            case Begin():
                self._refuse_unfit(task)
            case Embed():
                self._embed(task)
            case Fill():
                self._write_parts(task)

    def _embed(self, task: Embed) -> None:
        space, memory = self._space(task.space), self._memory
        if task.level == "video":
            count = len(memory.frames_V)
            at_once = space.videos_at_once(memory.width)
            self._shares = shares(count, at_once, self._size)
            self._own_ME = self._in_steps(
                at_once, lambda rows: space.of_videos(memory.some(torch.arange(rows.start, rows.stop)))
            )
        else:
            fit, hop = space.fit, self._job.settings.clip_hop
            video_B, windows = every_window(memory.extent_V(fit.unit), span=fit.span, hop=hop * fit.span)
            at_once = space.clips_at_once(memory.width)
            self._shares = shares(len(video_B), at_once, self._size)
            self._own_ME = self._in_steps(at_once, lambda rows: space.of_clips(memory, video_B[rows], windows[rows]))
        self._level = (task.space, task.level)
        self._tasks.look()  # or nobody would take the file away
        if self._rank:
            path = task.paths[self._rank]
            with naming(path), path.open("wb") as file:
                np.save(file, self._own_ME)

    def _in_steps(self, at_once: int, embed: Callable[[slice], Float32]) -> Float32:
        """This process's share, in steps of whole blocks, between which it looks whether the others are still there."""
        own = self._shares[self._rank]
        step, made = at_once * max(LEAST_BLOCKS, -(-LEAST_ROWS // at_once)), NOTHING
        for rows in (
            slice(own.start + each.start, own.start + each.stop) for each in blocks(own.stop - own.start, step)
        ):
            self._tasks.look()
            self._pulse()
            part_ME = embed(rows)
            if rows.start == own.start:
                made = np.empty((own.stop - own.start, part_ME.shape[1]), np.float32)
            made[rows.start - own.start : rows.stop - own.start] = part_ME
        return made

    def _refuse_unfit(self, task: Begin) -> None:
        """Say what this process lacks.

        Raises:
            StageError: if it lacks something.
        """
        refuse_unseen(self._job.table, WAY_OUT)
        if not task.mark.exists():
            raise StageError(f"'{task.mark.parent}' is not the folder that the first process writes into; {WAY_OUT}")
        if (version := faiss().__version__) != task.faiss:
            raise StageError(
                f"faiss {version} is installed here, and {task.faiss} where the first process is: install the same "
                "version on all nodes"
            )

    def _write_parts(self, task: Fill) -> None:
        own = self._shares[self._rank]
        vectors_ME = CenteredRows(self._own_ME, task.mean_E)
        for rows, path in task.parts:
            if own.start <= rows.start < own.stop:
                self._tasks.look()
                self._pulse()
                mine = slice(rows.start - own.start, rows.stop - own.start)
                write_part(task.trained, vectors_ME, mine, path, first=own.start)

    def _space(self, name: str) -> Space:
        if self._opened is None or self._opened[0] != name:
            self._opened = name, open_space(name, self._job.settings, self._job.fit_folder, self._job.store_key)
        return self._opened[1]


@dataclass(frozen=True, slots=True)
class SharedParts:
    """Parts that lie within the share of one process each; a maker of parts for :func:`..vectors.build.build`."""

    shares: Sequence[slice]
    fill: Callable[[Path, Sequence[tuple[slice, Path]]], Any]

    def parts(self, rows: int) -> Sequence[slice]:
        """Those of each share, in order."""
        return [
            slice(share.start + block.start, share.start + block.stop)
            for share in self.shares
            for block in blocks(share.stop - share.start, rows)
        ]

    def make(self, trained: Path, parts: Sequence[tuple[slice, Path]]) -> None:
        """Have each process write its own."""
        self.fill(trained, parts)


def assist(job: IndexJob, process_group: ProcessGroup) -> None:
    """Help the first process to make an index.

    Raises:
        ProcessLost: if another process is lost.
        StageError: if this machine does not see the features.
    """
    Crew(job, process_group).help()


def shares(count: int, at_once: int, size: int) -> list[slice]:
    """Rows for each of ``size`` processes, in order, in whole blocks of those that are embedded together.

    Where there are fewer blocks than processes, some have nothing to do, the first one never.
    """
    whole = -(-count // at_once)
    bounds = [min(count, at_once * -(-whole * number // size)) for number in range(size + 1)]
    return [slice(begin, end) for begin, end in pairwise(bounds)]


@contextmanager
def _passing(folder: Path, size: int) -> Iterator[list[Path]]:
    """A file for each process; they go at the end."""
    paths = [folder / f".{rank}.embedded.{os.getpid()}.tmp" for rank in range(size)]
    try:
        yield paths
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
