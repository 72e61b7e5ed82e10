from pathlib import Path

import pytest
import torch

from mofore.stages.objectives.sigreg import epps_pulley

from .packages import lightly_loss
from .steps import step_of
from .trained import learnt


def test_the_future_is_found_and_nothing_collapses() -> None:
    small = {"aggregator": "mean_sd", "projection": "linear", "embedding_width": 16, "steps": 500}
    found = learnt("sigreg", lr=0.01, options={"slices": 64, "weight": 0.1}, **small)
    assert found.after > 6 * found.chance
    assert found.after > found.before + 0.1
    assert found.losses[-1] < 0.4 * found.losses[0]


def test_the_statistic_is_least_for_normal_samples() -> None:
    normal_RS = torch.randn(4096, 8, generator=torch.manual_seed(0))
    least = float(epps_pulley(normal_RS, 17, 3.0))
    assert least == pytest.approx(1.06, abs=0.5)  # its mean for normal samples: (2 pi)^(1/2) (1 - 3^(-1/2))
    uniform_RS = 12**0.5 * (torch.rand(4096, 8, generator=torch.manual_seed(0)) - 0.5)  # of the same mean and variance
    for other_RS in (normal_RS + 0.2, 0.8 * normal_RS, 0.0 * normal_RS, uniform_RS):
        assert float(epps_pulley(other_RS, 17, 3.0)) > 10 * least


def test_the_statistic_is_that_of_lightly(tmp_path: Path) -> None:
    _, step = step_of("sigreg", tmp_path, embedding_width=16, options={"slices": 32})
    theirs = lightly_loss().lejepa_loss.SIGReg(num_vectors=32)
    with torch.no_grad():
        z_BKE = step.student()
        torch.manual_seed(3)
        slice_ES = torch.nn.functional.normalize(torch.randn(16, 32), dim=0)
        torch.manual_seed(3)
        torch.testing.assert_close(epps_pulley(z_BKE[:, 0] @ slice_ES, 17, 3.0), theirs(z_BKE[:, 0]))


def test_the_forecast_is_that_of_the_next_embedding(tmp_path: Path) -> None:
    sigreg, step = step_of("sigreg", tmp_path, embedding_width=16, options={"slices": 32, "weight": 0.3})
    with torch.no_grad():
        loss, forecast, normality, _, _ = sigreg.loss(step)
        z_BKE = step.student()
        told_BE = step.networks.predictor(z_BKE[:, 0], step.batch.labels["gap"][:, None])
    torch.testing.assert_close(forecast, (told_BE - z_BKE[:, 1]).square().mean())
    torch.testing.assert_close(loss, forecast + 0.3 * normality)
