from dataclasses import replace

import pytest
import torch

from mofore.data.fit_settings import FitSettings
from mofore.data.schedules import Pace
from mofore.stages.fit.cuda_graph import GraphedStep, _cloned, _copy, can_be_graphed
from mofore.stages.frames.memory import Clips
from mofore.stages.frames.sampler import Batch

GPU, CPU = torch.device("cuda"), torch.device("cpu")


def batch(value: float) -> Batch:
    clips = Clips(torch.full((2, 3, 4), value), torch.full((2, 3), value))
    return Batch(clips, clips, torch.full((2, 1), value), torch.tensor([int(value), 0]))


def test_only_steps_that_are_all_alike_are_graphed() -> None:
    settings = FitSettings()
    assert can_be_graphed(settings, GPU, 1)
    assert not can_be_graphed(settings, CPU, 1)
    assert not can_be_graphed(settings, GPU, 2)
    assert not can_be_graphed(replace(settings, queue=8), GPU, 1)
    assert not can_be_graphed(replace(settings, predictor="history"), GPU, 1)
    assert not can_be_graphed(replace(settings, weight_decay_schedule="cosine"), GPU, 1)


def test_a_batch_is_copied_into_the_one_that_was_recorded() -> None:
    recorded = _cloned(batch(1.0))
    _copy(recorded, batch(7.0))
    assert torch.equal(recorded.context.features, batch(7.0).context.features)
    assert torch.equal(recorded.gap_BH, batch(7.0).gap_BH)
    assert recorded.group_R is not None
    assert recorded.group_R.tolist() == [7, 0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_graph_gives_what_the_eager_step_gives() -> None:
    total = torch.zeros((), device="cuda")

    def step(given: Batch, lr: torch.Tensor, toward: torch.Tensor) -> torch.Tensor:
        total.add_(given.context.features.sum() * lr + toward)
        return total.clone()

    graphed = GraphedStep(step, torch.device("cuda"))
    on_gpu = [batch(float(n)) for n in range(8)]
    seen = [float(graphed(_moved(b), Pace(0.5, 0.0, 0.0))) for b in on_gpu]
    expected = torch.tensor([b.context.features.sum() * 0.5 + 1.0 for b in on_gpu]).cumsum(0)
    assert seen == pytest.approx(expected.tolist())


def _moved(given: Batch) -> Batch:
    clips = Clips(given.context.features.cuda(), None)
    return Batch(clips, clips, given.gap_BH.cuda(), None)
