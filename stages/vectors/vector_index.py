"""A FAISS index together with what its rows are and where they come from: one folder.

Files: ``vectors.faiss``; ``items.json``, the videos; ``embeddings.safetensors``: the unit vectors before centring, the
mean that was subtracted, of clips the video and the seconds of each row, and FAISS's label of each row where they
differ; ``index.json``, everything else; ``price.json``, what an approximate search costs and misses. An index that was
made in parts has its lists in ``vectors.ivfdata``.

What a search promises: similarities are true cosines, rounded to float32, whatever the kind of index; equal ones go by
row, of an exact index also where the k nearest end; equal vectors are as similar to the bit; ``k`` beyond the number of
rows gives all of them; an empty index gives no column.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.atomic import published, write_json
from ...cache.checkpoint import load_arrays, read_rows, save_checkpoint
from ...cache.hold import make_folder
from ...data.arrays import Bool, Float32, Float64, Int64
from ...data.errors import StaleError, StoreError
from ...data.storage import naming, refuse_lost
from .build import append, forget
from .device import Place, gpu_search, torch_search
from .exact import Found, Propose, approximate, flat_vectors, is_exact, nearest, scan, selection
from .faiss_library import faiss
from .normalize import l2_normalize
from .on_disk import LISTS, publish_lists, read_index
from .tuning import candidates, set_search

VECTORS, ITEMS, EMBEDDINGS, ABOUT = "vectors.faiss", "items.json", "embeddings.safetensors", "index.json"
PRICE = "price.json"
FILES = (VECTORS, ITEMS, EMBEDDINGS, ABOUT, PRICE)
SMALL = ("mean_E", "video_N", "start_s_N", "end_s_N", "label_N")  # all but the embeddings, which FAISS does not need


@dataclass(frozen=True, slots=True)
class Items:
    """What the N rows of an index are."""

    # id, label, group and role (side of the split) of each video; where it has several, ``labels`` too
    videos: tuple[Mapping[str, Any], ...]
    video_N: Int64  # position in ``videos`` of each row
    start_s_N: Float64 | None = None  # where each row's clip begins, seconds; None at the level of videos
    end_s_N: Float64 | None = None  # where it ends

    def __len__(self) -> int:
        return len(self.video_N)

    def of(self, row: int) -> Mapping[str, Any]:
        """The video of a row."""
        return self.videos[int(self.video_N[row])]

    def taken(self, rows: Int64) -> Items:
        """Some of the rows, and only their videos."""
        used, video_M = np.unique(self.video_N[rows], return_inverse=True)
        times = [None if seconds is None else seconds[rows] for seconds in (self.start_s_N, self.end_s_N)]
        return Items(tuple(self.videos[video] for video in used), video_M.astype(np.int64), *times)

    def followed_by(self, more: Items) -> Items:
        """These rows, then those of ``more``, whose videos are others."""
        video_N = np.concatenate([self.video_N, more.video_N + len(self.videos)])
        pairs = ((self.start_s_N, more.start_s_N), (self.end_s_N, more.end_s_N))
        times = [None if one is None or other is None else np.concatenate([one, other]) for one, other in pairs]
        return Items((*self.videos, *more.videos), video_N, *times)


@dataclass(frozen=True, slots=True)
class About:
    """Where an index comes from."""

    space: str  # mofore, frames, predict or fit:KEY
    level: str  # video or clip
    model: str  # digest of what made the vectors; a query must come from the same
    kind: str  # as it was asked for
    factory: str  # what FAISS built
    # parameters of the search, such as {"nprobe": 8}; ``k_factor`` candidates for each wanted row
    search: Mapping[str, int]
    why: str  # how kind and parameters were chosen, one line
    provenance: Mapping[str, Any]  # store, encoder, fit and settings
    added: int = 0  # items that came since it was trained
    removed: int = 0  # items that went since then
    embedded: str = ""  # what its embeddings are known by; empty in indexes of earlier versions


@dataclass(frozen=True)
class VectorIndex:
    """An index that can be asked; similarities are cosines of centred unit vectors."""

    faiss_index: Any  # the vectors
    items: Items  # what its rows are
    mean_E: Float32  # what was subtracted from every embedding; zeros where the space is not centred
    about: About  # where it comes from
    folder: Path | None = None  # where it was read from, if it was
    # FAISS's label of each row; None where it is the row itself. Labels of no row were removed.
    label_N: Int64 | None = None
    # unit vectors of all rows before centring, where they are in memory
    embeddings: Float32 | None = field(default=None, repr=False)
    fast: Propose | None = field(default=None, repr=False)  # another search for candidates among all rows (a GPU's)

    def search(self, queries_QE: Float32, k: int, allowed_N: Bool | None = None) -> Found:
        """Similarities and rows (Q, K) of the nearest, best first; equal similarities by row.

        Args:
            queries_QE: unit vectors, centred as the index is (:meth:`centered`).
            k: at most so many; fewer columns where fewer rows are allowed. There is always a row in every column: where
                an approximate index finds too few, every allowed row is looked at.
            allowed_N: rows that may be found; None = all.
        """
        count = len(self.items) if allowed_N is None else int(allowed_N.sum())
        wanted = max(0, min(k, count))
        if not wanted or not len(queries_QE):
            return np.empty((len(queries_QE), wanted), np.float32), np.empty((len(queries_QE), wanted), np.int64)
        queries_QE = np.ascontiguousarray(queries_QE, np.float32)
        propose = self.proposer(allowed_N)
        if is_exact(self.faiss_index):
            return nearest(propose, self.vectors, queries_QE, wanted, count, values=self.fast is not None)
        asked = candidates(wanted, self.about.search, count)
        similarity_QK, row_QK = approximate(propose, self.vectors, queries_QE, wanted, asked)
        short_Q = np.flatnonzero((row_QK < 0).any(axis=1))
        if len(short_Q):
            similarity_QK[short_Q], row_QK[short_Q] = self._scanned(queries_QE[short_Q], wanted, allowed_N)
        return similarity_QK, row_QK

    def proposer(self, allowed_N: Bool | None = None) -> Propose:
        """A search for candidates: FAISS's similarities, and rows; -1 where it finds no more."""
        if allowed_N is None and self.faiss_index.ntotal == len(self.items):
            find, parameters = self.fast or self.faiss_index.search, None
        else:
            find, parameters = self.faiss_index.search, selection(self.faiss_index, self._allowed_labels(allowed_N))

        def propose(queries_QE: Float32, k: int) -> Found:
            given = {} if parameters is None else {"params": parameters}
            similarity_QK, label_QK = find(np.ascontiguousarray(queries_QE), k, **given)
            return similarity_QK, label_QK if self.label_N is None else self._row_of_label[label_QK]

        return propose

    def on(self, place: Place) -> VectorIndex:
        """The index, searched at a place; a search among some rows stays on the processor."""
        if place == "faiss-gpu":
            return replace(self, fast=gpu_search(self.faiss_index))
        if place == "torch" and is_exact(self.faiss_index):
            import torch

            return replace(self, fast=torch_search(flat_vectors(self.faiss_index), torch.device("cuda")))
        return self

    def added(self, embeddings_ME: Float32, items: Items) -> VectorIndex:
        """The index with further rows at its end, not trained anew; its mean stays.

        Args:
            embeddings_ME: unit vectors, not centred.
            items: what they are; videos that the index does not hold yet.
        """
        index, labels = faiss().clone_index(self.faiss_index), self._labels
        first = max(index.ntotal, int(labels.max(initial=-1)) + 1)
        more = np.arange(first, first + len(items))
        append(index, self.centered(embeddings_ME), more)
        return replace(
            self,
            faiss_index=index,
            items=self.items.followed_by(items),
            label_N=None if is_exact(index) else np.concatenate([labels, more]),
            embeddings=np.concatenate([self.embeddings_NE, embeddings_ME]),
            about=replace(self.about, added=self.about.added + len(items)),
            folder=None,
            fast=None,
        )

    def without(self, gone_N: Bool) -> VectorIndex:
        """The index less some rows, not trained anew.

        Lists forget them. A graph cannot: it keeps them as way-marks and does not answer with them.
        """
        index, kept = faiss().clone_index(self.faiss_index), np.flatnonzero(~gone_N)
        forget(index, self._labels[gone_N])
        return replace(
            self,
            faiss_index=index,
            items=self.items.taken(kept),
            label_N=None if is_exact(index) else self._labels[kept],
            embeddings=self.embeddings_NE[kept],
            about=replace(self.about, removed=self.about.removed + int(gone_N.sum())),
            folder=None,
            fast=None,
        )

    def centered(self, embeddings_QE: Float32) -> Float32:
        """Embeddings as queries: the mean subtracted, unit length."""
        return l2_normalize(embeddings_QE - self.mean_E)

    def vectors(self, rows: Int64) -> Float32:
        """The indexed vectors of some rows, exact whatever the kind of index is; only they are read."""
        if is_exact(self.faiss_index):
            return np.asarray(flat_vectors(self.faiss_index)[rows])
        if self.embeddings is not None or self.folder is None:
            return self.centered(self.embeddings_NE[rows])
        return self.centered(read_rows(self.folder / EMBEDDINGS, "embeddings_NE", rows))

    @cached_property
    def embeddings_NE(self) -> Float32:
        """Unit vectors of all rows, not centred; read when first asked for."""
        if self.embeddings is not None:
            return self.embeddings
        if self.folder is None:
            raise StoreError("this index was not read from a folder: its embeddings are where it was built")
        return np.asarray(load_arrays(self.folder / EMBEDDINGS, ["embeddings_NE"])["embeddings_NE"])

    @classmethod
    def load(cls, folder: Path, *, model: str | None = None) -> VectorIndex:
        """Read an index folder.

        Args:
            folder: of one space and level.
            model: digest of what will make the queries; None if they are rows of the index itself.

        Raises:
            StoreError: if a file is missing or damaged.
            StaleError: if the index was made by another model.
        """
        try:
            about = About(**json.loads((folder / ABOUT).read_text()))
            if model is not None and about.model != model:
                raise StaleError(
                    f"the index '{folder}' was made by the model {about.model[:12]}, the query would be made by "
                    f"{model[:12]}: run `mofore index`"
                )
            videos = tuple(json.loads((folder / ITEMS).read_text()))
            index = read_index(folder / VECTORS)
            arrays = load_arrays(folder / EMBEDDINGS, SMALL)
        except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
            refuse_lost(error, folder)
            raise StoreError(f"the index '{folder}' cannot be read ({error}): run `mofore index --force`") from error
        items = Items(videos, arrays["video_N"], arrays.get("start_s_N"), arrays.get("end_s_N"))
        label_N = arrays.get("label_N")
        if index.ntotal < len(items) or (index.ntotal > len(items) and label_N is None):
            raise StoreError(
                f"the index '{folder}' holds {index.ntotal} vectors of {len(items)} items: run `mofore index --force`"
            )
        set_search(index, about.search)
        return cls(index, items, arrays["mean_E"], about, folder, label_N)

    def save(self, folder: Path, embeddings_NE: Float32) -> None:
        """Publish the folder's files."""
        import torch  # what only searches does not wait for it

        make_folder(folder)
        publish_lists(self.faiss_index, folder)
        with published(folder / VECTORS) as temporary, naming(temporary):
            faiss().write_index(self.faiss_index, str(temporary))
        items = self.items
        optional = {"start_s_N": items.start_s_N, "end_s_N": items.end_s_N, "label_N": self.label_N}
        arrays = {"embeddings_NE": embeddings_NE, "mean_E": self.mean_E, "video_N": items.video_N, **optional}
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items() if array is not None}
        save_checkpoint(folder / EMBEDDINGS, tensors, {"space": self.about.space, "level": self.about.level})
        write_json(folder / ITEMS, list(items.videos))
        write_json(folder / ABOUT, asdict(self.about))

    @property
    def _labels(self) -> Int64:
        return np.arange(len(self.items)) if self.label_N is None else self.label_N

    @cached_property
    def _row_of_label(self) -> Int64:
        """Row of each label; -1 for those that were removed, and at the end for FAISS's -1."""
        row_L = np.full(int(self._labels.max(initial=-1)) + 2, -1)
        row_L[self._labels] = np.arange(len(self.items))
        return row_L

    def _allowed_labels(self, allowed_N: Bool | None) -> Bool:
        allowed_L = np.zeros(int(self._labels.max(initial=-1)) + 1, bool)
        allowed_L[self._labels if allowed_N is None else self._labels[allowed_N]] = True
        return allowed_L

    def _scanned(self, queries_QE: Float32, k: int, allowed_N: Bool | None) -> Found:
        """Exact, from the embeddings."""
        rows = np.arange(len(self.items)) if allowed_N is None else np.flatnonzero(allowed_N)
        return nearest(partial(scan, self.vectors, rows), self.vectors, queries_QE, k, len(rows))


def folder_name(space: str, level: str) -> str:
    """Folder of a space and level below the index's: ``mofore.video``, ``fit-1a2b.clip``."""
    return f"{space.replace(':', '-')}.{level}"


def outputs(folder: Path, spaces: Sequence[str], levels: Sequence[str]) -> list[str]:
    """Files of all indexes in ``folder``, relative to it."""
    names = [f"{folder_name(space, level)}/{name}" for space in spaces for level in levels for name in (*FILES, LISTS)]
    return [name for name in names if not name.endswith(LISTS) or (folder / name).exists()]
