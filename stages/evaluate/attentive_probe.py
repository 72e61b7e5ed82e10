"""Attentive probe: classes from the parts of a video, weighed by one learnt query.

Each video is P parts (embeddings of windows, or frames) x_p. One query attends to them, a_p = softmax_p(q . x_p), and a
linear classifier reads the sum of a_p x_p: the frozen evaluation of V-JEPA (Bardes et al. 2024, arXiv 2404.08471) with
one head, and without what one head does not need: a projection of the keys would be absorbed by q, one of the values by
the classifier. (Difference: no feed-forward layer.) It begins as the linear probe of the parts' mean (q = 0), and is
fitted with q, weights and intercepts together by full-batch L-BFGS, so that it differs from that probe by the weighing
alone, and there is no chance in it but which recordings are held out to choose C.

Minimised: sum of cross entropies + (|W|^2 + |q|^2) / (2 C).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...data.arrays import Float32, Float64, Int64
from .linear_probe import Linear, logistic_regression, probe
from .ranking import Sides

STEPS = 60  # of L-BFGS: bounds the time


@dataclass(frozen=True, slots=True)
class Attended:
    """What the probe found of Q queries.

    Attributes:
        right_Q: whether each query is right (1, 0), by its chance where logits are equal.
        mean_right_Q: the same of a linear probe of the mean of the parts.
        c: of both.
    """

    right_Q: Float64
    mean_right_Q: Float64
    c: float


def attentive_probe(parts_VPE: Float32, sides: Sides, rows: tuple[Int64, Int64], seed: int) -> Attended | None:
    """Fit on the gallery, try the queries; None with fewer than two classes, or without queries.

    Args:
        parts_VPE: unit vectors of the parts of all videos, not centred.
        sides: classes and recordings; its embeddings are not read.
        rows: positions of queries and gallery among the videos.
        seed: of the recordings on which C is chosen.
    """
    queries, gallery = rows
    parts_VPE = centered(parts_VPE, gallery)
    mean_VE = parts_VPE.mean(axis=1)
    of_mean = probe(
        Sides(mean_VE[queries], mean_VE[gallery], sides.class_Q, sides.class_N, sides.group_Q, sides.group_N), seed
    )
    if of_mean.c is None:
        return None
    parts_NPE = torch.from_numpy(parts_VPE[gallery])
    start = logistic_regression(parts_NPE.mean(dim=1), sides.class_N, of_mean.c)
    query_E, linear = _fitted(parts_NPE, sides.class_N, of_mean.c, start)
    right_Q = linear.is_right(attended(torch.from_numpy(parts_VPE[queries]), query_E), sides.class_Q)
    return Attended(right_Q, of_mean.right_Q, of_mean.c)


def centered(parts_VPE: Float32, gallery: Int64) -> Float32:
    """Unit vectors less the mean of the gallery's parts, of unit length again."""
    moved_VPE = torch.from_numpy(parts_VPE - parts_VPE[gallery].mean(axis=(0, 1)))
    return np.asarray(functional.normalize(moved_VPE, dim=2).numpy())


def attended(parts_NPE: Tensor, query_E: Tensor) -> Tensor:
    """The parts' sum (N, E), weighed by their likeness to the query."""
    weight_NP = torch.softmax(parts_NPE @ query_E, dim=1)
    return (weight_NP[:, None] @ parts_NPE)[:, 0]


def _fitted(parts_NPE: Tensor, class_N: Int64, c: float, start: Linear) -> tuple[Tensor, Linear]:
    """The query (E,) and the classifier."""
    target_N = torch.from_numpy(np.searchsorted(start.classes, class_N))
    query_E = torch.zeros(parts_NPE.shape[2], requires_grad=True)
    weight_CE, bias_C = start.weight_CE.clone().requires_grad_(), start.bias_C.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [query_E, weight_CE, bias_C],
        max_iter=STEPS, history_size=10, line_search_fn="strong_wolfe", tolerance_grad=1e-5,
    )  # fmt: skip

    def objective() -> Tensor:
        optimizer.zero_grad()
        logits_NC = functional.linear(attended(parts_NPE, query_E), weight_CE, bias_C)
        norm = weight_CE.square().sum() + query_E.square().sum()
        loss = functional.cross_entropy(logits_NC, target_N) + norm / (2.0 * c * len(class_N))
        loss.backward()
        return loss

    optimizer.step(objective)
    return query_E.detach(), Linear(start.classes, weight_CE.detach(), bias_C.detach())
