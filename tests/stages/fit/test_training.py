from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from mofore.data.fit_settings import FitSettings
from mofore.data.progress import Silent
from mofore.stages.distributed.process_group import ProcessGroup
from mofore.stages.fit import stage as fit
from mofore.stages.fit import training
from mofore.stages.fit.training import Training, matrix_products
from mofore.stages.fit.validation import Validator
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.frames.sampler import Batch, make_sampler
from mofore.stages.machine.device import has_bfloat16
from mofore.stages.machine.shared_cores import ThreadsByPace
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


def _training(folder: Path, **changes: Any) -> Training:
    settings = replace(PAPER, batch_size=64, **changes)
    memory, everyone = FrameTensors.of(table([30] * 100, width=24), CPU), torch.arange(100)
    sampler = make_sampler(settings, memory, everyone)
    validator = Validator(settings, memory, everyone[:0], everyone, ())
    return Training(settings, sampler, make_forecaster(24, settings), validator, folder, ProcessGroup())


class Restless(ThreadsByPace):
    """Another number of threads after every third step."""

    def took(self) -> None:
        self.seconds.append(0.0)
        if len(self.seconds) % 3 == 0:
            self.now = self.all + 1 - self.now
            self.use(self.now)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("changes", [{}, {"queue": 96}, {"aggregator": "gru"}, {"objective": "moco"}], ids=str)
def test_threads_that_follow_the_pace_change_no_bit(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "ThreadsByPace", Restless)
    restless = _training(tmp_path / "restless", **changes)
    restless.train(Silent())
    asked = restless.threads is not None and bool(restless.threads.seconds)
    assert asked or not restless.threads
    assert torch.get_num_threads() == 2
    monkeypatch.setattr(Training, "follow_pace", lambda *_: None)
    steady = _training(tmp_path / "steady", **changes)
    steady.train(Silent())
    for name, tensor in steady.state().items():
        assert torch.equal(tensor, restless.state()[name]), name
    logs = [(tmp_path / name / "log.jsonl").read_bytes() for name in ("restless", "steady")]
    assert logs[0] == logs[1]
    if not asked:
        pytest.skip("on this processor the last bits of such steps follow from the number of threads")


@pytest.mark.usefixtures("two_threads")
def test_threads_stay_where_their_number_changes_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _training(tmp_path)
    step = run.learner.step
    monkeypatch.setattr(run.learner, "step", lambda *given: step(*given) + 1e-3 * torch.get_num_threads())
    before = {name: tensor.clone() for name, tensor in run.state().items()}
    with torch.no_grad():
        run.follow_pace(next(run.sampler.batches(0, 1)))
    assert run.threads is None
    assert run.step == 0
    assert torch.get_num_threads() == 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.state().items())
