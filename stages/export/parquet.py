"""Parquet: texts and numbers beside a fixed-size list of float32, as databases of vectors take it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.atomic import published
from ...data.arrays import Float16, Float32, Float64
from ...data.errors import UsageError
from .table import COLUMNS, EmbeddingTable, Row

TEXTS = ("id", "path", "label", "group", "split")
VECTOR, FEATURE = "embedding", "feature"
GROUP_BYTES = 32 << 20  # of vectors in a row group: what a reader holds at least, and a writer at most


def arrow() -> Any:
    """The module pyarrow, with its part for Parquet.

    Raises:
        UsageError: if it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            f"Parquet needs pyarrow ({error}): pip install 'mofore[export]', or take --format npy"
        ) from error
    return pyarrow


def write_embeddings(path: Path, table: EmbeddingTable) -> None:
    """Publish a table as a Parquet file; ``about`` is in its metadata, under the key mofore."""
    pa = arrow()
    width = table.vectors_NE.shape[1]
    types = {name: pa.string() if name in TEXTS else pa.float64() for name in COLUMNS}
    arrays = [pa.array(_valid(name, table.column(name)), types[name]) for name in COLUMNS]
    arrays.append(_vectors(table.vectors_NE))
    names = [*COLUMNS, VECTOR]
    whole = pa.Table.from_arrays(arrays, names=names).replace_schema_metadata(_metadata(table.about))
    with published(path) as temporary:
        pa.parquet.write_table(
            whole, temporary, row_group_size=max(1, GROUP_BYTES // (4 * width)), use_dictionary=list(TEXTS)
        )


@dataclass(frozen=True, slots=True)
class FramePart:
    """Frames of one video that follow each other: ``first`` counts those of the video before them."""

    row: Row
    first: int
    features_TD: Float16
    times_s_T: Float64


def write_features(path: Path, parts: Iterable[FramePart], width: int, about: Mapping[str, Any]) -> int:
    """Publish a row for each frame, as the parts come: a row group is all that is in memory.

    Returns:
        The number of frames.
    """
    pa = arrow()
    texts = [pa.field(name, pa.string()) for name in TEXTS]
    numbers = [pa.field("frame", pa.int64()), pa.field("time_s", pa.float64())]
    vector = pa.field(FEATURE, pa.list_(pa.float32(), width))
    schema = pa.schema([*texts, *numbers, vector], metadata=_metadata(about))
    frames = 0
    with published(path) as temporary, pa.parquet.ParquetWriter(temporary, schema, use_dictionary=list(TEXTS)) as file:
        for group in _groups(parts, max(1, GROUP_BYTES // (4 * width))):
            arrays = [_repeated(_valid(name, [getattr(part.row, name) for part in group]), group) for name in TEXTS]
            arrays.append(pa.array(np.concatenate([part.first + np.arange(len(part.times_s_T)) for part in group])))
            arrays.append(pa.array(np.concatenate([part.times_s_T for part in group])))
            arrays.append(_vectors(np.concatenate([part.features_TD for part in group]).astype(np.float32)))
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))
            frames += sum(len(part.times_s_T) for part in group)
    return frames


def _groups(parts: Iterable[FramePart], most: int) -> Iterable[list[FramePart]]:
    """Parts that make a row group together, none of more frames than ``most`` unless a single part is."""
    group: list[FramePart] = []
    frames = 0
    for part in parts:
        if group and frames + len(part.times_s_T) > most:
            yield group
            group, frames = [], 0
        group.append(part)
        frames += len(part.times_s_T)
    if group:
        yield group


def _repeated(values: Sequence[str | None], group: Sequence[FramePart]) -> Any:
    """The value of each part, for each of its frames."""
    pa = arrow()
    of_frame = np.repeat(np.arange(len(group)), [len(part.times_s_T) for part in group])
    return pa.array(values, pa.string()).take(pa.array(of_frame))


def _valid(name: str, values: list[Any]) -> list[Any]:
    """Texts that are valid Unicode: names of files need not be, and their odd bytes become question marks."""
    if name not in TEXTS:
        return values
    return [text and text.encode("utf-8", "replace").decode() for text in values]


def _vectors(vectors_NE: Float32) -> Any:
    pa = arrow()
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors_NE.reshape(-1)), vectors_NE.shape[1])


def _metadata(about: Mapping[str, Any]) -> dict[str, str]:
    return {"mofore": json.dumps(dict(about))}
