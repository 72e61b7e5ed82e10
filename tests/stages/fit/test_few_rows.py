"""Steps in compiled code against the same steps in torch."""

import platform
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mofore.cache import compiled_code
from mofore.cache.compiled_code import compilers
from mofore.data.errors import StageError
from mofore.data.settings import FitSettings
from mofore.stages.distributed.process_group import ProcessGroup
from mofore.stages.fit import few_rows, learner
from mofore.stages.fit.few_rows import FewRows, FewRowsObjective, few_rows_code
from mofore.stages.fit.flat_parameters import FlatAdam, FlatParameters
from mofore.stages.fit.learner import Eager, Learner, make_learner
from mofore.stages.fit.thread_count import ThreadCount
from mofore.stages.frames.memory import Clips
from mofore.stages.frames.sampler import Batch
from mofore.stages.model.forecaster import make_forecaster
from mofore.stages.model.objective import Objective

SMALL = FitSettings(embedding_width=64, hidden_width=96)
WIDTH = 32

needs_compiler = pytest.mark.skipif(not compilers(), reason="no C compiler")


def can_run_avx2() -> bool:
    return torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


def batch(seed: int, rows: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    context, target = (Clips(torch.randn(rows, WIDTH, generator=generator)) for _ in range(2))
    return Batch(context, target, torch.zeros(rows, 1), None)


def begun(settings: FitSettings, rows: int) -> tuple[Learner, FlatParameters, FlatAdam]:
    forecaster = make_forecaster(WIDTH, settings)
    flat = FlatParameters(forecaster)
    flat.trained.add_(0.1 * torch.randn(len(flat.trained), generator=torch.Generator().manual_seed(2)))
    adam = FlatAdam(flat, settings)
    return make_learner(forecaster, flat, adam, settings, ProcessGroup(), rows), flat, adam


def taken(settings: FitSettings, rows: int, steps: int = 5) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Outputs of each step, and the state after all of them."""
    ours, flat, adam = begun(settings, rows)
    assert isinstance(ours, Eager if settings.compile == "off" else FewRows)
    outputs = []
    with torch.no_grad():
        for step in range(steps):
            seen = batch(step, rows)
            forecast, target = ours.forecast(seen), ours.target(seen)
            outputs += [forecast.clone(), target.clone()]
            ours.learn(forecast.cos(), 1e-2 / (step + 1), settings.weight_decay, 0.3)
    return outputs, [flat.trained, flat.teacher, adam.first, adam.second, adam.steps]


@needs_compiler
def test_a_compiler_takes_the_code() -> None:
    assert few_rows_code() is not None


@pytest.fixture(params=["-march=native", "-mavx2 -mfma", "-msse2"])
def narrower(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The code as other processors would get it."""
    if not compilers() or platform.machine() != "x86_64" or not can_run_avx2():
        pytest.skip("needs a compiler and a processor that can run all of them")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compiled_code, "_extras", lambda _: [tuple(request.param.split())])
    compiled_code.compiled.cache_clear()
    yield
    compiled_code.compiled.cache_clear()


@pytest.mark.usefixtures("narrower")
def test_narrower_processors_compute_the_same() -> None:
    test_compiled_steps_are_torchs({}, 16)


@needs_compiler
@pytest.mark.parametrize("rows", [8, 16])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"projection": "linear", "activation": "gelu"},
        {"projection": "residual", "embedding_width": 0, "predictor_skip": True},
        {"predictor": "none", "embedding_width": 32},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "optimizer": "adamw"},
    ],
)
def test_compiled_steps_are_torchs(changes: dict[str, object], rows: int) -> None:
    settings = replace(SMALL, **changes)  # type: ignore[arg-type]
    theirs = taken(replace(settings, compile="off"), rows)
    ours = taken(settings, rows)
    for there, here in zip(theirs[0], ours[0], strict=True):
        assert torch.allclose(there, here, rtol=1e-4, atol=1e-4)
    for there, here in zip(theirs[1], ours[1], strict=True):
        assert torch.allclose(there, here, rtol=1e-3, atol=1e-4)
    assert (ours[1][0] - begun(settings, rows)[1].trained).abs().mean() > 1e-3, "it learnt something"


class Fixed(ThreadCount):
    def begin(self) -> None:
        self.count = self.choices[-1]


@needs_compiler
def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(few_rows, "ThreadCount", lambda _, fixed=threads: Fixed(fixed))
        states.append(taken(SMALL, 8)[1])
    for state in states[1:]:
        assert all(torch.equal(there, here) for there, here in zip(states[0], state, strict=True))


@needs_compiler
def test_what_is_not_finite_stays_visible() -> None:
    ours, _, _ = begun(SMALL, 8)
    seen = batch(0, 8)
    seen.context.features[3, 5] = torch.nan
    with torch.no_grad():
        assert ours.forecast(seen)[3].isnan().all()


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({"compile": "off"}, 8),
        ({}, 7),
        ({}, few_rows.MOST_ROWS + 8),
        ({"embedding_width": 40}, 8),
        ({"aggregator": "gru"}, 8),
        ({"predictor": "gap"}, 8),
    ],
)
def test_other_steps_go_by_torch(changes: dict[str, object], rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "few_rows_code", lambda: pytest.fail("it was asked for"))
    assert isinstance(begun(replace(SMALL, **changes), rows)[0], Eager)  # type: ignore[arg-type]


def test_without_a_compiler_torch_takes_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "few_rows_code", lambda: None)
    assert isinstance(begun(SMALL, 8)[0], Eager)
    with pytest.raises(StageError, match="none of cc, gcc and clang"):
        begun(replace(SMALL, compile="on"), 8)


@needs_compiler
@pytest.mark.parametrize("rows", [8, 16])
@pytest.mark.parametrize("groups", [None, 3, 16])
@pytest.mark.parametrize(
    ("normalize", "mean", "symmetric"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_the_compiled_objective_is_the_other(
    rows: int, groups: int | None, normalize: bool, mean: bool, symmetric: bool
) -> None:
    plain = Objective(normalize, mean, 0.7, 0.2, symmetric)
    code = few_rows_code()
    assert code is not None
    generator = torch.Generator().manual_seed(rows)
    forecast, target = (torch.randn(rows, 96, generator=generator) for _ in range(2))
    group = None if groups is None else torch.arange(rows) % groups
    for there, here in zip(
        plain(forecast, target, group), FewRowsObjective(plain, code)(forecast, target, group), strict=True
    ):
        assert torch.allclose(there, here, rtol=1e-5, atol=1e-6)


@needs_compiler
def test_an_objective_of_what_is_not_finite_is_not() -> None:
    code = few_rows_code()
    assert code is not None
    rows, forecast = 8, torch.ones(8, 32)
    forecast[2, 1] = torch.nan
    gradient, figures, _ = FewRowsObjective(Objective.of(SMALL), code)(forecast, torch.ones(rows, 32))
    assert not figures[0].isfinite()
    assert gradient[2].isnan().all()
    zeros, figures, _ = FewRowsObjective(Objective.of(SMALL), code)(torch.zeros(rows, 32), torch.ones(rows, 32))
    assert torch.allclose(zeros, Objective.of(SMALL)(torch.zeros(rows, 32), torch.ones(rows, 32))[0], rtol=1e-4)
    assert figures.isfinite().all()
