"""``metrics.json`` and ``queries.json`` as they are in memory; docs/files.md says what they are for.

Rows are embeddings by name: ``mofore``, ``predict``, ``raw_mean_pool`` and so on.
"""

from __future__ import annotations

from typing import Any, Self

from .errors import StaleError
from .figures import Distribution, ForecastSkill, Health, NamedPair, OrderSensitivity, WhyNoForecast
from .further_figures import Harder, Mveb
from .record import Record, flat, named, optional, read, record
from .retrieval_figures import (
    ClassFigures,
    Clusters,
    Confusion,
    OfficialRow,
    PurityBin,
    RetrievalFigures,
    SplitFigures,
)

SCHEMA = 2


@record
class LeftOut(Record):
    """What is not measured where a video has several classes.

    Attributes:
        figures: their names.
        why: in words.
        videos: that have several.
    """

    figures: tuple[str, ...]
    why: str
    videos: int


@record
class Protocols(Record):
    """The same embeddings on every split.

    Attributes:
        splits: by name, the settings' own first.
        official: by row, over the three official splits; None where these are not all there.
    """

    splits: dict[str, SplitFigures] = flat()
    official: dict[str, OfficialRow] | None = optional(default=None)


@record
class Table2(Record):
    """Table 2 of the paper as distributions, on the videos of the evaluation side.

    Attributes:
        forecast_mse: squared error of unit vectors over all gaps, mean over the width.
        same_video: cosines of the first and the last view.
        same_class: cosines of pairs of other recordings, where these are known.
        different_class: cosines; of any pairs without classes.
        temporal_consistency: cosines of adjoining clips.
        named_pairs: the paper's own pairs, of those of its videos that are there.
    """

    forecast_mse: Distribution
    same_video: Distribution
    same_class: Distribution
    different_class: Distribution
    temporal_consistency: Distribution
    named_pairs: dict[str, NamedPair]

    def rows(self) -> dict[str, Distribution]:
        """The distributions by name, in the paper's order."""
        return {
            "forecast_mse": self.forecast_mse,
            "same_video": self.same_video,
            "same_class": self.same_class,
            "different_class": self.different_class,
            "temporal_consistency": self.temporal_consistency,
        }


@record
class Forecast(Record):
    """How well the future is forecast, on the videos of the evaluation side.

    Attributes:
        unit: of the gaps: frames or seconds.
        skill: by gap, and over all.
        why_empty: None where a gap is measured, and in older files.
    """

    unit: str = "frames"  # of files from before there were seconds
    skill: ForecastSkill = flat()
    why_empty: WhyNoForecast | None = optional(default=None)


@record
class Protocol(Record):
    """How it is measured.

    Attributes:
        split: the settings' own.
        gallery: training videos with a class.
        queries: test videos with a class.
        unlabelled: videos without one, on either side.
        unassigned: videos on neither side.
        classes: how many.
        similarity: "cosine".
        centered: whether embeddings are centred for the retrieval.
        centered_with: with what; None where they are not.
        views: of each video.
        exact: whether search is: always.
        unit_of_retrieval: in words.
        rows: how each embedding is made, in words.
        evaluated_on: "test videos" or "training videos": the evaluation side.
        intervals: what they are, in words.
        tested_against: the embedding that differences are taken to.
        best_trivial: the row without training that has the highest mAP of these queries, to which they are taken too;
            None where nothing is retrieved, and in older files.
        seed: of the evaluation.
        fit_seed: of the fit.
        fit_videos: what the fit was trained on, in words.
    """

    split: str
    gallery: int
    queries: int
    unlabelled: int
    unassigned: int
    classes: int
    similarity: str
    centered: bool
    centered_with: str | None
    views: int
    exact: bool
    unit_of_retrieval: str
    rows: dict[str, str]
    evaluated_on: str
    intervals: str
    tested_against: str
    best_trivial: str | None = optional(default=None)
    seed: int
    fit_seed: int
    fit_videos: str


@record
class Metrics(Record):
    """``metrics.json``.

    Attributes:
        schema: 2.
        retrieval: by row, on the settings' split.
        per_class: by class.
        confusions: by row, the most frequent ones first; empty where videos have several classes.
        purity_by_distance: by row, from far to near.
        clustering: by row, of the queries.
        left_out: None where no video has several classes.
        protocols: on every split.
        table2: the paper's.
        forecast: beside the trivial ones.
        health: by row, on the videos of the evaluation side.
        order: by row.
        mveb: by row; empty unless it is asked for.
        harder: None unless it is asked for.
        protocol: how it is measured.
        provenance: store, encoder, fit and settings, as the pipeline tells them; empty where they are not told.
    """

    schema: int
    retrieval: dict[str, RetrievalFigures]
    per_class: dict[str, ClassFigures]
    confusions: dict[str, tuple[Confusion, ...]]
    purity_by_distance: dict[str, tuple[PurityBin, ...]]
    clustering: dict[str, Clusters]
    left_out: LeftOut | None = optional(default=None)
    protocols: Protocols
    table2: Table2
    forecast: Forecast
    health: dict[str, Health]
    order: dict[str, OrderSensitivity]
    mveb: dict[str, Mveb] = optional(default_factory=dict)
    harder: Harder | None = optional(default=None)
    protocol: Protocol
    provenance: dict[str, Any] = optional(default_factory=dict)

    @classmethod
    def from_json(cls, given: Any) -> Self:
        """Read it.

        Raises:
            StaleError: if it is of another schema.
            ValueError: if it is damaged.
        """
        if isinstance(given, dict) and given.get("schema", SCHEMA) != SCHEMA:
            raise StaleError(f"metrics of schema {given['schema']}, this mofore reads {SCHEMA}: run `mofore evaluate`")
        return read(cls, given)

    @property
    def fit(self) -> str:
        """Key of the fit."""
        return str(self.provenance["fit"])


@record
class QueryFigures(Record):
    """What each query met in one embedding; None where the gallery holds none of its class.

    Attributes:
        r_at_1: 1 or 0, a fraction where the nearest are tied; None in older files.
        first_hit: rank of the first video of its class, from 1; the mean rank in a tie.
        average_precision: 0 to 1.
    """

    r_at_1: tuple[float | None, ...] | None = optional(default=None, name="R@1")
    first_hit: tuple[float | None, ...]
    average_precision: tuple[float | None, ...] = named("AP")

    def hits(self) -> tuple[float | None, ...]:
        """R@1 of each; in older files ties went by the order of the gallery."""
        if self.r_at_1 is not None:
            return self.r_at_1
        return tuple(None if rank is None else float(rank == 1) for rank in self.first_hit)


@record
class Queries(Record):
    """``queries.json``: Q queries, by which runs are paired.

    Attributes:
        split: the settings' own.
        ids: of the videos.
        labels: class of each, a list where it has several; None without one.
        groups: recording of each; None where it is not known.
        rows: by embedding.
    """

    split: str
    ids: tuple[str, ...]
    labels: tuple[str | list[str] | None, ...]
    groups: tuple[str | None, ...]
    rows: dict[str, QueryFigures]
