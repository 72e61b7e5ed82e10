"""Linear probe: multinomial logistic regression on frozen embeddings.

The objective is scikit-learn's, sum of cross entropies + |W|^2 / (2 C), the intercept free; minimised by L-BFGS. C is
chosen on the training videos alone, by the accuracy on a quarter of their recordings held out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...data.arrays import Bool, Float64, Int64
from .nearest_neighbors import is_right
from .ranking import Sides

GRID = (1.0, 10.0, 100.0, 1000.0)  # of C, for vectors of unit length
HELD_OUT = 0.25
ITERATIONS = 100


@dataclass(frozen=True, slots=True)
class Linear:
    """Weights (C, E) and intercepts (C,) of the classes in ``classes``."""

    classes: Int64
    weight_CE: Tensor
    bias_C: Tensor

    def is_right(self, embeddings_QE: Tensor, class_Q: Int64) -> Float64:
        """Chance (Q,) that the class with the largest logit is the given one: below 1 where several share it."""
        logits_QC = functional.linear(embeddings_QE, self.weight_CE, self.bias_C).numpy()
        column_Q = np.minimum(np.searchsorted(self.classes, class_Q), len(self.classes) - 1)
        return np.where(self.classes[column_Q] == class_Q, is_right(logits_QC, column_Q), 0.0)


def logistic_regression(embeddings_NE: Tensor, class_N: Int64, c: float, start: Linear | None = None) -> Linear:
    """Fit; ``start`` is where to begin, of the same classes."""
    classes, target = np.unique(class_N, return_inverse=True)
    shape = (len(classes), embeddings_NE.shape[1])
    weight_CE = (start.weight_CE.clone() if start else torch.zeros(shape)).requires_grad_()
    bias_C = (start.bias_C.clone() if start else torch.zeros(len(classes))).requires_grad_()
    target_N, count = torch.from_numpy(target), len(class_N)
    optimizer = torch.optim.LBFGS(
        [weight_CE, bias_C], max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe", tolerance_grad=1e-5
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        logits_NC = functional.linear(embeddings_NE, weight_CE, bias_C)
        loss = functional.cross_entropy(logits_NC, target_N) + weight_CE.square().sum() / (2.0 * c * count)
        loss.backward()
        return loss

    optimizer.step(objective)
    return Linear(classes, weight_CE.detach(), bias_C.detach())


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found of Q queries.

    Attributes:
        accuracy: percent; None with fewer than two classes.
        c: that was chosen.
        accuracy_held_out: percent, of the recordings it was chosen with; None where none could be held out.
        right_Q: whether each query is right (1, 0), by its chance where logits are equal; nan without an accuracy.
    """

    accuracy: float | None
    c: float | None
    accuracy_held_out: float | None
    right_Q: Float64


def probe(sides: Sides, seed: int) -> Probed:
    """Fit on the gallery with a C chosen there, and try the queries.

    Where classes have the same logit a query is right by the chance of either. Queries whose class the gallery does
    not hold count as wrong. Fewer than two classes: accuracy None, and nan.
    """
    if len(np.unique(sides.class_N)) < 2 or not len(sides.class_Q):
        return Probed(None, None, None, np.full(len(sides.class_Q), np.nan))
    gallery_NE, queries_QE = torch.from_numpy(sides.gallery_NE), torch.from_numpy(sides.queries_QE)
    chosen, held_out = _choose(gallery_NE, sides, seed)
    right_Q = logistic_regression(gallery_NE, sides.class_N, chosen).is_right(queries_QE, sides.class_Q)
    return Probed(100.0 * float(right_Q.mean()), chosen, held_out, right_Q)


def _choose(gallery_NE: Tensor, sides: Sides, seed: int) -> tuple[float, float | None]:
    """The C with the best accuracy on held-out recordings, the smallest of equals; the largest if none can be held."""
    held_N = _held_out(sides, seed)
    if len(np.unique(sides.class_N[~held_N])) < 2 or not held_N.any():
        return GRID[-1], None
    begin, scores = None, []
    for c in GRID:  # from strong to weak regularisation, each beginning where the last one ended
        begin = logistic_regression(gallery_NE[~held_N], sides.class_N[~held_N], c, begin)
        scores.append(float(begin.is_right(gallery_NE[held_N], sides.class_N[held_N]).mean()))
    best = int(np.argmax(scores))
    return GRID[best], 100.0 * scores[best]


def _held_out(sides: Sides, seed: int) -> Bool:
    """Whole recordings, drawn within each class."""
    group_N = np.arange(len(sides.class_N)) if sides.group_N is None else sides.group_N
    rng = np.random.default_rng(seed)
    held_N = np.zeros(len(group_N), bool)
    for number in np.unique(sides.class_N):
        groups = np.unique(group_N[sides.class_N == number])
        taken = rng.permutation(groups)[: int(len(groups) * HELD_OUT)]
        held_N |= np.isin(group_N, taken) & (sides.class_N == number)
    return held_N
