"""``mofore export``: embeddings, features and the model of a run in the formats of other tools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._version import __version__
from ...data.errors import StaleError, UsageError
from ...data.index_settings import LEVELS, SPACES
from ...data.progress import Progress, Silent, under_way
from ...data.types import Video
from ...data.wording import counted, few
from ..snapshot import Snapshot
from ..writable import refuse_unwritable

if TYPE_CHECKING:
    from ...data.arrays import Float32
    from ...stages.export.parquet import FramePart
    from ...stages.export.table import EmbeddingTable, Row
    from ...stages.model.spaces import Space
    from ...stages.vectors.vector_index import Items
    from ..made import Made

EMBEDDING_FORMATS = ("parquet", "npy", "projector")
FEATURE_FORMATS = ("parquet", "npy")
MODEL_FORMATS = ("safetensors", "torch", "onnx")
PART_BYTES = 16 << 20  # of a long video's features that are read at once


@dataclass(frozen=True, slots=True)
class Target:
    """Where an export goes: a file, whose suffix says the format, or a folder for several.

    Attributes:
        path: as it was given.
        formats: that were asked for by name; none for what the path says, else Parquet.
        replace: files that are there already.
    """

    path: Path
    formats: tuple[str, ...] = ()
    replace: bool = False

    def files(self, stem: str, allowed: tuple[str, ...]) -> dict[str, Path]:
        """Where each format goes: a file, or of the projector its folder.

        Raises:
            UsageError: if suffix and formats contradict each other.
        """
        suffix = self.path.suffix.lower().removeprefix(".")
        if suffix in ("parquet", "npy") and not self.path.is_dir():
            if self.formats not in ((), (suffix,)):
                raise UsageError(
                    f"'{self.path}' with --format {' '.join(self.formats)}: give a folder for other formats than the "
                    "file's own"
                )
            return {suffix: self.path}
        if suffix and not self.path.is_dir() and not self.formats:
            endings = ", ".join(f".{name}" for name in allowed if name != "projector")
            raise UsageError(f"'{self.path}': a file that ends in {endings}, or a folder, is needed")
        wanted = self.formats or ("parquet",)
        return {name: self.path if name == "projector" else self.path / f"{stem}.{name}" for name in wanted}

    def refuse_unfit(self, files: Iterable[Path]) -> None:
        """Nothing is overwritten that was not asked for, and what cannot be written is found out before.

        Raises:
            UsageError: naming what is there, or where nothing can be written.
        """
        files = [*files]
        if self.path.exists() and not self.path.is_dir() and self.path not in files:
            raise UsageError(f"'{self.path}' is a file: give a folder")
        there = [str(path) for path in files if path.exists()]
        if there and not self.replace:
            raise UsageError(f"{few(there)} {'is' if len(there) == 1 else 'are'} there already: --force replaces")
        for path in files:
            refuse_unwritable(path)


def refuse_space(space: str) -> None:
    """A space that cannot be.

    Raises:
        UsageError: saying which there are.
    """
    if space not in SPACES and not space.startswith("fit:"):
        raise UsageError(f"--space {space}: spaces are {', '.join(SPACES)} and fit:KEY")


def export_embeddings(
    run: Made, target: Target, *, space: str = "mofore", level: str = "video", center: bool = True
) -> list[Path]:
    """The vectors of an index, with what they are of.

    Args:
        run: the work folder.
        target: where to.
        space: mofore, frames, predict or fit:KEY.
        level: video or clip.
        center: as a search compares them (the mean subtracted, unit length); False for the embeddings before.

    Returns:
        The files that were written.

    Raises:
        UsageError: if the target is there, or a format needs what is not installed.
        StaleError: if the space is not indexed.
    """
    refuse_space(space)
    if level not in LEVELS:
        raise UsageError(f"level = {level!r}: one of {', '.join(LEVELS)} is needed")
    files = target.files("embeddings", EMBEDDING_FORMATS)
    refuse_formats(target, files)
    from ...stages.export.table import EmbeddingTable

    index = run.session.searcher(space, level).index
    vectors_NE = index.centered(index.embeddings_NE) if center else index.embeddings_NE
    about = {**_about(run.snapshot), "space": space, "level": level, "model": index.about.model, "centered": center}
    table = EmbeddingTable.of(rows_of(index.items, run.snapshot), vectors_NE, about)
    return write_table(table, files)


def refuse_formats(target: Target, files: Mapping[str, Path]) -> None:
    """Find out, before anything is computed, that a table cannot be written so.

    Raises:
        UsageError: if files are there, or pyarrow is not installed.
    """
    target.refuse_unfit(_outputs(files))
    if "parquet" in files:
        from ...stages.export.parquet import arrow

        arrow()


def write_table(table: EmbeddingTable, files: Mapping[str, Path]) -> list[Path]:
    """Publish a table in the formats of ``files``; returns what was written."""
    from ...stages.export import parquet, plain_files

    if "parquet" in files:
        parquet.write_embeddings(files["parquet"], table)
    if "npy" in files:
        plain_files.write_npy(files["npy"], table)
    if "projector" in files:
        plain_files.write_projector(files["projector"], table)
    return _outputs(files)


def export_features(run: Made, target: Target, *, progress: Progress | None = None) -> list[Path]:
    """The stored feature of every frame; only a part of the store is in memory at a time.

    Raises:
        UsageError: if the target is there, or a format needs what is not installed.
        StaleError: if nothing is extracted yet.
    """
    files = target.files("features", FEATURE_FORMATS)
    refuse_formats(target, files)
    from ...stages.export import parquet, plain_files

    snapshot, width = run.snapshot, run.features.width
    frames = sum(place.video.frames for place in snapshot.stored.values())
    progress = progress or Silent()
    for name, path in files.items():
        with under_way(progress, f"export {name}", len(snapshot.stored), "videos"):
            if name == "parquet":
                parquet.write_features(path, _parts(snapshot, width, progress), width, _about(snapshot))
            else:
                plain_files.write_features_npy(path, _parts(snapshot, width, progress), (frames, width))
    return _outputs(files)


def export_model(run: Made, target: Target, *, space: str = "mofore") -> list[Path]:
    """The networks of a space, with a card that says what goes in and out; see :mod:`mofore.stages.export.network`.

    Raises:
        UsageError: if files are there, the space has no networks, or a form needs what is not installed.
        StaleError: if nothing was fitted yet.
        StageError: if there is no such fit, or an exported form gives another output.
    """
    refuse_space(space)
    if space == "frames":
        raise UsageError("--space frames has no networks: it is the mean of the frames' features")
    if target.path.exists() and not target.path.is_dir():
        raise UsageError(f"'{target.path}' is a file: the model goes into a folder")
    forms = target.formats or MODEL_FORMATS
    fit_folder = run.fit_folder()
    from ...stages.export import model_card, network
    from ...stages.export.plain_files import write_array
    from ...stages.model.spaces import open_space

    files = [target.path / name for name in (*(network.FORMS[form] for form in forms), "model.json", "README.md")]
    target.refuse_unfit(files)
    opened = open_space(space, run.config.index, fit_folder, run.snapshot.store_key)
    assert opened.embedder is not None
    assert opened.width is not None
    _refuse_history(opened)
    model, width = network.UnitEmbedder(opened.embedder, opened.fit), run.features.width
    about = {**_about(run.snapshot), "space": space, "model": opened.model, "settings": opened.fit.identity()}
    differences = network.write_model(target.path, model, width, about, forms)
    center_E = _center(run, space, opened.model)
    if center_E is not None:
        write_array(target.path / model_card.CENTER, center_E)
        files.append(target.path / model_card.CENTER)
    extract = run.config.extract
    source = model_card.Source(
        space,
        opened.model,
        opened.views,
        run.snapshot.open_store().encoder() or {},
        {"stride": extract.stride, "fps": extract.fps},
        center_E is not None,
    )
    written = dict.fromkeys(forms, 0.0) | differences
    model_card.write_card(target.path, model_card.describe(model, (width, opened.width), opened.fit, source, written))
    return files


def _refuse_history(space: Space) -> None:
    if space.name == "predict" and space.fit.sees_history and space.fit.video_pooling != "whole":
        raise UsageError(
            '--space predict of fit.predictor = "history" sees all of the video so far, which an exported model is '
            "not given: take --space mofore"
        )


def _center(run: Made, space: str, model: str) -> Float32 | None:
    """What a search subtracts, if the space is indexed, and by this very model."""
    try:
        index = run.session.searcher(space, "video").index
    except StaleError:
        return None
    return index.mean_E if index.about.model == model else None


def rows_of(items: Items, snapshot: Snapshot) -> list[Row]:
    """What the rows of an index are; seconds are those of the file, for segments too."""
    from ...stages.export.table import Row

    known = {video.id: video for video in snapshot.catalog.videos}
    rows = []
    for row in range(len(items)):
        item = items.of(row)
        video = known.get(item["id"])
        start_s, end_s = _seconds(video)
        if items.start_s_N is not None and items.end_s_N is not None:
            begin_s = start_s or 0.0
            start_s, end_s = begin_s + float(items.start_s_N[row]), begin_s + float(items.end_s_N[row])
        side = item.get("side", item["role"])
        rows.append(Row(item["id"], _path(snapshot, video), start_s, end_s, item["label"], item["group"], side))
    return rows


def _row(snapshot: Snapshot, video: Video) -> Row:
    from ...stages.export.table import Row

    label = ";".join(video.labels) or None
    side = snapshot.split.side(video.id)
    return Row(video.id, _path(snapshot, video), *_seconds(video), label, video.group, side)


def _seconds(video: Video | None) -> tuple[float | None, float | None]:
    span = video.span if video is not None else None
    return (None, None) if span is None else (span.start_s, span.end_s if span.end_s < float("inf") else None)


def _path(snapshot: Snapshot, video: Video | None) -> str | None:
    return None if video is None or snapshot.catalog.imported else str(snapshot.catalog.path(video).absolute())


def _parts(snapshot: Snapshot, width: int, progress: Progress) -> Iterator[FramePart]:
    """The frames of all stored videos, a bounded part at a time."""
    import numpy as np

    from ...stages.export.parquet import FramePart

    store, size = snapshot.open_store(), max(1, PART_BYTES // (2 * width))
    for video in snapshot.videos(snapshot.stored):
        table, row = store.attach([snapshot.stored[video.id]]), _row(snapshot, video)
        for first in range(0, len(table.times_s_N), size):
            last = min(first + size, len(table.times_s_N))
            features_TD = table.features_ND.take(np.arange(first, last))
            yield FramePart(row, first, features_TD, table.times_s_N[first:last])
        progress.pulse()
        progress.advance(1)


def _about(snapshot: Snapshot) -> dict[str, Any]:
    return {"mofore": __version__, "backbone": snapshot.config.extract.backbone, "features": snapshot.store_key}


def _outputs(files: Mapping[str, Path]) -> list[Path]:
    from ...stages.export.plain_files import METADATA, PROJECTOR, TENSORS

    found = []
    for name, path in files.items():
        if name == "projector":
            found += [path / file for file in (TENSORS, METADATA, PROJECTOR)]
        else:
            found += [path, path.with_suffix(".csv")] if name == "npy" else [path]
    return found


def told(files: list[Path]) -> str:
    """What was written, in a line."""
    if len(files) == 1:
        return f"wrote '{files[0]}'"
    return f"wrote {counted(len(files), 'file')}: {', '.join(str(path) for path in files)}"
