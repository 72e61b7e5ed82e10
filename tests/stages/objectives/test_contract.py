"""What every objective keeps to."""

import inspect
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from mofore.data.errors import ConfigError, StageError
from mofore.data.progress import Silent
from mofore.pipeline.config import make_config
from mofore.stages.fit import stage as fit
from mofore.stages.fit.stage import run
from mofore.stages.model.saved import load_forecaster
from mofore.stages.objectives.catalog import make_objective, objective_class, objective_names

from ..fit.test_stage import KilledAt
from .trained import motions, settings_of

NAMES = objective_names()
BY_AUTOGRAD = [name for name in NAMES if not objective_class(name).written_out]


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name: str) -> None:
    kind = objective_class(name)
    assert inspect.getdoc(kind)
    assert kind.source
    assert kind.figures[0] == "loss"
    assert "pretext" in kind.figures
    assert all(len(f.metadata["doc"]) > 10 for f in fields(kind.options))
    assert make_config({"fit": {"objective": name}}).fit.objective == name


@pytest.mark.parametrize("name", BY_AUTOGRAD)
def test_it_goes_on_exactly_where_it_was_killed(name: str, tmp_path: Path) -> None:
    settings, made = (
        settings_of(name, steps=6, batch_size=8, checkpoint_seconds=0.0, validations=2),
        motions(range(1, 2)),
    )
    run(settings, made, tmp_path / "whole", progress=Silent())
    with pytest.raises(KeyboardInterrupt):
        run(settings, made, tmp_path / "killed", progress=KilledAt(4))
    assert run(settings, made, tmp_path / "killed", progress=Silent()).steps_run < 6
    whole, killed = (load_forecaster(tmp_path / name)[0].state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(whole[key], killed[key]) for key in whole)
    assert (tmp_path / "whole" / "log.jsonl").read_text() == (tmp_path / "killed" / "log.jsonl").read_text()


def test_unknown_objectives_and_options_name_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"fit.objective = 'pst': .* did you mean 'past'"):
        make_config({"fit": {"objective": "pst"}})
    with pytest.raises(
        ConfigError, match=r"fit\.options\.hiden: the objective order has no such option; it has hidden"
    ):
        make_config({"fit": {"objective": "order", "options": {"hiden": 8}}})
    with pytest.raises(ConfigError, match=r"fit\.options\.hidden = 1: a whole number of at least 4"):
        make_config({"fit": {"objective": "order", "options": {"hidden": 1}}})
    with pytest.raises(ConfigError, match=r"fit\.options = 3: a table is needed"):
        make_config({"fit": {"objective": "order", "options": 3}})


def test_options_are_part_of_what_is_made() -> None:
    plain, other = (
        make_config({"fit": {"objective": "order", "options": options}}).fit for options in ({}, {"hidden": 64})
    )
    assert plain.options == {"hidden": 128}
    assert plain.identity() != other.identity()


def test_what_the_user_sets_counts_more_than_what_the_objective_sets() -> None:
    assert make_config({"fit": {"objective": "order"}}).fit.clip_length == 2
    assert make_config({"fit": {"objective": "order", "clip_length": 3}}).fit.clip_length == 3


def test_several_processes_are_refused() -> None:
    job = fit.FitJob(settings_of("rho_byol"), motions(range(1, 2)), Path())
    with pytest.raises(StageError, match=r"rho_byol.* one process: fit\.processes = 1"):
        fit._refuse_uneven(job, 2)


def test_clips_that_are_too_short_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"fit\.clip_length = 2: the objective continuity needs .* at least 3 frames"):
        make_objective(settings_of("continuity", clip_length=2))
