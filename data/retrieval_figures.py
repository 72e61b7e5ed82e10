"""Figures of retrieval and of classes, of which ``metrics.json`` is made beside :mod:`.figures`.

Percentages are 0 to 100. None means that there was nothing to measure, unless it says otherwise.
"""

from __future__ import annotations

from .figures import Interval, Intervals, PairedTest, Spread
from .record import Record, flat, named, optional, record


@record
class Recalls(Record):
    """Retrieval, over the queries that have a video of their class in the gallery.

    Attributes:
        r_at_1: percent of queries that have a video of their class as the nearest.
        r_at_5: among the 5 nearest; all of the gallery where it is smaller.
        r_at_10: among the 10 nearest.
        r_at_20: among the 20 nearest.
        r_at_50: among the 50 nearest.
        mean_ap: mean average precision over the whole ranking, percent.
        queries: that are measured.
        queries_without_a_match: left out, since the gallery holds none of their class.
        queries_with_ties: of the measured ones, those for which some R@k is the chance of a hit; None in older files.
    """

    r_at_1: float | None = named("R@1")
    r_at_5: float | None = named("R@5")
    r_at_10: float | None = named("R@10")
    r_at_20: float | None = named("R@20")
    r_at_50: float | None = named("R@50")
    mean_ap: float | None = named("mAP")
    queries: int
    queries_without_a_match: int
    queries_with_ties: int | None = optional(default=None)

    def percentages(self) -> dict[str, float | None]:
        """R@k and mAP by the names of the fields."""
        names = ("r_at_1", "r_at_5", "r_at_10", "r_at_20", "r_at_50", "mean_ap")
        return {name: getattr(self, name) for name in names}


@record
class SureRecalls(Record):
    """How sure two of the recalls are.

    Attributes:
        r_at_1: intervals in percent.
        mean_ap: intervals in percent.
    """

    r_at_1: Intervals = named("R@1")
    mean_ap: Intervals = named("mAP")


@record
class TestedRecalls(Record):
    """Two of the recalls held against those of another embedding.

    Attributes:
        r_at_1: difference in points.
        mean_ap: difference in points.
    """

    r_at_1: PairedTest = named("R@1")
    mean_ap: PairedTest = named("mAP")


@record
class FewShot(Record):
    """Accuracy with a few examples of each class, of queries whose class is in the gallery.

    Attributes:
        mean: percent, over the draws.
        sd: over the draws, points.
        draws: of the examples.
    """

    mean: float
    sd: float
    draws: int


@record
class Probe(Record):
    """Logistic regression on frozen embeddings.

    Attributes:
        accuracy: percent of all queries; None with fewer than two classes.
        c: the inverse strength of the regularisation that was chosen.
        accuracy_held_out: percent, on the training recordings it was chosen with.
        intervals: of the accuracy, percent.
    """

    accuracy: float | None
    c: float | None = named("C")
    accuracy_held_out: float | None
    intervals: Intervals = flat()


@record
class RetrievalFigures(Record):
    """Retrieval and classification by one embedding, from test to training videos.

    Attributes:
        recalls: R@k and mAP.
        knn_1: percent of all queries whose class the nearest neighbour has.
        knn_20: percent of all queries whose class has the most weight among the 20 nearest.
        hubness: skew of how often a gallery video is among the 10 nearest of a query; 0 is even.
        intervals: of the recalls.
        few_shot: by how many examples of each class there are ("1", "2", ...); empty where videos have several.
        probe: None where it is not measured: of this embedding, or where videos have several classes.
        against_reference: held against the raw features; None of these themselves.
        against_best_trivial: held against the best row without training (``protocol.best_trivial``); None of that row,
            and in older files.
        transductive: whether a query's vector depends on the gallery that it is compared with.
    """

    recalls: Recalls = flat()
    knn_1: float | None
    knn_20: float | None
    hubness: float | None
    intervals: SureRecalls
    few_shot: dict[str, FewShot]
    probe: Probe | None = optional(default=None)
    against_reference: TestedRecalls | None = named("against_raw_mean_pool")
    against_best_trivial: TestedRecalls | None = optional(default=None)
    transductive: bool = optional(default=False)


@record
class ClassFigures(Record):
    """One class.

    Attributes:
        queries: of the class.
        queries_without_a_match: told where videos have several classes; else None.
        r_at_1: percent, by embedding; None where the gallery holds none of the class.
    """

    queries: int
    queries_without_a_match: int | None = optional(default=None)
    r_at_1: dict[str, float | None] = flat()


@record
class Confusion(Record):
    """A class that is taken for another by the nearest neighbour.

    Attributes:
        label: the class of the queries.
        taken_for: the other class.
        queries: how many; a fraction where the nearest are tied.
        of: queries of the class.
    """

    label: str = named("class")
    taken_for: str
    queries: float
    of: int


@record
class PurityBin(Record):
    """Queries whose nearest neighbours are about equally near.

    Attributes:
        similarity: least and largest cosine of the nearest neighbour.
        queries: in the bin.
        r_at_1: percent.
    """

    similarity: Interval
    queries: int
    r_at_1: float = named("R@1")


@record
class Clusters(Record):
    """Do the classes of the queries form clusters?

    Attributes:
        nmi: normalised mutual information of k-means and the classes, 0 to 1.
        silhouette: of the classes, by cosine distance, -1 to 1.
        clusters: as many as classes; None where videos have several.
    """

    nmi: float | None
    silhouette: float | None
    clusters: int | None


@record
class SplitRow(Record):
    """One embedding on one split.

    Attributes:
        recalls: R@k and mAP.
        nearest_of_same_group: percent of queries whose nearest neighbour is cut from the same recording: the leak;
            None where recordings are not known.
        without_same_group: the recalls with those taken out; None where no recording is on both sides.
        queries_that_the_fit_saw: percent of the queries that the fit was trained on; None of what is not learnt.
    """

    recalls: Recalls = flat()
    nearest_of_same_group: float | None
    without_same_group: Recalls | None
    queries_that_the_fit_saw: float | None

    def figures(self) -> dict[str, float | None]:
        """Percentages by the names that they have in :class:`OfficialRow`."""
        return {
            **self.recalls.percentages(),
            "nearest_of_same_group": self.nearest_of_same_group,
            "queries_that_the_fit_saw": self.queries_that_the_fit_saw,
        }


@record
class SplitFigures(Record):
    """One split.

    Attributes:
        queries: test videos with a class.
        gallery: training videos with a class.
        rows: by embedding.
    """

    queries: int
    gallery: int
    rows: dict[str, SplitRow]


@record
class OfficialRow(Record):
    """One embedding over the three official splits, mean and deviation in percent; None of what one of them lacks.

    Attributes:
        r_at_1: see :class:`Recalls`, as the following.
        r_at_5: the same.
        r_at_10: the same.
        r_at_20: the same.
        r_at_50: the same.
        mean_ap: the same.
        nearest_of_same_group: see :class:`SplitRow`.
        queries_that_the_fit_saw: see :class:`SplitRow`.
    """

    r_at_1: Spread | None = optional(default=None, name="R@1")
    r_at_5: Spread | None = optional(default=None, name="R@5")
    r_at_10: Spread | None = optional(default=None, name="R@10")
    r_at_20: Spread | None = optional(default=None, name="R@20")
    r_at_50: Spread | None = optional(default=None, name="R@50")
    mean_ap: Spread | None = optional(default=None, name="mAP")
    nearest_of_same_group: Spread | None = optional(default=None)
    queries_that_the_fit_saw: Spread | None = optional(default=None)
