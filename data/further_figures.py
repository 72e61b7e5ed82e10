"""Figures that are measured when they are asked for: MVEB's, and views that are harder than retrieval.

Percentages are 0 to 100. Every figure stands beside what chance gives, or what knows nothing of the videos.
docs/evaluation.md says what each is and where it is from.
"""

from __future__ import annotations

from .figures import Intervals, PairedTest
from .record import Record, flat, named, optional, record


@record
class Score(Record):
    """A share of right answers.

    Attributes:
        accuracy: percent.
        chance: percent that are right without a look at the videos.
        n: what is asked: queries, or pairs of clips.
        sd: over draws of the examples, points; absent where nothing is drawn.
        intervals: of the accuracy, percent.
    """

    accuracy: float
    chance: float
    n: int
    sd: float | None = optional(default=None)
    intervals: Intervals = flat()


@record
class VMeasure(Record):
    """Clusters held against classes.

    Attributes:
        v_measure: harmonic mean of homogeneity and completeness, percent, mean over the draws.
        sd: over the draws, points.
        chance: of the same clusters, the classes given to the videos by chance.
        n: videos.
    """

    v_measure: float
    sd: float
    chance: float
    n: int


@record
class Mveb(Record):
    """MVEB's two figures of one embedding; None with fewer than two classes.

    Attributes:
        classification: 8 examples of a class.
        clustering: of the queries.
    """

    classification: Score | None
    clustering: VMeasure | None


@record
class AttentiveProbe(Record):
    """A probe that weighs the parts of a video, beside one that takes their mean.

    Attributes:
        score: of the queries.
        mean: percent, of a linear probe of the mean of the same parts.
        against_mean: the difference of the two.
        c: inverse strength of the regularisation of both, chosen for the mean.
    """

    score: Score = flat()
    mean: float
    against_mean: PairedTest
    c: float = named("C")


@record
class Chirality(Record):
    """Pairs of temporally opposite classes.

    Attributes:
        accuracy: percent, mean over the pairs.
        chance: percent, mean over the pairs: the more frequent class of each.
        pairs: each, by the names of its classes.
    """

    accuracy: float
    chance: float
    pairs: dict[str, Score]


@record
class Harder(Record):
    """Views that are harder than retrieval, by embedding; what could not be measured is left out.

    Attributes:
        attentive_probe: classes, from the parts of a video.
        arrow_of_time: which of a clip and its reversal is played forwards.
        reversal: whether a clip is nearer to another one of its video than to that one reversed.
        chirality: temporally opposite classes; empty without such pairs.
    """

    attentive_probe: dict[str, AttentiveProbe]
    arrow_of_time: dict[str, Score]
    reversal: dict[str, Score]
    chirality: dict[str, Chirality]
