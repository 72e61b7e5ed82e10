from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from mofore.data.fit_settings import FitSettings
from mofore.data.progress import Silent
from mofore.stages.distributed.process_group import ProcessGroup
from mofore.stages.fit import stage as fit
from mofore.stages.fit.training import Training, matrix_products
from mofore.stages.fit.validation import Validator
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.frames.sampler import Batch, make_sampler
from mofore.stages.machine.device import has_bfloat16
from mofore.stages.model.embedding import embed_views
from mofore.stages.model.forecaster import Forecaster, make_forecaster
from mofore.stages.model.saved import load_forecaster

from ..memory import table

CPU = torch.device("cpu")
PAPER = FitSettings(
    clip_length=4, gap_max=4, embedding_width=24, hidden_width=32, lr=1e-3, steps=40, validations=0, precision="fp32"
)


@pytest.mark.parametrize(("precision", "inside"), [("fp32", "highest"), ("bf16", "medium")])
def test_rounded_products_end_with_the_run(precision: str, inside: str) -> None:
    before = torch.get_float32_matmul_precision()
    with matrix_products(precision, CPU):
        assert torch.get_float32_matmul_precision() == inside
    assert torch.get_float32_matmul_precision() == before
    with matrix_products("auto", CPU):
        assert torch.get_float32_matmul_precision() == ("medium" if has_bfloat16(CPU) else "highest")


@pytest.mark.skipif(not has_bfloat16(CPU), reason="the processor has no bfloat16")
def test_rounded_products_change_the_embeddings_by_little(tmp_path: Path) -> None:
    videos = table([30] * 40, width=64)
    settings = FitSettings(steps=200, clip_length=4, gap_max=4, batch_size=32, embedding_width=64, hidden_width=64)
    memory, views = FrameTensors.of(videos, CPU), []
    for precision in ("fp32", "bf16"):
        fit.run(replace(settings, precision=precision), videos, tmp_path / precision, progress=Silent())
        forecaster, made = load_forecaster(tmp_path / precision)
        views.append(embed_views(forecaster.teacher, memory, made, views=3))
    cosine = (views[0] * views[1]).sum(dim=-1)
    assert cosine.min() > 0.999  # a factor is off by 2^-9 of its size at most, sums are not


def plainly_trained(forecaster: Forecaster, batches: list[Batch], settings: FitSettings) -> list[float]:
    """Eqs. (5) to (12) as most would write them, with modules, autograd and torch's optimiser; the losses."""
    student, predictor, teacher = forecaster.student, forecaster.predictor, forecaster.teacher
    optimizer = torch.optim.Adam([*student.parameters(), *predictor.parameters()], lr=settings.lr)
    losses = []
    for batch in batches:
        forecast = functional.normalize(predictor(student(batch.context), batch.gap_BH), dim=1)
        with torch.no_grad():
            target = functional.normalize(teacher(batch.target), dim=1)
        error = (forecast - target).square().sum(dim=1).mean()
        logits = forecast @ target.T / settings.temperature
        loss = error + settings.contrast_weight * functional.cross_entropy(logits, torch.arange(len(logits)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
                slow.mul_(settings.momentum).add_(fast, alpha=1.0 - settings.momentum)
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("batch_size", [8, 256])
def test_steps_are_those_of_a_plain_loop(batch_size: int) -> None:
    settings = replace(PAPER, batch_size=batch_size)
    memory, everyone = FrameTensors.of(table([30] * 300, width=16), CPU), torch.arange(300)
    sampler = make_sampler(settings, memory, everyone)
    batches = list(sampler.batches(0, settings.steps))
    plain, ours = make_forecaster(16, settings), make_forecaster(16, settings)
    begun = [parameter.detach().clone() for parameter in ours.parameters()]
    expected = plainly_trained(plain, batches, settings)
    validator = Validator(settings, memory, everyone[:0], everyone, ())
    training = Training(settings, sampler, ours, validator, Path(), ProcessGroup())
    with torch.no_grad():
        losses = [float(training.take_step(batch)[0]) for batch in batches]
    assert losses == pytest.approx(expected, rel=1e-4)
    for before, there, here in zip(begun, plain.parameters(), ours.parameters(), strict=True):
        assert torch.allclose(here, there, atol=1e-4)  # a step moves a weight by up to lr = 1e-3, whatever rounding
        assert (here - before).abs().max() > 1e-2
