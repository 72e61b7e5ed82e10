"""A FAISS index together with what its rows are and where they come from: one folder.

Files: ``vectors.faiss``; ``items.json``, the videos; ``embeddings.safetensors``: the unit vectors before centring, the
mean that was subtracted, and of clips the video and the seconds of each row; ``index.json``, everything else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..cache.atomic import published, write_json
from ..cache.checkpoint import load_arrays, save_checkpoint
from ..data.arrays import Bool, Float32, Float64, Int64
from ..data.errors import StaleError, StoreError
from .faiss_library import faiss
from .unit_vectors import unit

VECTORS, ITEMS, EMBEDDINGS, ABOUT = "vectors.faiss", "items.json", "embeddings.safetensors", "index.json"
FILES = (VECTORS, ITEMS, EMBEDDINGS, ABOUT)
SMALL = ("mean_E", "video_N", "start_s_N", "end_s_N")  # all but the embeddings, which a search by FAISS does not need


@dataclass(frozen=True, slots=True)
class Items:
    """What the N rows of an index are.

    Attributes:
        videos: id, label, group and role (side of the split) of each video.
        video_N: position in ``videos`` of each row.
        start_s_N: where each row's clip begins, seconds; None at the level of videos.
        end_s_N: where it ends.
    """

    videos: tuple[Mapping[str, Any], ...]
    video_N: Int64
    start_s_N: Float64 | None = None
    end_s_N: Float64 | None = None

    def __len__(self) -> int:
        return len(self.video_N)

    def of(self, row: int) -> Mapping[str, Any]:
        """The video of a row."""
        return self.videos[int(self.video_N[row])]


@dataclass(frozen=True, slots=True)
class About:
    """Where an index comes from.

    Attributes:
        space: mofore, frames, predict or fit:KEY.
        level: video or clip.
        model: digest of what made the vectors; a query must come from the same.
        kind: as it was asked for.
        factory: what FAISS built.
        search: parameters of the search, such as {"nprobe": 8}.
        why: how kind and parameters were chosen, one line.
        provenance: store, encoder, fit and settings.
    """

    space: str
    level: str
    model: str
    kind: str
    factory: str
    search: Mapping[str, int]
    why: str
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class VectorIndex:
    """An index that can be asked; similarities are cosines of centred unit vectors.

    Attributes:
        faiss_index: the vectors.
        items: what its rows are.
        mean_E: what was subtracted from every embedding; zeros where the space is not centred.
        about: where it comes from.
        folder: where it was read from, if it was.
    """

    faiss_index: Any
    items: Items
    mean_E: Float32
    about: About
    folder: Path | None = None

    def search(self, queries_QE: Float32, k: int, allowed_N: Bool | None = None) -> tuple[Float32, Int64]:
        """Similarities and rows (Q, K) of the nearest, best first; equal similarities by row.

        Args:
            queries_QE: unit vectors, centred as the index is (:meth:`centered`).
            k: at most so many; fewer columns where fewer rows are allowed. Where an approximate index finds fewer
                for one query, its last rows are -1.
            allowed_N: rows that may be found; None = all.
        """
        wanted = min(k, len(self.items) if allowed_N is None else int(allowed_N.sum()))
        if not wanted:
            return np.empty((len(queries_QE), 0), np.float32), np.empty((len(queries_QE), 0), np.int64)
        given = {} if allowed_N is None else {"sel": faiss().IDSelectorBatch(np.flatnonzero(allowed_N))}
        parameters = _parameters(self.about.search, given)
        similarity_QK, row_QK = self.faiss_index.search(np.ascontiguousarray(queries_QE), wanted, params=parameters)
        order_QK = np.lexsort((row_QK, -similarity_QK), axis=1)
        return np.take_along_axis(similarity_QK, order_QK, 1), np.take_along_axis(row_QK, order_QK, 1)

    def centered(self, embeddings_QE: Float32) -> Float32:
        """Embeddings as queries: the mean subtracted, unit length."""
        return unit(embeddings_QE - self.mean_E)

    def vectors(self, rows: Int64) -> Float32:
        """The indexed vectors of some rows, exact whatever the kind of index is."""
        return self.centered(self.embeddings_NE[rows])

    @cached_property
    def embeddings_NE(self) -> Float32:
        """Unit vectors of all rows, not centred; read when first asked for."""
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
            index = faiss().read_index(str(folder / VECTORS))
            arrays = load_arrays(folder / EMBEDDINGS, SMALL)
        except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
            raise StoreError(f"the index '{folder}' cannot be read ({error}): run `mofore index --force`") from error
        items = Items(videos, arrays["video_N"], arrays.get("start_s_N"), arrays.get("end_s_N"))
        if index.ntotal != len(items):
            raise StoreError(
                f"the index '{folder}' holds {index.ntotal} vectors of {len(items)} items: run `mofore index --force`"
            )
        return cls(index, items, arrays["mean_E"], about, folder)

    def save(self, folder: Path, embeddings_NE: Float32) -> None:
        """Publish the folder's files."""
        import torch  # what only searches does not wait for it

        folder.mkdir(parents=True, exist_ok=True)
        with published(folder / VECTORS) as temporary:
            faiss().write_index(self.faiss_index, str(temporary))
        items = self.items
        optional = {"start_s_N": items.start_s_N, "end_s_N": items.end_s_N}
        arrays = {"embeddings_NE": embeddings_NE, "mean_E": self.mean_E, "video_N": items.video_N, **optional}
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items() if array is not None}
        save_checkpoint(folder / EMBEDDINGS, tensors, {"space": self.about.space, "level": self.about.level})
        write_json(folder / ITEMS, list(items.videos))
        write_json(folder / ABOUT, asdict(self.about))


def folder_name(space: str, level: str) -> str:
    """Folder of a space and level below the index's: ``mofore.video``, ``fit-1a2b.clip``."""
    return f"{space.replace(':', '-')}.{level}"


def outputs(spaces: Sequence[str], levels: Sequence[str]) -> list[str]:
    """Files of all indexes, relative to the index's folder."""
    return [f"{folder_name(space, level)}/{name}" for space in spaces for level in levels for name in FILES]


def _parameters(search: Mapping[str, int], given: Mapping[str, Any]) -> Any:
    """FAISS's parameters for this search, or None where it needs none."""
    if not search and not given:
        return None
    library = faiss()
    if "nprobe" in search:
        return library.SearchParametersIVF(**search, **given)
    if "efSearch" in search:
        return library.SearchParametersHNSW(**search, **given)
    return library.SearchParameters(**given)
