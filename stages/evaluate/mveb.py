"""MVEB's protocol (arXiv 2606.14958) on any labelled set, as the package `mteb` 2.26 computes it.

Classification: logistic regression on 8 examples of each class of the gallery, 10 draws of them, accuracy on all
queries. Clustering: MiniBatchKMeans of the queries with as many clusters as classes, V-measure, 10 draws. Both of
embeddings as they are, not centred. The numbers are those of `mteb` to the last bit, given the same embeddings in the
same order: draws and solvers are scikit-learn's and Python's, so torch's :mod:`.linear_probe`, which differs in the
last digits, is not used here.

What the published code does, and a reader may not expect:

- The seed is 42 and set anew for each draw of examples, but what is shuffled is the order of the draw before: the draws
  are the powers of one permutation, and depend on the order of the gallery.
- A draw of the clustering has 16,384 videos *with* replacement, however few there are, so that each is there several
  times; all draws begin from the same random state.
- C = 1 and at most 100 steps of L-BFGS, whatever the length of the vectors: on unit vectors that is strong
  regularisation, and embeddings of greater length have an advantage.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import numpy as np

from ...data.arrays import Float32, Float64, Int64
from ...data.errors import ConfigError
from ...data.further_figures import Mveb, Score, VMeasure
from .ranking import Sides
from .resampling import Resampling, intervals

SEED = 42
DRAWS = 10
EXAMPLES = 8
STEPS = 100  # of L-BFGS
CLUSTERED, BATCH = 16_384, 512


def check_scikit_learn() -> None:
    """Whether what measures is installed.

    Raises:
        ConfigError: if it is not.
    """
    _sklearn("linear_model")


def mveb(sides: Sides, videos: Resampling, groups: Resampling | None) -> Mveb:
    """Both figures of one embedding; None where there are fewer than two classes.

    Raises:
        ConfigError: if scikit-learn is not installed.
    """
    return Mveb(classification=_classification(sides, videos, groups), clustering=_clustering(sides))


def right_draws(sides: Sides) -> Float64:
    """Whether each query is right in each draw of examples (draws, Q)."""
    linear = _sklearn("linear_model")
    right_RQ = []
    for drawn in examples(sides.class_N):
        model = linear.LogisticRegression(max_iter=STEPS, random_state=SEED)
        with warnings.catch_warnings(action="ignore"):  # that 100 steps are not enough belongs to the protocol
            model.fit(sides.gallery_NE[drawn], sides.class_N[drawn])
        right_RQ.append(model.predict(sides.queries_QE) == sides.class_Q)
    return np.array(right_RQ, np.float64)


def examples(class_N: Int64) -> Iterator[list[int]]:
    """Rows of the examples of each draw: at most :data:`EXAMPLES` of a class, in the order in which they are drawn."""
    order = list(range(len(class_N)))
    for _ in range(DRAWS):
        np.random.RandomState(SEED).shuffle(order)
        taken: dict[int, int] = {}
        drawn = []
        for row in order:
            label = int(class_N[row])
            taken[label] = taken.get(label, 0) + 1
            if taken[label] <= EXAMPLES:
                drawn.append(row)
        yield drawn


def v_measures(embeddings_VE: Float32, class_V: Int64, shuffled_V: Int64) -> tuple[Float64, Float64]:
    """V-measure of each draw against the classes, and of the same clusters against classes given away by chance."""
    cluster, metrics = _sklearn("cluster"), _sklearn("metrics")
    model = cluster.MiniBatchKMeans(
        len(np.unique(class_V)), batch_size=BATCH, init="k-means++", n_init=1, random_state=SEED
    )
    rng, found, by_chance = random.Random(SEED), [], []
    for _ in range(DRAWS):
        rows = rng.choices(range(len(class_V)), k=CLUSTERED)
        with warnings.catch_warnings(action="ignore"):  # fewer distinct vectors than clusters
            cluster_R = model.fit_predict(embeddings_VE[rows])
        found.append(metrics.v_measure_score(class_V[rows], cluster_R))
        by_chance.append(metrics.v_measure_score(shuffled_V[rows], cluster_R))
    return np.array(found), np.array(by_chance)


def _classification(sides: Sides, videos: Resampling, groups: Resampling | None) -> Score | None:
    classes = np.unique(sides.class_N)
    if len(classes) < 2 or not len(sides.class_Q):
        return None
    right_RQ = right_draws(sides)
    return Score(
        accuracy=100.0 * float(right_RQ.mean()),
        sd=100.0 * float(right_RQ.mean(axis=1).std()),
        chance=100.0 / len(classes),
        n=len(sides.class_Q),
        intervals=intervals(right_RQ.mean(axis=0), videos, groups, scale=100),
    )


def _clustering(sides: Sides) -> VMeasure | None:
    if len(np.unique(sides.class_Q)) < 2:
        return None
    shuffled_Q = np.random.default_rng(SEED).permutation(sides.class_Q)
    found, by_chance = v_measures(sides.queries_QE, sides.class_Q, shuffled_Q)
    mean, sd, chance = (100.0 * float(value) for value in (found.mean(), found.std(), by_chance.mean()))
    return VMeasure(v_measure=mean, sd=sd, chance=chance, n=len(sides.class_Q))


def _sklearn(name: str) -> ModuleType:
    try:
        return import_module(f"sklearn.{name}")
    except ImportError as error:
        raise ConfigError(
            "evaluate.mveb = true needs scikit-learn: pip install scikit-learn, or leave it off"
        ) from error
