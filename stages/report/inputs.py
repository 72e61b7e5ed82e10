"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...data.arrays import Float64, Int64
from ...data.decode import IMAGE_FPS
from ...data.metrics import Metrics, Queries
from ...data.types import Split
from .thumbnails import Source

Table = tuple[str, list[str], list[list[str]]]  # title, columns, rows; a title alone is a remark


@dataclass(frozen=True, slots=True)
class Extraction:
    """How the features came about.

    Attributes:
        frames_V: frames that are stored of each video.
        duration_V: seconds from each video's first frame to its last.
        seconds: that the latest extraction took; None where features were imported.
        failures: videos that could not be read, with the reason.
        imported: whether the features were made elsewhere.
    """

    frames_V: Int64
    duration_V: Float64
    seconds: float | None
    failures: tuple[tuple[str, str], ...]
    imported: bool


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Near-duplicates of clips, as `mofore duplicates` finds them.

    Attributes:
        pairs: those of a test and a training video, by the names of :class:`mofore.pipeline.commands.duplicates`.
        found: pairs in all.
        queries: test videos that have one in training.
        threshold: least cosine.
    """

    pairs: tuple[Mapping[str, Any], ...]
    found: int
    queries: int
    threshold: float


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep of the work folder: its key, and the table as ``sweep.json`` has it."""

    key: str
    table: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """All that a report shows.

    Attributes:
        name: of the work folder.
        metrics: of the evaluation.
        queries: of the evaluation.
        sources: V videos, and where they are.
        split: their sides.
        spaces: folders of the indexes of whole videos, by space.
        fit_folder: with its logs.
        extraction: how the features came about.
        duplicates: None where the index has no clips.
        sweeps: of the work folder.
        tables: every figure as the terminal shows it.
        reasons: why a section is empty, by its name.
        facts: what it was made from and with, as (name, value).
        commands: that make it again.
        settings: text of ``mofore.toml``.
        previous: folder of the report before, whose thumbnails are taken.
        image_fps: of folders of images.
        tsne: whether t-SNE is drawn too.
        thumbnails: whether videos are looked at.
    """

    name: str
    metrics: Metrics
    queries: Queries
    sources: tuple[Source, ...]
    split: Split
    spaces: Mapping[str, Path]
    fit_folder: Path
    extraction: Extraction
    duplicates: Duplicates | None
    sweeps: tuple[Sweep, ...]
    tables: tuple[Table, ...]
    reasons: Mapping[str, str]
    facts: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]
    settings: str
    previous: Path | None = None
    image_fps: float = IMAGE_FPS
    tsne: bool = False
    thumbnails: bool = True
