"""The objective against the equations, and its written-out gradient against autograd."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mofore.stages.model.mofore_loss import MoforeLoss


def reference(
    forecast: Tensor,
    target: Tensor,
    *,
    normalize: bool,
    mean: bool,
    weight: float,
    temperature: float,
    symmetric: bool,
    group: Tensor | None,
    queue: Tensor | None,
) -> Tensor:
    """Eqs. (9), (11), (12), row by row."""
    rows = len(forecast)
    unit, unit_target = functional.normalize(forecast, dim=1), functional.normalize(target, dim=1)
    one, other = (unit, unit_target) if normalize else (forecast, target)
    squared = (one - other).square()
    error = (squared.mean(dim=1) if mean else squared.sum(dim=1)).mean()

    def info_nce(i: int, anchors: Tensor, candidates: Tensor, more: Tensor | None) -> Tensor:
        kept = [j for j in range(rows) if j == i or group is None or group[i] != group[j]]
        similarity = [torch.dot(anchors[i], candidates[j]) / temperature for j in kept]
        similarity += [] if more is None else [torch.dot(anchors[i], q) / temperature for q in more]
        positive = torch.dot(anchors[i], candidates[i]) / temperature
        return -torch.log(positive.exp() / torch.stack(similarity).exp().sum())

    contrast = torch.stack([info_nce(i, unit, unit_target, queue) for i in range(rows)]).mean()
    if symmetric:
        back = torch.stack([info_nce(i, unit_target, unit, None) for i in range(rows)]).mean()
        contrast = (contrast + back) / 2
    return error + weight * contrast


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("queued", [True, False])
def test_value_and_gradient_are_those_of_the_equations(
    normalize: bool, mean: bool, symmetric: bool, grouped: bool, queued: bool
) -> None:
    torch.manual_seed(0)
    forecast, target = torch.randn(6, 5, dtype=torch.float64), torch.randn(6, 5, dtype=torch.float64)
    group = torch.tensor([0, 0, 1, 1, 2, 2]) if grouped else None
    queue = functional.normalize(torch.randn(7, 5, dtype=torch.float64), dim=1) if queued else None
    leaf = forecast.clone().requires_grad_()
    expected = reference(
        leaf,
        target,
        normalize=normalize,
        mean=mean,
        weight=0.7,
        temperature=0.3,
        symmetric=symmetric,
        group=group,
        queue=queue,
    )
    expected.backward()
    gradient, figures, unit_target = MoforeLoss(normalize, mean, 0.7, 0.3, symmetric)(forecast, target, group, queue)
    assert torch.isclose(figures[0], expected.detach())
    assert torch.isclose(figures[0], figures[1] + 0.7 * figures[2])
    assert torch.allclose(gradient, leaf.grad, atol=1e-12)
    assert torch.allclose(unit_target, functional.normalize(target, dim=1))
    assert torch.isclose(figures[3], functional.cosine_similarity(forecast, target).mean())


def test_without_contrast_only_eq_9_moves_the_forecast() -> None:
    forecast, target = torch.eye(3), torch.eye(3)
    gradient, figures, _ = MoforeLoss(True, False, 0.0, 0.1, False)(forecast, target)
    assert torch.equal(gradient, torch.zeros(3, 3))
    assert figures[0] == 0
