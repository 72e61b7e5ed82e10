"""What needs no library: .npy beside .csv, and the files of TensorBoard's projector."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.atomic import published, write_bytes
from ...data.arrays import Float32
from ...data.csv_cells import cell, one_line
from .parquet import FramePart
from .table import COLUMNS, EmbeddingTable

TENSORS, METADATA, PROJECTOR = "tensors.tsv", "metadata.tsv", "projector_config.pbtxt"
FRAME_COLUMNS = ("id", "path", "frame", "time_s", "label", "group", "split")


def write_npy(path: Path, table: EmbeddingTable) -> None:
    """Publish the vectors as ``path`` and the rows, in the same order, as the .csv of that name."""
    _write_csv(path.with_suffix(".csv"), COLUMNS, table.lines())
    write_array(path, table.vectors_NE)


def write_array(path: Path, array: Float32) -> None:
    """Publish an array as .npy."""
    with published(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, array)


def write_features_npy(path: Path, parts: Iterable[FramePart], shape: tuple[int, int]) -> int:
    """Publish features (N, D) float16 as ``path`` and what each row is as the .csv of that name, as the parts come.

    Returns:
        The number of frames.
    """
    frames = 0

    def written(handle: Any) -> Iterable[list[Any]]:
        nonlocal frames
        for part in parts:
            handle.write(np.ascontiguousarray(part.features_TD, np.dtype("<f2")).tobytes())
            row, frames = part.row, frames + len(part.times_s_T)
            for number, time_s in enumerate(part.times_s_T.tolist(), part.first):
                yield [row.id, row.path, number, time_s, row.label, row.group, row.split]

    with published(path) as temporary, temporary.open("wb") as handle:
        about = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(handle, about)
        _write_csv(path.with_suffix(".csv"), FRAME_COLUMNS, written(handle))
    return frames


def write_projector(folder: Path, table: EmbeddingTable) -> None:
    """Publish the files that ``tensorboard --logdir FOLDER`` shows under Projector."""
    _write_tensors(folder / TENSORS, table.vectors_NE)
    lines = ("\t".join(map(one_line, line)) for line in table.lines())
    names = "\t".join(COLUMNS)
    write_bytes(folder / METADATA, "".join(f"{line}\n" for line in (names, *lines)).encode("utf-8", "replace"))
    name = f"{table.about.get('space', 'embedding')}".replace('"', "'")
    text = f'embeddings {{\n  tensor_name: "{name}"\n  tensor_path: "{TENSORS}"\n  metadata_path: "{METADATA}"\n}}\n'
    write_bytes(folder / PROJECTOR, text.encode())


def _write_tensors(path: Path, vectors_NE: Float32) -> None:
    with published(path) as temporary, temporary.open("w", encoding="ascii", newline="\n") as handle:
        np.savetxt(handle, vectors_NE, fmt="%.7g", delimiter="\t")


def _write_csv(path: Path, names: Iterable[str], lines: Iterable[list[Any]]) -> None:
    with (
        published(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([cell(value) for value in line] for line in lines)
