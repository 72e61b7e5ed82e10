"""The losses against references written from the equations with plain loops."""

import math

import pytest
import torch
from mofore.stages.losses import contrastive_loss, forecast_loss


def vectors(seed: int, requires_grad: bool = False) -> torch.Tensor:
    return torch.randn(5, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_(
        requires_grad
    )


def test_forecast_loss_is_equation_9() -> None:
    forecast, target = vectors(0), vectors(1)
    by_hand = (
        sum(
            sum((f - t) ** 2 for f, t in zip(a, b, strict=True))
            for a, b in zip(forecast.tolist(), target.tolist(), strict=True)
        )
        / 5
    )
    assert float(forecast_loss(forecast, target, normalize=False, reduction="sum")) == pytest.approx(by_hand)
    assert float(forecast_loss(forecast, target, normalize=False, reduction="mean")) == pytest.approx(by_hand / 7)


def test_normalised_forecast_loss_is_two_minus_two_cosines() -> None:
    forecast, target = vectors(0), vectors(1)
    cosine = torch.nn.functional.cosine_similarity(forecast, target, dim=1)
    assert float(forecast_loss(forecast, target, normalize=True, reduction="sum")) == pytest.approx(
        float((2 - 2 * cosine).mean())
    )


def test_contrastive_loss_is_equation_11() -> None:
    forecast, target, tau = vectors(0), vectors(1), 0.3

    def sim(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

    f, t = forecast.tolist(), target.tolist()
    by_hand = 0.0
    for i in range(5):
        total = sum(math.exp(sim(f[i], t[j]) / tau) for j in range(5))
        by_hand -= math.log(math.exp(sim(f[i], t[i]) / tau) / total) / 5
    assert float(contrastive_loss(forecast, target, tau)) == pytest.approx(by_hand)


def test_no_gradient_reaches_the_teacher() -> None:
    forecast, target = vectors(0, requires_grad=True), vectors(1, requires_grad=True)
    loss = forecast_loss(forecast, target, normalize=True, reduction="sum") + contrastive_loss(forecast, target, 0.1)
    loss.backward()
    assert forecast.grad is not None
    assert target.grad is None
