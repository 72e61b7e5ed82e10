"""Written-out passes against autograd's, for every network that has them; flat parameters and their optimiser."""

import pytest
import torch

from mofore.data.fit_settings import FitSettings
from mofore.stages.fit.flat_parameters import FlatAdam, FlatParameters
from mofore.stages.fit.networks import AutogradNetworks, DenseNetworks, make_networks
from mofore.stages.frames.memory import Clips
from mofore.stages.frames.sampler import Batch
from mofore.stages.model.forecaster import make_forecaster

SMALL = FitSettings(embedding_width=7, hidden_width=9, clip_length=4)


def batch(rows: int = 5, width: int = 6) -> Batch:
    torch.manual_seed(1)
    context, target = Clips(torch.randn(rows, width)), Clips(torch.randn(rows, width))
    return Batch(context, target, torch.zeros(rows, 1), None)


@pytest.mark.parametrize("projection", ["linear", "mlp", "residual"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("predictor", ["mlp", "skip", "none"])
def test_written_out_gradients_equal_autograds(projection: str, activation: str, predictor: str) -> None:
    width = 0 if projection == "residual" else 7
    settings = FitSettings(
        embedding_width=width,
        hidden_width=9,
        projection=projection,
        activation=activation,
        predictor="mlp" if predictor == "skip" else predictor,
        predictor_skip=predictor == "skip",
    )
    forecaster = make_forecaster(6, settings)
    flat = FlatParameters(forecaster)
    torch.manual_seed(2)
    flat.trained.add_(0.1 * torch.randn_like(flat.trained))  # a residual's last layer would else be zero
    dense, autograd = make_networks(forecaster, flat, settings), AutogradNetworks(forecaster, flat)
    assert isinstance(dense, DenseNetworks)
    gradients, forecasts = [], []
    for networks in (dense, autograd):
        with torch.no_grad():
            forecast = networks.forecast(batch())
        forecasts.append(forecast.clone())
        assert torch.allclose(networks.target(batch()), forecaster.teacher(batch().target), atol=1e-6)
        networks.backward(forecast.cos())
        gradients.append(flat.gradient.clone())
    assert torch.allclose(forecasts[0], forecasts[1], atol=1e-6)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-5)
    assert gradients[0].abs().max() > 0.01


def test_gradients_behind_a_fixed_map_equal_autograds() -> None:
    settings = FitSettings(
        aggregator="mean_sd", input_map="neighbour_lda", input_dropout=0.5, projection="residual", embedding_width=0
    )
    forecaster = make_forecaster(6, settings)
    flat = FlatParameters(forecaster)
    torch.manual_seed(2)
    flat.trained.add_(0.1 * torch.randn_like(flat.trained))
    clips, times = torch.randn(2, 5, 4, 6), torch.arange(4.0).expand(5, 4)
    kept_BE = (torch.rand(5, 12) > 0.5) * 2.0
    seen = Batch(Clips(clips[0], times), Clips(clips[1], times), torch.zeros(5, 1), None, kept_BE)
    gradients = []
    for networks in (make_networks(forecaster, flat, settings), AutogradNetworks(forecaster, flat)):
        with torch.no_grad():
            forecast = networks.forecast(seen)
        torch.testing.assert_close(networks.target(seen), forecaster.teacher(seen.target))
        networks.backward(forecast.cos())
        gradients.append(flat.gradient.clone())
    assert isinstance(make_networks(forecaster, flat, settings), DenseNetworks)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)
    assert gradients[0].abs().max() > 0.01


def test_other_networks_go_by_autograd() -> None:
    for settings in (FitSettings(aggregator="gru"), FitSettings(predictor="gap")):
        forecaster = make_forecaster(6, settings)
        assert isinstance(make_networks(forecaster, FlatParameters(forecaster), settings), AutogradNetworks)


def test_the_teacher_follows_eq_6() -> None:
    forecaster = make_forecaster(6, SMALL)
    flat = FlatParameters(forecaster)
    before = {name: value.clone() for name, value in forecaster.teacher.state_dict().items()}
    flat.trained.add_(1.0)
    flat.move_teacher(1.0 - 0.7)
    student = forecaster.student.state_dict()
    for name, value in forecaster.teacher.state_dict().items():
        assert torch.allclose(value, 0.7 * before[name] + 0.3 * student[name], atol=1e-6), name
    apart = torch.cat([(student[n] - v).flatten() for n, v in forecaster.teacher.state_dict().items()])
    whole = torch.cat([v.flatten() for v in student.values()])
    assert torch.isclose(flat.teacher_drift(), apart.norm() / whole.norm())


@pytest.mark.parametrize(("name", "decay"), [("adam", 0.0), ("adam", 0.1), ("adamw", 0.1)])
def test_the_flat_optimiser_is_torchs(name: str, decay: float) -> None:
    settings = FitSettings(embedding_width=7, hidden_width=9, optimizer=name, weight_decay=decay)
    forecaster = make_forecaster(6, settings)
    flat = FlatParameters(forecaster)
    copy = flat.trained.clone().requires_grad_()
    kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    theirs, ours = kind([copy], lr=1e-3, weight_decay=decay), FlatAdam(flat, settings)
    for step in range(5):
        flat.gradient.copy_(torch.randn(len(copy), generator=torch.Generator().manual_seed(step)))
        copy.grad = flat.gradient.clone()
        theirs.step()
        with torch.no_grad():
            ours.step(1e-3, decay)
    assert torch.allclose(flat.trained, copy, atol=1e-6)
